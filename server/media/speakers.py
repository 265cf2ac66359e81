"""Who speaks in a router, who is told of it, and whose microphones are heard. Sans-I/O; ticked by adaptation.py."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from server.media.events import ActiveSpeakersChanged
from server.media.policies import Choice, Detector, Shelf
from server.media.router import Router
from server.policy.protocols import Speakers

TELL_NS = 250_000_000  # between two events; the list of who speaks may change with every word
LOUD = 50  # -dBov: whoever is louder is let through before the detector is sure, so that no first word is lost


def choose_heard(recent: list[str], microphones: Collection[str], most: int) -> frozenset[str]:
    """Those that are forwarded: who spoke last, and others while there are places. 0: all."""
    if most <= 0 or len(microphones) <= most:
        return frozenset(microphones)
    order = [producer for producer in recent if producer in microphones]
    order += [producer for producer in microphones if producer not in order]
    return frozenset(order[:most])


def moved_forward(recent: list[str], speaking: Iterable[str]) -> list[str]:
    """`recent` with those who speak now in front, the first of them first."""
    front = list(dict.fromkeys(speaking))
    return front + [producer for producer in recent if producer not in front]


class Room:
    """The speakers of one router."""

    def __init__(self, router: Router, shelf: Shelf, choice: Choice, now: int) -> None:
        self.router = router
        self.speakers = Speakers(None, ())
        self._shelf = shelf
        self._detector = Detector(shelf, choice, router.decisions, router.id, self.speakers, now)
        self._recent: list[str] = []  # who spoke last comes first
        self._told = self.speakers
        self._told_at: int | None = None

    @property
    def policy(self) -> str:
        """The name of the detector that decides."""
        return self._detector.name

    def use(self, choice: Choice, now: int) -> None:
        """Another detector from now on; it goes on from what this one said."""
        log = self.router.decisions
        log.note(now, "policy", self.router.id, before=self.policy, after=choice.name, reason="requested")
        self._detector = Detector(self._shelf, choice, log, self.router.id, self.speakers, now)

    def listen(self, levels: dict[str, int], now: int) -> bool:
        """The levels of the last interval by producer id. True when another is dominant now."""
        before = self.speakers.dominant
        self.speakers = self._detector.on_levels(levels, now)
        loud = sorted((level, producer) for producer, level in levels.items() if level < LOUD)
        dominant = [self.speakers.dominant] if self.speakers.dominant in self.speakers.active else []
        self._recent = moved_forward(
            self._recent, [*(d for d in dominant if d), *self.speakers.active, *(producer for _, producer in loud)]
        )
        return self.speakers.dominant != before

    def heard(self, microphones: Collection[str], most: int) -> frozenset[str]:
        """Whose audio is forwarded."""
        return choose_heard(self._recent, microphones, most)

    def forget(self, producer_id: str) -> None:
        """It is gone."""
        self._detector.forget(producer_id)
        if producer_id in self._recent:
            self._recent.remove(producer_id)
        dominant = self.speakers.dominant
        self.speakers = Speakers(
            None if dominant == producer_id else dominant,
            tuple(producer for producer in self.speakers.active if producer != producer_id),
        )

    def tell(self, now: int) -> ActiveSpeakersChanged | None:
        """The event, when there is something new: another dominant one at once, the rest four times a second."""
        new, old = self.speakers, self._told
        if new.dominant == old.dominant:
            if set(new.active) == set(old.active):
                return None
            if self._told_at is not None and now - self._told_at < TELL_NS:
                return None
        self._told, self._told_at = new, now
        return ActiveSpeakersChanged(self.router.id, new.dominant, new.active)
