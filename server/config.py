"""How a media node is set up. Parsed once by the command line, checked here, then passed down frozen."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field

from server.errors import LocalError
from server.media.adaptation_settings import AdaptationSettings
from server.media.limits import MediaLimits

MAX_LANES = 64
SRTP_BACKENDS = ("auto", "native", "libsrtp")  # rtpfwd.srtp says what they mean
MAX_COALESCE_US = 200
LEAST_BPS, MOST_BPS = 10_000, 10_000_000_000  # of the estimate of a path
MOST_PLAYOUT_DELAY_MS = 10_000  # that the header extension is used for


@dataclass(frozen=True, slots=True)
class MediaConfig:
    """The whole configuration of one media node. Raises LocalError, saying what to do, when a value can't be right.

    `media_port` is the port of the first lane, over UDP and TCP; lane n uses `media_port + n`; 0 takes any free
    ports. `announced` replaces the addresses found on the interfaces in the ICE candidates: what the world sees
    behind a one-to-one NAT.
    """

    listen_host: str = ""  # empty: every IPv6 and IPv4 address
    media_port: int = 0
    lanes: int = 0  # 0: one for each CPU that this process may use
    lane_cpus: tuple[int, ...] = ()  # the CPU that each lane's thread stays on; empty: wherever the kernel puts it
    coalesce_us: int = 0  # how long a lane that was idle waits for the rest of a burst; docs/forwarding.md
    announced: tuple[str, ...] = ()
    node_id: str = ""  # empty: random
    srtp_backend: str = "auto"  # one of SRTP_BACKENDS, for the whole process
    tcp: bool = True  # ICE-TCP (RFC 6544) beside UDP
    socket_buffer_bytes: int = 4 * 1024 * 1024  # asked for; the kernel may grant less
    consent_timeout_ns: int = 30_000_000_000  # RFC 7675 section 5.1
    max_tcp_connections: int = 1024  # per lane
    max_tcp_connections_per_source: int = 32  # per lane and source IP address
    max_watchers: int = 64  # fronts that read this node's events at the same time
    limits: MediaLimits = field(default_factory=MediaLimits)
    adaptation: AdaptationSettings = field(default_factory=AdaptationSettings)

    def __post_init__(self) -> None:
        if self.listen_host:
            _require_ip("listen_host", self.listen_host)
        for address in self.announced:
            _require_ip("announced", address)
            if ipaddress.ip_address(address).is_unspecified:
                raise LocalError(f"announced: {address} is a wildcard; name an address that viewers can reach")
        if not 0 <= self.lanes <= MAX_LANES:
            raise LocalError(
                f"lanes: {self.lanes} is not in 1 … {MAX_LANES}; one for each core is plenty, and what 0 takes"
            )
        self._require_cpus()
        if not 0 <= self.coalesce_us <= MAX_COALESCE_US:
            raise LocalError(f"coalesce_us: {self.coalesce_us} is not in 0 … {MAX_COALESCE_US}; 0 turns it off")
        last = self.media_port + self.lane_count - 1
        if not 0 <= self.media_port <= 65535 or last > 65535:
            raise LocalError(
                f"media_port: {self.media_port} with {self.lane_count} lane(s) leaves the range 1 … 65535; "
                "choose a lower port, or 0 for any free one"
            )
        if self.srtp_backend not in SRTP_BACKENDS:
            raise LocalError(f"srtp_backend: {self.srtp_backend!r} is none of {', '.join(SRTP_BACKENDS)}")
        if self.socket_buffer_bytes < 65536:
            raise LocalError(f"socket_buffer_bytes: {self.socket_buffer_bytes} is under 65536; packets would be lost")
        if self.consent_timeout_ns < 1_000_000_000:
            raise LocalError("consent_timeout_ns: under one second every network hiccup would end the call")

        self._require_rates()

    def _require_rates(self) -> None:
        settings = self.adaptation
        for name, bps in (
            ("min_bitrate", settings.min_bps),
            ("start_bitrate", settings.start_bps),
            ("max_bitrate", settings.max_bps),
        ):
            if not LEAST_BPS <= bps <= MOST_BPS:
                raise LocalError(f"{name}: {bps} bit/s is not in {LEAST_BPS} … {MOST_BPS}")
        if not settings.min_bps <= settings.start_bps <= settings.max_bps:
            raise LocalError(
                f"start_bitrate: {settings.start_bps} is not between min_bitrate ({settings.min_bps}) "
                f"and max_bitrate ({settings.max_bps})"
            )
        if settings.audio_forwarding < 0:
            raise LocalError("audio_forwarding: name how many microphones are heard at once, or 0 for all")
        if not 0 <= settings.most_playout_delay_ms <= MOST_PLAYOUT_DELAY_MS:
            raise LocalError(
                f"most_playout_delay: {settings.most_playout_delay_ms} ms is not in 0 … {MOST_PLAYOUT_DELAY_MS}"
            )

    def _require_cpus(self) -> None:
        if not self.lane_cpus:
            return
        if len(self.lane_cpus) != self.lane_count:
            raise LocalError(
                f"lane_cpus: names {len(self.lane_cpus)} CPU(s) for {self.lane_count} lane(s); name one for each lane"
            )
        allowed = os.sched_getaffinity(0)
        for cpu in self.lane_cpus:
            if cpu not in allowed:
                shown = ", ".join(str(each) for each in sorted(allowed))
                raise LocalError(f"lane_cpus: this process may not run on CPU {cpu}; it may on {shown}")

    @property
    def lane_count(self) -> int:
        """How many lanes that is on this machine."""
        return self.lanes or min(len(os.sched_getaffinity(0)), MAX_LANES)


def _require_ip(option: str, text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise LocalError(f"{option}: {text!r} is not an IP address; give an IPv4 or IPv6 literal") from None
