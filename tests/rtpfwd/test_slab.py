"""Packet slots and the retransmission history."""

from __future__ import annotations

import random
import struct

from rtpfwd import probe

SECOND = 1_000_000_000


def packet(number: int, payload: bytes = b"", padding: int = 0) -> bytes:
    rest = payload + (bytes(padding - 1) + bytes([padding]) if padding else b"")
    return struct.pack("!BBHII", 0x80 | 0x20 * bool(padding), 96, number % 65536, number, 7) + rest


def test_what_is_stored_is_found_without_its_padding() -> None:
    storing = probe.Storing()
    assert storing.find(5) is None
    assert storing.store(packet(5, b"abc", padding=4), 65536 + 5, 0)
    assert storing.find(65536 + 5) == packet(5, b"abc")
    assert storing.find(5) is None
    assert storing.find(2 * 65536 + 5) is None


def test_the_low_bits_of_a_number_are_enough_to_find_it() -> None:
    storing = probe.Storing()
    storing.store(packet(1), 2**40 + 3, 0)
    for number in (2**40 + 3, 2**40, 2**40 - 1, 2**40 - 1000):
        assert storing.widen(number % 2**32) == number


def test_a_history_keeps_the_newest_whatever_the_order() -> None:
    storing = probe.Storing(capacity=32, max_slots=64, chunk_slots=64)
    rng = random.Random(3)
    numbers = list(range(65536 * 2 - 100, 65536 * 2 + 100))
    order = sorted(numbers, key=lambda number: number + rng.random() * 8)
    for number in order:
        storing.store(packet(number), number, 0)
        storing.store(packet(number, b"again"), number, 0)
    for number in numbers:
        expected = packet(number) if number >= numbers[-1] - 31 else None
        assert storing.find(number) == expected
    assert storing.figures()["free"] == 64 - 32


def test_what_is_too_large_or_too_old_is_not_kept() -> None:
    storing = probe.Storing(capacity=16, slot_size=20)
    assert storing.store(packet(100, bytes(8)), 100, 0)
    assert not storing.store(packet(101, bytes(9)), 101, 0)
    assert storing.store(packet(102, bytes(8), padding=9), 102, 0)
    assert not storing.store(packet(86), 86, 0)
    assert storing.store(packet(87), 87, 0)


def test_old_packets_are_let_go_as_new_ones_come() -> None:
    storing = probe.Storing(capacity=64, chunk_slots=64, max_age=SECOND)
    for number in range(200):
        storing.store(packet(number), number, number * SECOND // 10)
    assert 64 - storing.figures()["free"] <= 12
    assert storing.find(199 - 9) is not None
    assert storing.find(199 - 15) is None


def test_a_slab_grows_to_its_limit_and_an_empty_one_loses_nothing_but_the_packet() -> None:
    storing = probe.Storing(capacity=64, chunk_slots=16, max_slots=32)
    stored = [storing.store(packet(number), number, 0) for number in range(20)]
    assert stored == [True] * 16 + [False] * 4
    assert storing.figures() == {"slots": 16, "free": 0, "exhausted": 4, "wants_growth": True}
    assert storing.grow()
    assert storing.store(packet(20), 20, 0)
    assert not storing.grow()
    assert storing.figures() == {"slots": 32, "free": 15, "exhausted": 4, "wants_growth": False}
    assert [storing.find(number) is not None for number in (0, 15, 16, 19, 20)] == [True, True, False, False, True]
