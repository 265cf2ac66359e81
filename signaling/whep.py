"""WHEP (draft-ietf-wish-whep): one POST of an offer watches one peer of a room.

Whose media: `?peer=` with a peer's id or display name; without it the first peer that sends video, or audio if the
offer (or the room) has no video. The n-th video section of the offer gets that peer's n-th video source, and so with
audio. A viewer's session ends when a source that it shows ends, for there is no renegotiation: it is to POST again.
"""

from __future__ import annotations

from collections.abc import Sequence

from quart import Blueprint

from signaling import sdp
from signaling.auth import Authoriser
from signaling.calls import Calls
from signaling.errors import CallError, CallErrorCode
from signaling.rooms import Peer, Producer, Room
from signaling.wish import RETRY_SECONDS, Opening, Session, Sessions, WishError, wish_blueprint

_KINDS = ("audio", "video")


def whep_blueprint(calls: Calls, authoriser: Authoriser, *, allowed_origins: Sequence[str] = ()) -> Blueprint:
    """The routes under /whep."""
    return wish_blueprint(Sessions(calls, "whep"), watch, authoriser=authoriser, allowed_origins=allowed_origins)


async def watch(sessions: Sessions, opening: Opening) -> tuple[Session, str]:
    """Consume for every section that receives a source of the chosen peer; the others are rejected in the answer.

    Raises WishError 409 with Retry-After while there is nobody to watch (section 4.2 of the draft), 422 when no codec
    fits, SdpError, CallError; then nobody has joined.
    """
    receiving = [section for section in opening.offer.sections if section.kind in _KINDS and section.receives]
    if not receiving:
        raise WishError(422, "The offer has no audio or video section that receives: WHEP watches. To send, use WHIP.")
    room = sessions.calls.room(opening.room)
    chosen = None if room is None else choose_peer(room, opening.watch, {section.kind for section in receiving})
    if room is None or chosen is None:
        whom = f"a peer {opening.watch!r}" if opening.watch else "anybody"
        raise WishError(409, f"The room has not {whom} that sends what you ask for.", retry_after=str(RETRY_SECONDS))
    capabilities = sdp.consume_capabilities(receiving, room.rtp_capabilities)
    sources = assign_sources(opening.offer, chosen)
    session = await sessions.join(opening, capabilities)
    try:
        role = await sessions.connect(session, "recv")
        answered = [
            None if source is None else await _consume(sessions.calls, session.peer, section, source)
            for section, source in zip(opening.offer.sections, sources, strict=True)
        ]
        if not any(answered):
            raise WishError(422, "Your offer has no codec that the sender uses.")
        return session, sessions.answer(session, answered, role)
    except BaseException:
        sessions.end(session)
        raise


def choose_peer(room: Room, wanted: str, kinds: set[str]) -> Peer | None:
    """Whom to show: the one that is asked for, else the first that sends video (if that is wanted), else audio."""
    sending = {kind: [producer.peer for producer in room.producers() if producer.kind == kind] for kind in kinds}
    candidates = [peer for kind in ("video", "audio") for peer in sending.get(kind, ())]
    if wanted:
        candidates = [peer for peer in candidates if peer.id == wanted] or [
            peer for peer in candidates if peer.display_name == wanted
        ]
    return next(iter(candidates), None)


def assign_sources(offer: sdp.Offer, peer: Peer) -> list[Producer | None]:
    """Per section of the offer the source that it gets: in order, kind by kind."""
    waiting = {
        kind: iter([producer for producer in peer.producers.values() if producer.created and producer.kind == kind])
        for kind in _KINDS
    }
    return [
        next(waiting[section.kind], None) if section.kind in waiting and section.receives else None
        for section in offer.sections
    ]


async def _consume(calls: Calls, viewer: Peer, section: sdp.Section, source: Producer) -> sdp.Answered | None:
    """The section's answer; None when the viewer lacks the source's codec. `Sessions.watch_over` resumes it."""
    try:
        _, info = await calls.consume(viewer, source.id, adopt_viewer_numbers=True, mid=section.mid)
    except CallError as error:
        if error.code is CallErrorCode.UNSUPPORTED:
            return None
        raise
    return sdp.Answered(info.rtp_parameters, sends=True, stream_id=source.peer.id)
