"""Which addresses the node is reached at, and the ICE candidates that say so (RFC 8445, RFC 6544).

The choice is pure: `enumerate_interfaces` reads the machine, everything else works on its answer.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

import ifaddr

from server.rtc.parameters import IceCandidate

# RFC 8445 section 5.1.2.2 recommends 126 for host candidates. TCP ones get 90 so that every UDP pair is tried and
# preferred before any TCP pair (RFC 6544 section 4.2); browsers number their own host candidates the same way.
_UDP_TYPE_PREFERENCE = 126
_TCP_TYPE_PREFERENCE = 90
_TCP_PASSIVE_DIRECTION_PREFERENCE = 4  # RFC 6544 section 4.2
_COMPONENT = 1  # RTP and RTCP are multiplexed (RFC 8843)


def enumerate_interfaces() -> tuple[str, ...]:
    """Every IP literal of this machine's interfaces, in the system's order. Scoped IPv6 ones are left out."""
    found: list[str] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            if isinstance(ip.ip, str):
                found.append(ip.ip)
            elif not ip.ip[2]:  # (address, flow info, scope id): a scoped one means nothing to a remote
                found.append(ip.ip[0])
    return tuple(dict.fromkeys(found))


def reachable_addresses(
    interfaces: Iterable[str], *, listen_host: str, announced: Sequence[str], ipv4: bool, ipv6: bool
) -> tuple[str, ...]:
    """The addresses to put into candidates, best first.

    `announced` replaces everything. A listen host that is not a wildcard is the only one. Else the interfaces'
    addresses of the served families, without link-local ones, and without loopback unless there is nothing else.
    """
    if announced:
        return tuple(announced)
    if listen_host and not ipaddress.ip_address(listen_host).is_unspecified:
        return (listen_host,)
    parsed = [ipaddress.ip_address(text) for text in interfaces]
    served = [ip for ip in parsed if (ipv4 if ip.version == 4 else ipv6) and not ip.is_link_local]
    chosen = [ip for ip in served if not ip.is_loopback] or served
    # RFC 8421 recommends to mix the families; with host candidates only, IPv6 first is its simplest form.
    return tuple(str(ip) for ip in sorted(chosen, key=lambda ip: -ip.version))


def ice_candidates(addresses: Sequence[str], port: int, *, tcp: bool) -> tuple[IceCandidate, ...]:
    """Host candidates of one lane: every UDP one above every TCP one."""
    udp = tuple(
        IceCandidate(
            foundation=f"udp{index}",
            priority=udp_priority(index),
            address=address,
            protocol="udp",
            port=port,
        )
        for index, address in enumerate(addresses)
    )
    if not tcp:
        return udp
    return udp + tuple(
        IceCandidate(
            foundation=f"tcp{index}",
            priority=tcp_priority(index),
            address=address,
            protocol="tcp",
            port=port,
            tcp_type="passive",
        )
        for index, address in enumerate(addresses)
    )


def udp_priority(index: int) -> int:
    """RFC 8445 section 5.1.2.1 for the `index`-th best address."""
    return (_UDP_TYPE_PREFERENCE << 24) | ((65535 - min(index, 65535)) << 8) | (256 - _COMPONENT)


def tcp_priority(index: int) -> int:
    """RFC 6544 section 4.2 for the `index`-th best address, passive."""
    local = (_TCP_PASSIVE_DIRECTION_PREFERENCE << 13) | (8191 - min(index, 8191))
    return (_TCP_TYPE_PREFERENCE << 24) | (local << 8) | (256 - _COMPONENT)
