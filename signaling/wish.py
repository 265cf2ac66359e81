"""What WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) share: HTTP around one offer and one answer.

A session is a resource with an unguessable URL, one peer of a room and that peer's one transport; it lives until it is
deleted, its transport dies, or the room ends. What to do with an offer is the one thing in which the two protocols
differ: `signaling.whip` and `signaling.whep` each give a function for it to `wish_blueprint`.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
import trio
from quart import Blueprint, Response, current_app, request
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout

from protos import media_pb2 as pb
from signaling import sdp
from signaling.auth import Authoriser, Grant, bearer_of
from signaling.calls import Calls
from signaling.config import IceServer
from signaling.errors import HTTP_STATUS, CallError, CallErrorCode
from signaling.messages import RoomName, trimmed_name
from signaling.rooms import Direction, Peer, PeerKind

log = structlog.get_logger(__name__)

SDP_TYPE = "application/sdp"
FRAGMENT_TYPE = "application/trickle-ice-sdpfrag"
CONNECT_SECONDS = 30.0  # a session whose DTLS handshake is not done by then is ended
LOOK_SECONDS = 5.0  # how often the node is asked whether it is, should its event be lost
RETRY_SECONDS = 2  # what Retry-After says
MAX_UNCONNECTED = 256  # sessions of one protocol that may be on their way at the same time

_ALL_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class WishError(Exception):
    """A refused request that has a status of its own; everything else is a CallError or an SdpError."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        """`headers`: with _ for -, as in `retry_after="2"`."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = {name.replace("_", "-").title(): value for name, value in headers.items()}


@dataclass(frozen=True, slots=True)
class Opening:
    """A POST that is in order: who wants what where."""

    room: str
    offer: sdp.Offer
    grant: Grant
    display_name: str
    watch: str  # `?peer=` of WHEP: whose media; empty for the default


@dataclass(slots=True, eq=False)
class Session:
    """One resource. `remote`: the client's ICE credentials as it last told them; `etag` names that ICE session."""

    id: str
    room: str
    offer: sdp.Offer
    remote: tuple[str, str]
    etag: str
    peer: Peer
    transport: pb.WebRtcTransportInfo = field(default_factory=pb.WebRtcTransportInfo)
    dtls_connected: bool = False
    ended: bool = False
    settled: trio.Event = field(default_factory=trio.Event)  # connected, or ended before that
    restarting: trio.Lock = field(default_factory=trio.Lock)


Begin = Callable[["Sessions", Opening], Awaitable[tuple[Session, str]]]


class Sessions:
    """The live sessions of one protocol."""

    def __init__(self, calls: Calls, kind: PeerKind) -> None:
        self.calls = calls
        self.kind = kind
        self._live: dict[str, Session] = {}

    async def join(self, opening: Opening, capabilities: pb.RtpCapabilities | None = None) -> Session:
        """A new session with its peer in the room. Raises CallError."""
        if sum(not session.settled.is_set() for session in self._live.values()) >= MAX_UNCONNECTED:
            raise CallError(CallErrorCode.LIMIT, "Too many sessions are connecting at once; try again soon.")
        peer = await self.calls.join(
            opening.room,
            opening.display_name,
            notify=lambda method, data: self._notified(session, method, data),
            closed=lambda reason: self._closed(session, reason),
            kind=self.kind,
            role=opening.grant.role,
            rtp_capabilities=capabilities,
            auto_consume=False,
        )
        # No checkpoint lies between the peer's joining and this, so neither callback can have been called yet.
        session = Session(
            id=secrets.token_urlsafe(24),
            room=opening.room,
            offer=opening.offer,
            remote=(opening.offer.transport.ufrag, opening.offer.transport.pwd),
            etag=_new_etag(),
            peer=peer,
        )
        self._live[session.id] = session
        return session

    async def connect(self, session: Session, direction: Direction) -> str:
        """Make the session's transport and tell it of the client's certificate. Returns our DTLS role."""
        session.transport = await self.calls.create_transport(session.peer, direction)
        described = session.offer.transport
        remote = pb.DtlsParameters(
            # Who offers actpass leaves the choice to us, and we are the DTLS server whenever we may (RFC 8842).
            role="server" if described.setup == "passive" else "client",
            fingerprints=[pb.DtlsFingerprint(algorithm=f.algorithm, value=f.value) for f in described.fingerprints],
        )
        return await self.calls.connect_transport(session.peer, session.transport.id, remote)

    def answer(self, session: Session, answered: Sequence[sdp.Answered | None], dtls_role: str) -> str:
        """The answer's text. Raises CallError when the session was ended while it was set up."""
        if session.ended:
            raise CallError(CallErrorCode.UNAVAILABLE, "The session was ended while it was set up. Try again.")
        number = secrets.randbits(62)
        return sdp.write_answer(session.offer, answered, session.transport, dtls_role=dtls_role, session_id=number)

    def find(self, room: str, session_id: str) -> Session:
        """The live session of that URL; WishError 404 once it has ended."""
        session = self._live.get(session_id)
        if session is None or session.room != room:
            raise WishError(404, "There is no such session (any more): it was deleted, or its connection was lost.")
        return session

    def end(self, session: Session) -> None:
        """Make its peer leave, and forget it. Nothing happens the second time."""
        self._forget(session)
        self.calls.leave(session.peer)

    async def watch_over(self, session: Session) -> None:
        """End a session that doesn't connect; let media flow on one that does.

        Consumers wait for that moment paused: the keyframe that resuming asks for can arrive only now, and asked for
        earlier it would only make the node refuse a second one so soon.
        """
        with trio.move_on_after(CONNECT_SECONDS):
            while not session.settled.is_set():
                with trio.move_on_after(LOOK_SECONDS):
                    await session.settled.wait()
                if not session.settled.is_set():
                    await self._look(session)
        if session.ended:
            return
        if not session.dtls_connected:
            log.info("a session did not connect in time", kind=self.kind)
            self.end(session)
            return
        for consumer in list(session.peer.consumers.values()):
            try:
                await self.calls.resume_consumer(session.peer, consumer.id)
            except CallError as error:
                log.info("a consumer could not be resumed", kind=self.kind, why=error.message)

    async def _look(self, session: Session) -> None:
        """Ask the node itself, for an event that never comes may have been lost (WatchLagged)."""
        try:
            stats = await self.calls.stats(session.peer, transport_id=session.transport.id)
        except CallError:
            return
        if any(row.type == "transport" and row.labels.get("dtls_state") == "connected" for row in stats.rows):
            session.dtls_connected = True
            session.settled.set()

    def _notified(self, session: Session, method: str, data: dict[str, Any]) -> None:
        if method == "transportState" and data["dtlsState"] == "connected":
            session.dtls_connected = True
            session.settled.set()
        elif method == "consumerClosed":
            # There is no renegotiation: what replaces the source can only be seen in a new session.
            self.end(session)

    def _closed(self, session: Session, reason: str) -> None:
        log.info("a session was ended", kind=self.kind, reason=reason)
        self._forget(session)

    def _forget(self, session: Session) -> None:
        session.ended = True
        session.settled.set()
        self._live.pop(session.id, None)


def _new_etag() -> str:
    return secrets.token_hex(8)


def wish_blueprint(
    sessions: Sessions, begin: Begin, *, authoriser: Authoriser, allowed_origins: Sequence[str] = ()
) -> Blueprint:
    """The routes of one protocol: `/<kind>/<room>` takes offers, `/<kind>/<room>/<session>` is the resource.

    Every method is routed here, so that one that isn't allowed is answered like any other mistake.
    """
    blueprint = Blueprint(sessions.kind, __name__)
    endpoint, resource = f"/{sessions.kind}/<room>", f"/{sessions.kind}/<room>/<session_id>"

    @blueprint.route(endpoint, methods=_ALL_METHODS, provide_automatic_options=False)
    async def endpoint_request(room: str) -> Response:
        if request.method == "OPTIONS":
            return _options("POST, OPTIONS", accept_post=SDP_TYPE)
        if request.method != "POST":
            raise WishError(405, f"Only POST of an offer ({SDP_TYPE}) makes sense here.", allow="POST, OPTIONS")
        session, answer = await begin(sessions, await _opening(sessions.kind, room, authoriser))
        current_app.add_background_task(sessions.watch_over, session)
        response = Response(answer, status=201, content_type=SDP_TYPE)
        response.headers["Location"] = f"{request.root_path}/{sessions.kind}/{room}/{session.id}"
        response.headers["ETag"] = f'"{session.etag}"'
        for link in ice_server_links(sessions.calls.ice_servers):
            response.headers.add("Link", link)
        return response

    @blueprint.route(resource, methods=_ALL_METHODS, provide_automatic_options=False)
    async def session_request(room: str, session_id: str) -> Response:
        if request.method == "OPTIONS":
            return _options("PATCH, DELETE, OPTIONS", accept_patch=FRAGMENT_TYPE)
        if request.method not in ("PATCH", "DELETE"):
            raise WishError(405, "A session takes only PATCH and DELETE.", allow="PATCH, DELETE, OPTIONS")
        session = sessions.find(room, session_id)
        if request.method == "DELETE":
            sessions.end(session)
            return Response("", status=200)
        return await _patch(sessions, session)

    @blueprint.after_request
    async def allow_origin(response: Response) -> Response:
        origin = request.headers.get("Origin", "")
        if origin and ("*" in allowed_origins or origin in allowed_origins):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = "Location, ETag, Link, Retry-After, Accept-Post"
            response.headers.add("Vary", "Origin")
        return response

    blueprint.register_error_handler(WishError, _wish_problem)
    blueprint.register_error_handler(CallError, _call_problem)
    blueprint.register_error_handler(sdp.SdpError, _sdp_problem)
    return blueprint


async def _opening(kind: str, room: str, authoriser: Authoriser) -> Opening:
    """Check a POST before anything is made for it."""
    if request.mimetype != SDP_TYPE:
        raise WishError(415, f"Send the offer as {SDP_TYPE}.", accept_post=SDP_TYPE)
    if request.headers.get("Accept") and not request.accept_mimetypes.quality(SDP_TYPE):
        raise WishError(406, f"The answer is {SDP_TYPE}, which your Accept header excludes.")
    try:
        room = msgspec.convert(room, RoomName)
    except msgspec.ValidationError:
        raise WishError(400, "The room's name is 1 to 64 of a-z, 0-9 and -.") from None
    grant = authoriser.check_join(bearer_of(request.headers.get("Authorization")), room)
    try:
        name = grant.name or trimmed_name(request.args.get("name", kind.upper()))
    except ValueError as error:
        raise WishError(400, f"name: {error}") from None
    offer = sdp.parse_untrusted(await _body())
    return Opening(room, offer, grant, name, request.args.get("peer", "")[:80])


async def _body() -> bytes:
    """The request's body, within the application's bounds of size and time."""
    try:
        return await request.get_data(cache=True, as_text=False, parse_form_data=False)
    except RequestEntityTooLarge:
        raise WishError(413, "The body is larger than a description may be.") from None
    except RequestTimeout:
        raise WishError(408, "The body did not arrive in time.") from None


async def _patch(sessions: Sessions, session: Session) -> Response:
    """Trickle or ICE restart (RFC 9725 section 4.3): which of them, the fragment's credentials tell.

    We are ICE-lite: candidates of the client need nothing from us, its checks bring them (RFC 8445 section 7.3.1.3).
    """
    if request.mimetype != FRAGMENT_TYPE:
        raise WishError(415, f"Send ICE changes as {FRAGMENT_TYPE}.", accept_patch=FRAGMENT_TYPE)
    if "If-Match" not in request.headers:
        raise WishError(428, 'Say which ICE session you mean: If-Match with its ETag, or "*" to restart ICE.')
    fragment = sdp.parse_fragment_untrusted(await _body())
    matches = request.if_match
    async with session.restarting:
        if not (matches.star_tag or matches.is_strong(session.etag)):
            raise WishError(412, "That ICE session is over: it was restarted. Use the ETag of the latest answer.")
        if fragment.credentials is None or fragment.credentials == session.remote:
            return Response("", status=204)
        if session.ended:
            raise WishError(404, "The session has just ended.")
        parameters = await sessions.calls.restart_ice(session.peer, session.transport.id)
        session.remote = fragment.credentials
        session.etag = _new_etag()
        body = sdp.write_fragment(session.offer, parameters, session.transport.ice_candidates)
        response = Response(body, status=200, content_type=FRAGMENT_TYPE)
        response.headers["ETag"] = f'"{session.etag}"'
        return response


def _options(methods: str, **headers: str) -> Response:
    """What may be sent here; to a browser of an allowed origin, also that it may (Fetch: CORS preflight)."""
    response = Response("", status=204)
    response.headers["Allow"] = methods
    for name, value in headers.items():
        response.headers[name.replace("_", "-").title()] = value
    if "Access-Control-Request-Method" in request.headers:
        response.headers["Access-Control-Allow-Methods"] = methods
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, If-Match"
        response.headers["Access-Control-Max-Age"] = "600"
    return response


def ice_server_links(servers: Sequence[IceServer]) -> list[str]:
    """STUN and TURN servers as Link header fields (RFC 9725 section 4.6)."""
    links = []
    for server in servers:
        for url in server.urls:
            link = f'<{url}>; rel="ice-server"'
            if server.username:
                link += f'; username="{_quoted(server.username)}"; credential="{_quoted(server.credential)}"'
                link += '; credential-type="password"'
            links.append(link)
    return links


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


# ---- errors as problem details (RFC 9457) ----


async def _wish_problem(error: WishError) -> Response:
    return _problem(error.status, error.detail, error.headers)


async def _sdp_problem(error: sdp.SdpError) -> Response:
    return _problem(400, f"SDP: {error}")


async def _call_problem(error: CallError) -> Response:
    status = HTTP_STATUS[error.code]
    headers = {}
    if error.code is CallErrorCode.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    elif error.code in (CallErrorCode.LIMIT, CallErrorCode.UNAVAILABLE):
        headers["Retry-After"] = str(RETRY_SECONDS)
    return _problem(status, error.message, headers)


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    response = Response(msgspec.json.encode(body), status=status, content_type="application/problem+json")
    response.headers.update(headers or {})
    return response
