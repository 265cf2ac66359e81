"""What a front is told at its start. Nothing in `signaling` reads the environment or a command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on everything a stranger can make grow. Times are seconds, sizes bytes, rates per second."""

    rooms: int = 1_000  # live rooms, each with a router on the node
    room_records: int = 10_000  # rows that REST may create
    history_records: int = 200_000  # participations that are kept; the oldest go first
    peers_per_room: int = 100
    sockets: int = 4_000
    producers_per_peer: int = 8
    consumers_per_peer: int = 400
    transports_per_minute: int = 60  # creations by one peer; each costs the node keys and an ICE credential
    open_requests: int = 64  # of one socket, not answered yet
    requests_per_second: float = 50.0  # of one socket, sustained
    request_burst: float = 200.0  # of one socket: a join makes many at once
    chat_messages: int = 100  # kept per room, in memory only
    outbound_frames: int = 1_000  # waiting for one socket that reads slowly
    outbound_characters: int = 2_000_000  # in all of them together: a reply to a join may have 200,000 of chat
    frame_bytes: int = 65_536
    write_seconds: float = 10.0  # one frame that a client does not take for so long cuts its socket
    join_seconds: float = 120.0  # a socket that has not joined by then is closed
    resume_seconds: float = 5.0  # how long a peer outlives its socket
    room_grace_seconds: float = 5.0  # how long a router outlives its last peer
    node_seconds: float = 10.0  # how long the node may take for one command
    rest_creates_per_minute: float = 30.0  # rooms created over REST by one address
    body_bytes: int = 65_536  # of one HTTP request
    body_seconds: float = 15.0  # until all of it is there


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server for the clients, in the words of RTCIceServer."""

    urls: tuple[str, ...]
    username: str = ""
    credential: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class SignalingConfig:
    """One front. `database_url` empty: an SQLite file in `data_dir`. `port` 0: any free one."""

    host: str = "127.0.0.1"
    port: int = 3000
    data_dir: Path = Path("data")
    database_url: str = field(default="", repr=False)  # may carry a password
    web_root: Path | None = None  # a static export of the web client
    auth_secret: str = field(default="", repr=False)  # HS256 secret of join tokens; empty: anybody may join
    admin_token: str = field(default="", repr=False)  # empty: generated into data_dir/admin-token
    ice_servers: tuple[IceServer, ...] = ()
    allowed_origins: tuple[str, ...] = ()  # besides the page's own, for browsers on other hosts; "*" for any
    limits: Limits = Limits()
    ping_seconds: float = 10.0  # between WebSocket pings; three without any sign of life end the socket
    stop_seconds: float = 2.0  # from the wish to stop until every socket is gone
