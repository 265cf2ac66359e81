"""Opens the sockets of a lane: one port number over UDP and TCP, IPv6 and IPv4 on one socket where there is IPv6."""

from __future__ import annotations

import errno
import ipaddress
import socket
from contextlib import suppress
from dataclasses import dataclass

from server.errors import LocalError

_BACKLOG = 128
_ATTEMPTS = 16  # to find a port that is free over UDP and TCP both


@dataclass(frozen=True, slots=True)
class BoundPort:
    """The sockets of one lane, non-blocking. Whoever holds this closes them."""

    port: int
    udp: socket.socket
    tcp: socket.socket | None
    ipv4: bool
    ipv6: bool

    def close(self) -> None:
        """Close both. Safe to call again."""
        self.udp.close()
        if self.tcp is not None:
            self.tcp.close()


def open_port(host: str, port: int, *, tcp: bool, buffer_bytes: int) -> BoundPort:
    """Bind `port` (0: any that is free in both protocols) on `host` ("": every address of both families).

    Raises LocalError that names the port and the option to change.
    """
    family, address = _family_and_address(host)
    for _ in range(_ATTEMPTS):
        udp = open_udp(host, port, buffer_bytes=buffer_bytes)
        chosen = int(udp.getsockname()[1])
        try:
            stream = _bind(family, socket.SOCK_STREAM, address, chosen) if tcp else None
        except OSError as error:
            udp.close()
            if port == 0 and error.errno == errno.EADDRINUSE:
                continue
            raise _cannot_bind("TCP", host, chosen, error) from error
        if stream is not None:
            stream.listen(_BACKLOG)
        wildcard = address in {"::", "0.0.0.0"}
        return BoundPort(
            port=chosen,
            udp=udp,
            tcp=stream,
            ipv4=family == socket.AF_INET or wildcard,
            ipv6=family == socket.AF_INET6,
        )
    raise LocalError("media_port: found no port that is free over UDP and TCP both; name one with media_port")


def open_udp(host: str, port: int, *, buffer_bytes: int) -> socket.socket:
    """One bound, non-blocking UDP socket with large buffers. Raises LocalError."""
    family, address = _family_and_address(host)
    try:
        udp = _bind(family, socket.SOCK_DGRAM, address, port)
    except OSError as error:
        raise _cannot_bind("UDP", host, port, error) from error
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        with suppress(OSError):  # the kernel grants up to net.core.[rw]mem_max; less is worse, not wrong
            udp.setsockopt(socket.SOL_SOCKET, option, buffer_bytes)
    return udp


def _family_and_address(host: str) -> tuple[socket.AddressFamily, str]:
    if host:
        family = socket.AF_INET if ipaddress.ip_address(host).version == 4 else socket.AF_INET6
        return family, host
    if _has_ipv6():
        return socket.AF_INET6, "::"
    return socket.AF_INET, "0.0.0.0"


def _has_ipv6() -> bool:
    """Whether this machine can bind an IPv6 address at all; containers often can't."""
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def _bind(family: socket.AddressFamily, kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    bound = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:
            # A wildcard serves IPv4 too, as mapped addresses; a single IPv6 address can't.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address == "::" else 1)
        if kind == socket.SOCK_STREAM:
            # Connections of an earlier run in TIME_WAIT must not keep a restarted node from its port.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setblocking(False)
        bound.bind((address, port))
    except OSError:
        bound.close()
        raise
    return bound


def _cannot_bind(protocol: str, host: str, port: int, error: OSError) -> LocalError:
    where = f"{protocol} port {port} on {host or 'every address'}"
    if error.errno == errno.EADDRINUSE:
        return LocalError(
            f"media_port: {where} is taken by another program; stop it (see `ss -lnp`), or choose another media_port"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return LocalError(
            f"listen_host: {host} is no address of this machine (see `ip address`); leave it empty for all"
        )
    if error.errno == errno.EACCES:
        return LocalError(
            f"media_port: {where} may not be opened by this user; ports under 1024 take root, choose a higher"
        )
    return LocalError(f"media_port: {where} can't be opened: {error.strerror}")
