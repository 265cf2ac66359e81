"""The typed face of the plane: all forwarding state of one lane.

The plane is sans-I/O: datagrams and the time go in, datagrams come out. `now` is monotonic nanoseconds. Every method
takes the plane's own mutex with the GIL released, so a lane thread may forward while Python commands. An argument that
can't be right raises ValueError, a stale handle KeyError; neither changes anything.
"""

from collections.abc import Sequence

from rtpfwd.events import AudioLevel, CongestionFigures, LayerRate, PlaneEvent
from rtpfwd.params import Address, CongestionParams, ConsumerParams, Handle, IceCheck, ProducerParams, SrtpProfile

def link_planes(planes: Sequence[Plane]) -> None:
    """Join the planes of one node, once, before a lane runs any of them; then each may mirror the others' producers."""

class Plane:
    def __init__(self, *, max_transports: int = 4096, max_streams: int = 65536, seed: int | None = None) -> None: ...

    # Transports. A transport receives from every address that was admitted and sends to one.
    def add_transport(self, *, srtp: bool) -> Handle: ...
    def set_keys(self, transport: Handle, profile: SrtpProfile, send_key: bytes, recv_key: bytes) -> None:
        """Master key followed by master salt. Until then an srtp transport forwards nothing."""

    def admit(self, transport: Handle, socket: int, address: Address) -> None:
        """Datagrams from `address` on `socket` are this transport's. An address admitted elsewhere moves here."""

    def dismiss(self, socket: int, address: Address) -> None: ...
    def admit_any(self, transport: Handle, socket: int, *, comedia: bool) -> None:
        """Every datagram on `socket` is this transport's (PlainTransport). With comedia the source of the first
        valid RTP or RTCP packet becomes the remote and a RemoteLearned event says so."""

    def set_remote(self, transport: Handle, socket: int, address: Address | None) -> None:
        """Where this transport sends. None stops it. Another one than before takes `set_ice` back."""

    def set_ice(self, transport: Handle, check: IceCheck | None) -> None:
        """Answer a STUN check that comes from the remote's address and says this and no more (MESSAGE-INTEGRITY and
        FINGERPRINT right, nothing else that must be understood), as ICE would. Every other one goes to poll_handoff.
        None: all do. The secret is wiped when it is replaced or the transport removed."""

    def consent(self, transport: Handle) -> tuple[int, int]:
        """When the last check was answered so, and the last with USE-CANDIDATE: monotonic ns, 0 when none was since
        `set_ice`."""

    def remove_transport(self, transport: Handle) -> None:
        """With its producers and consumers, and the consumers of those producers."""

    # Producers.
    def add_producer(self, transport: Handle, params: ProducerParams) -> Handle:
        """ValueError when an SSRC, or a MID with a RID, is taken on this transport."""

    def mirror_producer(self, origin: Plane, producer: Handle, now: int) -> Handle:
        """A producer of another linked plane as a producer of this one: its packets come over without being copied, and
        consumers here ask it for retransmissions and keyframes as usual. ValueError when it is mirrored here already or
        the planes are not linked. It is removed with remove_producer, paused and resumed on its own. When the original
        goes, it only falls silent: whoever made it removes it."""

    def pause_producer(self, producer: Handle) -> None: ...
    def resume_producer(self, producer: Handle, now: int) -> None: ...
    def remove_producer(self, producer: Handle) -> None: ...

    # Consumers.
    def add_consumer(self, transport: Handle, producer: Handle, params: ConsumerParams, now: int) -> Handle:
        """A running video consumer asks its producer for a keyframe at once."""

    def pause_consumer(self, consumer: Handle) -> None: ...
    def resume_consumer(self, consumer: Handle, now: int) -> None: ...
    def request_keyframe(self, consumer: Handle, now: int) -> None:
        """Merged and throttled with the other consumers' requests for the same stream."""

    def remove_consumer(self, consumer: Handle) -> None: ...

    # Layers.
    def set_target(self, consumer: Handle, spatial: int, temporal: int, now: int) -> None:
        """What should flow, at most; (-1, -1): the best there is. The selector goes there at a switch point, and what
        flows now goes on until then. Of a selector that has no layers it changes nothing."""

    def set_playout_delay(self, consumer: Handle, least_ms: int) -> None:
        """Have the viewer keep frames back for so long, rounded up to 10 ms and at most 10 s, so that repairs come in
        time; from now on in place of what the producer says. It changes nothing where the playout-delay extension was
        not negotiated."""

    def set_forwarding(self, consumer: Handle, *, on: bool) -> None:
        """Audio that nobody needs to hear now costs nothing until it is on again; then it goes on at once and without
        a gap. Of video it changes nothing: that is what pause_consumer is for."""

    def layer_rates(self, producer: Handle) -> list[LayerRate]:
        """One for each (spatial, temporal) layer of each encoding that was heard lately, ascending. Spatial counts the
        encodings of a simulcast producer, and the layers within the stream of any other."""

    def audio_levels(self) -> list[AudioLevel]:
        """Of every producer of this plane whose packets said a level since the last call. Not of mirrors: ask the
        original."""

    # Congestion control of what a transport sends.
    def control_congestion(self, transport: Handle, params: CongestionParams, now: int) -> None:
        """Estimate from now on what the path to this remote carries, or go on with new limits. EstimateChanged events
        tell; what the transport sends is paced and probed by it."""

    def set_estimate(self, transport: Handle, bps: int | None, now: int) -> None:
        """The estimate of a controller outside, instead of the plane's own; None: the plane's own again."""

    def set_wanted(self, transport: Handle, bps: int, now: int) -> None:
        """What all of its consumers could use together: probing goes no further than a little above it."""

    def watch_feedback(self, transport: Handle, *, on: bool) -> None:
        """FeedbackReceived events, for a controller outside."""

    def congestion(self, transport: Handle) -> CongestionFigures | None:
        """None: not controlled."""

    def set_receive_limit(self, transport: Handle, bps: int | None, now: int) -> None:
        """What this remote may send us, told by REMB every second or sooner; None: not told."""

    # Datagrams, without a lane (virtual time, tests) or from TCP.
    def ingest(self, datagrams: Sequence[tuple[int, Address, bytes]], now: int) -> None:
        """(socket, source, datagram). Anything at all may be in a datagram; what is dropped is counted."""

    def poll_transmit(self) -> tuple[int, Address, bytes] | None:
        """The next datagram to send, (socket, destination, datagram). With a lane only those to TCP addresses."""

    def poll_handoff(self) -> tuple[int, Address, bytes] | None:
        """The next STUN or DTLS datagram (RFC 7983) received, for Python. Bounded; overflow is counted."""

    def poll_event(self) -> PlaneEvent | None: ...
    def next_timeout(self) -> int | None: ...
    def handle_timeout(self, now: int) -> None: ...

    # Figures. Plain dicts of counters and gauges; see docs/forwarding.md for each key and unit.
    def counters(self) -> dict[str, int]:
        """Of the plane: received_packets, received_bytes, forwarded_packets, forwarded_bytes, sent_packets,
        sent_bytes, nacks_received, nacks_sent, retransmitted_packets, keyframe_requests_sent, …, and one
        `drop_<reason>` for every reason to drop a datagram."""

    def transport_stats(self, transport: Handle) -> dict[str, int | float]: ...
    def producer_stats(self, producer: Handle) -> list[dict[str, int | float | str]]:
        """One per encoding."""

    def consumer_stats(self, consumer: Handle) -> dict[str, int | float]: ...
