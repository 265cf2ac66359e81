"""Which addresses are announced, and how candidates rank."""

from __future__ import annotations

import pytest

from server.io.addresses import enumerate_interfaces, ice_candidates, reachable_addresses

INTERFACES = ("127.0.0.1", "::1", "192.0.2.7", "169.254.3.4", "2001:db8::7", "fe80::1", "10.0.0.5")


@pytest.mark.parametrize(
    ("interfaces", "listen", "announced", "ipv4", "ipv6", "expected"),
    [
        pytest.param(INTERFACES, "", (), True, True, ("2001:db8::7", "192.0.2.7", "10.0.0.5"), id="all real ones"),
        pytest.param(INTERFACES, "", (), True, False, ("192.0.2.7", "10.0.0.5"), id="a socket without IPv6"),
        pytest.param(INTERFACES, "0.0.0.0", (), True, False, ("192.0.2.7", "10.0.0.5"), id="the IPv4 wildcard"),
        pytest.param(INTERFACES, "10.0.0.5", (), True, False, ("10.0.0.5",), id="one address"),
        pytest.param(INTERFACES, "127.0.0.1", (), True, False, ("127.0.0.1",), id="loopback when asked for"),
        pytest.param(("127.0.0.1", "::1"), "", (), True, True, ("::1", "127.0.0.1"), id="loopback when nothing else"),
        pytest.param(INTERFACES, "10.0.0.5", ("203.0.113.9",), True, False, ("203.0.113.9",), id="announced replaces"),
        pytest.param((), "", (), True, True, (), id="a machine without any"),
    ],
)
def test_reachable_addresses(interfaces, listen, announced, ipv4, ipv6, expected):
    assert reachable_addresses(interfaces, listen_host=listen, announced=announced, ipv4=ipv4, ipv6=ipv6) == expected


def test_every_udp_candidate_ranks_above_every_tcp_one():
    candidates = ice_candidates([f"192.0.2.{n}" for n in range(1, 30)], 40000, tcp=True)
    udp = [c.priority for c in candidates if c.protocol == "udp"]
    tcp = [c.priority for c in candidates if c.protocol == "tcp"]
    assert len(udp) == len(tcp) == 29
    assert udp == sorted(udp, reverse=True)
    assert tcp == sorted(tcp, reverse=True)
    assert min(udp) > max(tcp)
    assert len({*udp, *tcp}) == len({c.foundation for c in candidates}) == 58
    assert all(1 <= c.priority < 2**31 for c in candidates)


def test_the_first_priorities_are_those_of_the_formula():
    """RFC 8445 section 5.1.2.1: 2^24 * 126 + 2^8 * 65535 + 255; browsers show the same number."""
    udp, tcp = ice_candidates(["192.0.2.1"], 40000, tcp=True)
    assert (udp.priority, udp.tcp_type, udp.port) == (2130706431, None, 40000)
    assert (tcp.priority >> 24, (tcp.priority >> 21) & 7, tcp.priority & 255) == (90, 4, 255)
    assert tcp.tcp_type == "passive"


def test_without_tcp_there_are_udp_candidates_only():
    assert [c.protocol for c in ice_candidates(["192.0.2.1", "2001:db8::1"], 1, tcp=False)] == ["udp", "udp"]


def test_this_machine_has_a_loopback_address():
    found = enumerate_interfaces()
    assert "127.0.0.1" in found
    assert len(found) == len(set(found))
