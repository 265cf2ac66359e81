"""Python face of the packet modules for tests, tools and benches. No production code imports it.

Everything takes and gives plain values; time is monotonic nanoseconds. What a module drops raises Refused with the
reason's name. What does not fit into `capacity` gives None.
"""

from collections.abc import Iterable
from typing import Any

from rtpfwd.params import Address, IceCheck
from rtpfwd.selector import Selector

class Refused(ValueError):
    """What was given is dropped; `reason` is its name in rtpfwd.names.DROP_REASONS."""

    reason: str

def parse_rtp(data: bytes) -> dict[str, Any]:
    """marker, payload_type, seq, timestamp, ssrc, csrc, extensions as (id, bytes), payload, padding (bytes)."""

def looks_like_rtcp(data: bytes) -> bool:
    """RFC 5761 section 4."""

def unwrap_rtx(data: bytes, media_ssrc: int, media_payload_type: int) -> bytes:
    """The packet that an RTX packet repeats (RFC 4588)."""

def describe(mime_type: str, payload: bytes, *, marker: bool = False) -> dict[str, Any]:
    """What PacketView says of the payload: layer (spatial, temporal), is_keyframe, is_frame_start, is_frame_end,
    is_switch_point, needs_lower; and where there is one: picture_id (value, bits, offset), tl0_index (value,
    offset)."""

class Describing:
    """`describe` for whole RTP packets of one encoding, with what header extensions say of them: frame_number,
    active_targets and has_descriptor of the dependency descriptor, audio_level (-dBov, voice). ext_seq: one more each
    time."""

    def __init__(self, mime_type: str) -> None: ...
    def describe(
        self, data: bytes, *, ext_seq: int | None = None, descriptor_id: int = 0, audio_level_id: int = 0
    ) -> dict[str, Any]: ...

class Structure:
    """Reads dependency descriptors one by one, and keeps the structure that one brings for those after it."""

    def read(self, data: bytes) -> dict[str, Any] | None:
        """start, end, number, layer, indications (one for each target), diffs; active and targets when said. None:
        refused."""

class Numbering:
    """The numbering of frames for one consumer."""

    def forward(
        self, mime_type: str, payload: bytes, *, switch: bool = False, frame_number: int | None = None
    ) -> tuple[bytes, int | None]:
        """The payload and the descriptor's frame number that go out."""

    def drop(self, mime_type: str, payload: bytes) -> None: ...

class Plan:
    """A consumer's header plan: (ExtKind, incoming id, outgoing id) for each extension; playout_delay: steps of 10 ms.
    ValueError: MID too long."""

    def __init__(
        self, extensions: Iterable[tuple[int, int, int]] = (), *, mid: bytes = b"", playout_delay: int | None = None
    ) -> None: ...

def write_rtp(
    data: bytes,
    plan: Plan,
    *,
    payload_type: int,
    seq: int,
    timestamp: int,
    ssrc: int,
    now: int = 0,
    capacity: int = 1500,
    original_seq: int | None = None,
) -> tuple[bytes, int, int] | None:
    """`data` rewritten, and the offsets of its transport-cc and abs-send-time fields. With original_seq: as RTX."""

def hmac_sha1(password: bytes, data: bytes) -> bytes:
    """RFC 2104, as MESSAGE-INTEGRITY has it."""

def stun_authentic(data: bytes, password: bytes) -> bool:
    """Whether the first MESSAGE-INTEGRITY is right."""

def answer_check(data: bytes, check: IceCheck, source: Address) -> bytes | None:
    """What the plane answers to a routine check from there; None when it is none."""

def parse_rtcp(data: bytes) -> list[dict[str, Any]]:
    """One dict for each RtcpItem, with its kind in lower case and the fields that rtcp.pxd gives it."""

def write_rtcp(packets: Iterable[dict[str, Any]], *, capacity: int = 1500) -> bytes:
    """The packets that fit, up to the first that does not. Kinds: sr, rr, cname, bye, pli, fir, nack."""

class Receiving:
    """A RecvStream."""

    def __init__(self, *, ssrc: int = 1, clock_rate: int = 90000, nack: bool = True) -> None: ...
    def receive(
        self, seq: int, now: int, *, timestamp: int = 0, size: int = 100, recovered: bool = False
    ) -> tuple[int, bool]:
        """(extended sequence number, is_restart)."""

    def sender_report(self, *, ntp: int, rtp: int, now: int, packets: int = 0, octets: int = 0) -> None: ...
    def report(self, now: int) -> dict[str, int]: ...
    def nacks(self, now: int, *, room: int = 256, rtt: int = 0) -> list[int]: ...
    def next_timeout(self) -> int | None: ...
    def take_keyframe_wanted(self) -> bool: ...
    def figures(self, now: int) -> dict[str, int]: ...

class Rewriting:
    """A Rewriter."""

    def __init__(self, *, clock_rate: int = 90000, first_seq: int = 0) -> None: ...
    def forward(
        self, ext_seq: int, timestamp: int, now: int, *, ssrc: int = 1, switch: bool = False
    ) -> tuple[int, int]:
        """(sequence number, timestamp) to send."""

    def drop(self, ext_seq: int, *, ssrc: int = 1) -> None: ...
    @property
    def timestamp_offset(self) -> int: ...

class Sending:
    """A SendStream."""

    def __init__(
        self, *, ssrc: int = 1, rtx_ssrc: int = 2, clock_rate: int = 90000, capacity: int = 512, rtx_seq: int = 0
    ) -> None: ...
    def sent(self, ext_seq: int, seq: int, now: int, *, timestamp: int = 0, payload_size: int = 100) -> None: ...
    def reported(self) -> None:
        """As the plane says when it has sent a report."""

    def nacked(self, seq: int, now: int) -> int | None:
        """The low 32 bits of the producer's extended sequence number to send again."""

    def write_rtx(
        self, data: bytes, seq: int, *, payload_type: int, now: int = 0, capacity: int = 1500
    ) -> bytes | None: ...
    def write_sr(
        self, source: Receiving, now: int, *, timestamp_offset: int = 0, capacity: int = 1500
    ) -> bytes | None: ...
    def receive_report(self, block: dict[str, int], now: int) -> None: ...
    def figures(self, now: int) -> dict[str, int]: ...

class Storing:
    """A Slab and one History over it. max_age in ns, 1 s unless given."""

    def __init__(
        self,
        *,
        capacity: int = 64,
        slot_size: int = 256,
        chunk_slots: int = 16,
        max_slots: int = 64,
        max_age: int = ...,
    ) -> None: ...
    def store(self, data: bytes, ext_seq: int, now: int) -> bool: ...
    def find(self, ext_seq: int) -> bytes | None: ...
    def widen(self, seq: int) -> int:
        """The whole extended number of a packet from its low 32 bits."""
    def grow(self) -> bool: ...
    def figures(self) -> dict[str, int]: ...

def select(selector: Selector, *, keyframe: bool = False, restart: bool = False) -> str:
    """One of "drop", "forward" and "switch"."""

def wants_keyframe(selector: Selector) -> bool: ...
def reset(selector: Selector) -> None: ...
def forward_many(data: bytes, mime_type: str, plan: Plan, selector: Selector, count: int) -> int:
    """`data` with `count` sequence numbers through everything from parsing to the written packet, without SRTP.

    How many came out. For the bench in docs/packets.md.
    """
