"""WHIP (RFC 9725): one POST of an offer publishes into a room. Anything that sends WebRTC media this way is a peer like
any other there: browsers get `newPeer`, `newProducer` and consumers for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from quart import Blueprint

from protos import media_pb2 as pb
from signaling import sdp
from signaling.auth import Authoriser
from signaling.calls import Calls
from signaling.rooms import Peer, check_role
from signaling.wish import Opening, Session, Sessions, WishError, wish_blueprint

_SOURCES = {"audio": "mic", "video": "camera"}


def whip_blueprint(calls: Calls, authoriser: Authoriser, *, allowed_origins: Sequence[str] = ()) -> Blueprint:
    """The routes under /whip."""
    return wish_blueprint(Sessions(calls, "whip"), publish, authoriser=authoriser, allowed_origins=allowed_origins)


async def publish(sessions: Sessions, opening: Opening) -> tuple[Session, str]:
    """Produce every section that the offerer sends and the room's router takes; the others are rejected in the answer.

    Raises WishError 422 when nothing is left, before a room is opened for it; SdpError; CallError. Nobody stays behind.
    """
    check_role(opening.grant.role)
    router = await sessions.calls.router_capabilities(opening.room)
    plan = [_parameters(section, router) for section in opening.offer.sections]
    if not any(plan):
        raise WishError(422, _nothing_to_publish(opening.offer, router))
    session = await sessions.join(opening)
    try:
        role = await sessions.connect(session, "send")
        for section, rtp in zip(opening.offer.sections, plan, strict=True):
            if rtp is not None:
                await _produce(sessions.calls, session.peer, session.transport.id, section, rtp)
        answered = [
            None if rtp is None else sdp.Answered(rtp, sends=False, rids=sdp.simulcast_rids(section))
            for section, rtp in zip(opening.offer.sections, plan, strict=True)
        ]
        return session, sessions.answer(session, answered, role)
    except BaseException:
        sessions.end(session)
        raise


async def _produce(calls: Calls, peer: Peer, transport_id: str, section: sdp.Section, rtp: pb.RtpParameters) -> None:
    kind: Literal["audio", "video"] = "audio" if section.kind == "audio" else "video"
    await calls.produce(peer, transport_id, kind, rtp, app_data={"source": _SOURCES[kind]})


def _parameters(section: sdp.Section, router: pb.RtpCapabilities) -> pb.RtpParameters | None:
    if section.kind not in _SOURCES or not section.sends:
        return None
    return sdp.produce_parameters(section, router)


def _nothing_to_publish(offer: sdp.Offer, router: pb.RtpCapabilities) -> str:
    sending = [section for section in offer.sections if section.kind in _SOURCES and section.sends]
    if not sending:
        return "The offer has no audio or video section that sends: WHIP publishes. To watch, use WHEP."
    offered = sorted({f"{section.kind}/{codec.name}" for section in sending for codec in section.codecs})
    taken = sorted({codec.mime_type for codec in router.codecs if not codec.mime_type.lower().endswith("/rtx")})
    return (
        f"No codec in common. You offer {', '.join(offered) or 'none'}; this room takes {', '.join(taken)}. "
        "For H.264, VP9 and AV1 the profile must match as well."
    )
