"""The lane's port over UDP and TCP, and what an operator reads when it can't be had."""

from __future__ import annotations

import socket

import pytest

from server.errors import LocalError
from server.io.sockets import open_port, open_udp

BUFFER = 1 << 20


def test_udp_and_tcp_share_one_number():
    bound = open_port("127.0.0.1", 0, tcp=True, buffer_bytes=BUFFER)
    try:
        assert bound.tcp is not None
        assert bound.udp.getsockname()[1] == bound.tcp.getsockname()[1] == bound.port
        assert (bound.ipv4, bound.ipv6) == (True, False)
        assert not bound.udp.getblocking()
    finally:
        bound.close()


def test_the_wildcard_takes_ipv4_too():
    bound = open_port("", 0, tcp=False, buffer_bytes=BUFFER)
    try:
        assert bound.ipv4
        bound.udp.setblocking(True)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as remote:
            remote.sendto(b"hello", ("127.0.0.1", bound.port))
        assert bound.udp.recv(100) == b"hello"
    finally:
        bound.close()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["udp", "tcp"])
def test_a_port_that_is_taken_is_named_with_the_option_to_change(kind):
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen(1)
        port = other.getsockname()[1]
        with pytest.raises(LocalError, match=rf"media_port: (UDP|TCP) port {port} on 127\.0\.0\.1 is taken"):
            open_port("127.0.0.1", port, tcp=True, buffer_bytes=BUFFER)


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(LocalError, match=r"listen_host: 192\.0\.2\.1 is no address of this machine"):
        open_udp("192.0.2.1", 0, buffer_bytes=BUFFER)


def test_the_buffers_are_larger_than_the_systems_default():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        default = plain.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        granted = plain.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    with open_udp("127.0.0.1", 0, buffer_bytes=BUFFER) as udp:
        assert udp.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == granted >= default


def test_a_machine_without_ipv6_serves_ipv4(monkeypatch):
    monkeypatch.setattr(socket, "has_ipv6", False)
    bound = open_port("", 0, tcp=True, buffer_bytes=BUFFER)
    try:
        assert (bound.ipv4, bound.ipv6) == (True, False)
        assert bound.udp.family == socket.AF_INET
    finally:
        bound.close()
