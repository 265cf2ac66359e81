"""The RTP header: read and written, against tables and against aiortc's reader and writer."""

from __future__ import annotations

import struct

import pytest
from aiortc import rtp as foreign
from hypothesis import given
from hypothesis import strategies as st

from rtpfwd import probe
from rtpfwd.names import DROP_REASONS, EXTENSION_URIS, codec_of, extension_kind

MID, RID, ABS_SEND_TIME, TRANSPORT_CC, AUDIO_LEVEL, PLAYOUT_DELAY = (
    extension_kind(uri)
    for uri in (
        "urn:ietf:params:rtp-hdrext:sdes:mid",
        "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
        "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
    )
)


def packet(
    *,
    first: int = 0x80,
    payload_type: int = 96,
    marker: bool = False,
    seq: int = 7,
    timestamp: int = 1000,
    ssrc: int = 0x1234,
    rest: bytes = b"payload",
) -> bytes:
    return struct.pack("!BBHII", first, payload_type | marker << 7, seq, timestamp, ssrc) + rest


def extended(profile: int, elements: bytes, payload: bytes = b"payload") -> bytes:
    elements += bytes(-len(elements) % 4)
    return packet(first=0x90, rest=struct.pack("!HH", profile, len(elements) // 4) + elements + payload)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "rtp_short"),
        (packet()[:11], "rtp_short"),
        (packet(first=0x40), "rtp_version"),
        (packet(first=0x82, rest=bytes(7)), "rtp_short"),  # two CSRCs announced
        (packet(first=0x90, rest=bytes(3)), "rtp_short"),  # no room for the extension's head
        (packet(first=0x90, rest=bytes.fromhex("BEDE000200000000")), "rtp_short"),
        (extended(0xBEDE, b"\x13ab"), "rtp_extension"),  # four bytes announced, three there
        (extended(0x1000, b"\x01\x07abc"), "rtp_extension"),
        (extended(0x1000, bytes([0, 0, 0, 9])), "rtp_extension"),  # an id without a length
        (extended(0x1000, b"\x01\x00" * 33), "rtp_extension"),  # more elements than we hold
        (packet(first=0xA0, rest=b""), "rtp_padding"),
        (packet(first=0xA0, rest=b"abc\x00"), "rtp_padding"),
        (packet(first=0xA0, rest=b"abc\x05"), "rtp_padding"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(probe.Refused) as refused:
        probe.parse_rtp(data)
    assert refused.value.reason == reason
    assert reason in DROP_REASONS


@pytest.mark.parametrize(
    ("data", "extensions"),
    [
        (extended(0xBEDE, b"\x10a\x21bc"), [(1, b"a"), (2, b"bc")]),
        (extended(0xBEDE, b"\x00\x00\x10a\x00\x21bc"), [(1, b"a"), (2, b"bc")]),  # padding anywhere
        (extended(0xBEDE, b"\x10a\xf0x\x21bc"), [(1, b"a")]),  # 15 ends it
        (extended(0xBEDE, b"\x1f" + b"x" * 16), [(1, b"x" * 16)]),
        (extended(0x1000, b"\x01\x01a\x00\x10\x00\xff\x02bc"), [(1, b"a"), (16, b""), (255, b"bc")]),
        (extended(0x100F, b"\x01\x01a"), [(1, b"a")]),  # the low bits are the application's
        (extended(0xABCD, b"\xff\xff\xff\xff"), []),  # not RFC 8285: skipped
        (packet(first=0x90, rest=bytes.fromhex("BEDE0000") + b"payload"), []),
    ],
)
def test_extensions_of_both_forms_are_found(data: bytes, extensions: list[tuple[int, bytes]]) -> None:
    found = probe.parse_rtp(data)
    assert found["extensions"] == extensions
    assert found["payload"] == b"payload"


def test_padding_is_not_payload() -> None:
    found = probe.parse_rtp(packet(first=0xA0, rest=b"abc\x00\x00\x03"))
    assert (found["payload"], found["padding"]) == (b"abc", 3)
    probing = probe.parse_rtp(packet(first=0xA0, rest=bytes(254) + b"\xff"))
    assert (probing["payload"], probing["padding"]) == (b"", 255)


def test_rtp_and_rtcp_are_told_apart() -> None:
    assert not probe.looks_like_rtcp(b"")
    assert not probe.looks_like_rtcp(b"\x80")
    assert [t for t in range(256) if probe.looks_like_rtcp(bytes([0x80, t]))] == list(range(192, 224))


def rewrite(data: bytes, plan: probe.Plan, **changes: int) -> tuple[bytes, int, int] | None:
    fields = {"payload_type": 100, "seq": 65535, "timestamp": 2**32 - 1, "ssrc": 0x8000_0001, **changes}
    return probe.write_rtp(data, plan, **fields)


def test_a_written_header_has_the_consumers_numbers_and_extensions() -> None:
    plan = probe.Plan(
        [(MID, 4, 1), (RID, 5, 2), (ABS_SEND_TIME, 2, 3), (TRANSPORT_CC, 3, 5), (AUDIO_LEVEL, 1, 6), (0, 9, 0)],
        mid=b"0",
    )
    data = extended(0xBEDE, b"\x10\x8f\x22abc\x31de\x40m\x52rid\x90x")
    written = rewrite(data, plan, now=64_500_000_000)
    assert written is not None
    out, transport_cc, abs_send_time = written
    found = probe.parse_rtp(out)
    half_second = (1 << 17).to_bytes(3, "big")
    assert found["extensions"] == [(1, b"0"), (3, half_second), (5, b"\0\0"), (6, b"\x8f")]
    assert out[abs_send_time : abs_send_time + 3] == half_second
    assert out[transport_cc : transport_cc + 2] == b"\0\0"
    assert out[transport_cc - 1] == 0x51
    assert {k: found[k] for k in ("payload_type", "seq", "timestamp", "ssrc", "payload")} == {
        "payload_type": 100,
        "seq": 65535,
        "timestamp": 2**32 - 1,
        "ssrc": 0x8000_0001,
        "payload": b"payload",
    }


def test_an_extension_of_the_sender_is_stripped_unless_it_is_mapped() -> None:
    written = rewrite(extended(0xBEDE, b"\x10a\x20b"), probe.Plan())
    assert written is not None
    assert written[0][12:] == b"payload"
    assert written[0][0] == 0x80


@pytest.mark.parametrize(
    ("elements", "out_id", "profile"),
    [
        (b"\x01\x01a", 14, 0xBEDE),
        (b"\x01\x01a", 15, 0x1000),
        (b"\x01\x10" + b"x" * 16, 14, 0xBEDE),
        (b"\x01\x11" + b"x" * 17, 14, 0x1000),
        (b"\x01\x00", 14, 0x1000),
    ],
)
def test_the_one_byte_form_is_used_whenever_it_can_be(elements: bytes, out_id: int, profile: int) -> None:
    data = extended(0x1000, elements)
    written = rewrite(data, probe.Plan([(0, 1, out_id)]))
    assert written is not None
    assert int.from_bytes(written[0][12:14], "big") == profile
    element = probe.parse_rtp(data)["extensions"][0][1]
    assert probe.parse_rtp(written[0])["extensions"] == [(out_id, element)]


@pytest.mark.parametrize(
    ("ours", "element"),
    [
        (None, b"\x12\x33\x45"),  # as the sender says
        (0, b"\0\x03\xe8"),  # 12 bits each of the least and the most, in steps of 10 ms: 0 to 10 s
        (13, b"\0\xd3\xe8"),
        (1000, b"\x3e\x83\xe8"),
        (5000, b"\x3e\x83\xe8"),
    ],
)
@pytest.mark.parametrize(("out_id", "capacity"), [(11, 1500), (11, 600), (15, 1500)])
def test_our_playout_delay_takes_the_place_of_the_senders(
    ours: int | None, element: bytes, out_id: int, capacity: int
) -> None:
    data = extended(0xBEDE, b"\x22\x12\x33\x45\x30b")
    plan = probe.Plan([(PLAYOUT_DELAY, 2, out_id), (AUDIO_LEVEL, 3, 4)], playout_delay=ours)
    written = rewrite(data, plan, capacity=capacity)
    assert written is not None
    assert sorted(probe.parse_rtp(written[0])["extensions"]) == [(4, b"b"), (out_id, element)]


def test_a_playout_delay_that_was_not_negotiated_is_not_sent() -> None:
    written = rewrite(extended(0xBEDE, b"\x22\x12\x33\x45"), probe.Plan([(PLAYOUT_DELAY, 2, 0)], playout_delay=13))
    assert written is not None
    assert probe.parse_rtp(written[0])["extensions"] == []


def test_padding_is_left_out_and_csrcs_are_kept() -> None:
    data = packet(first=0xA2, marker=True, rest=b"\0\0\0\1\0\0\0\2" + b"abc\x01")
    written = rewrite(data, probe.Plan())
    assert written is not None
    found = probe.parse_rtp(written[0])
    assert (found["csrc"], found["payload"], found["padding"], found["marker"]) == ([1, 2], b"abc", 0, True)


def test_what_does_not_fit_is_not_written() -> None:
    plan = probe.Plan([(MID, 0, 1), (TRANSPORT_CC, 0, 2), (ABS_SEND_TIME, 0, 3)], mid=b"audio")
    whole = rewrite(packet(), plan)
    assert whole is not None
    size = len(whole[0])
    for capacity in range(size):
        assert rewrite(packet(), plan, capacity=capacity) is None
    assert rewrite(packet(), plan, capacity=size) == whole


def test_a_mid_is_bounded() -> None:
    probe.Plan(mid=b"m" * 16)
    with pytest.raises(ValueError, match="17 bytes is too long"):
        probe.Plan(mid=b"m" * 17)


def test_an_rtx_packet_carries_the_original_number_and_back() -> None:
    media = extended(0xBEDE, b"\x10a")
    written = rewrite(media, probe.Plan([(0, 1, 2)]), original_seq=7)
    assert written is not None
    assert probe.parse_rtp(written[0])["payload"] == b"\0\x07payload"
    restored = probe.parse_rtp(probe.unwrap_rtx(written[0], 0x1234, 96))
    original = probe.parse_rtp(media)
    changed = {"timestamp": 2**32 - 1, "extensions": [(2, b"a")]}
    assert restored == {**original, **changed}


@pytest.mark.parametrize(
    ("rest", "first", "reason"),
    [(b"", 0x80, "rtx_empty"), (b"\0\0\0\x04", 0xA0, "rtx_empty"), (b"x", 0x80, "rtx_short")],
)
def test_an_rtx_packet_without_an_original_is_refused(rest: bytes, first: int, reason: str) -> None:
    with pytest.raises(probe.Refused) as refused:
        probe.unwrap_rtx(packet(first=first, rest=rest), 1, 96)
    assert refused.value.reason == reason


def test_unwrapping_keeps_csrcs_extensions_and_padding() -> None:
    data = packet(first=0xB1, rest=b"\0\0\0\x09" + bytes.fromhex("BEDE0001 1061 0000") + b"\xff\xfepay\0\x02")
    found = probe.parse_rtp(probe.unwrap_rtx(data, 99, 97))
    assert (found["seq"], found["ssrc"], found["payload_type"]) == (0xFFFE, 99, 97)
    assert (found["csrc"], found["extensions"], found["payload"], found["padding"]) == ([9], [(1, b"a")], b"pay", 2)


words = st.integers(0, 2**32 - 1)


@given(
    st.builds(
        lambda **fields: fields,
        payload_type=st.integers(0, 127),
        marker=st.integers(0, 1),
        sequence_number=st.integers(0, 65535),
        timestamp=words,
        ssrc=words,
        payload=st.binary(max_size=100),
    ),
    st.lists(words, max_size=15),
    st.dictionaries(st.integers(1, 14), st.binary(min_size=1, max_size=16), max_size=14),
    st.integers(0, 255),
)
def test_aiortc_and_we_read_the_same(fields: dict, csrc: list[int], extensions: dict[int, bytes], pad: int) -> None:
    theirs = foreign.RtpPacket(**fields)
    theirs.csrc = csrc
    theirs.padding_size = pad
    data = bytearray(theirs.serialize())
    if extensions:
        block = b"".join(bytes([id_ << 4 | len(value) - 1]) + value for id_, value in extensions.items())
        block += bytes(-len(block) % 4)
        at = 12 + 4 * len(csrc)
        data[0] |= 0x10
        data[at:at] = struct.pack("!HH", 0xBEDE, len(block) // 4) + block
    found = probe.parse_rtp(bytes(data))
    assert found == {
        "marker": bool(fields["marker"]),
        "payload_type": fields["payload_type"],
        "seq": fields["sequence_number"],
        "timestamp": fields["timestamp"],
        "ssrc": fields["ssrc"],
        "csrc": csrc,
        "extensions": list(extensions.items()),
        "payload": fields["payload"],
        "padding": pad,
    }
    identity = probe.Plan([(0, id_, id_) for id_ in extensions])
    written = rewrite(bytes(data), identity, **{k: found[k] for k in ("payload_type", "seq", "timestamp", "ssrc")})
    assert written is not None
    again = foreign.RtpPacket.parse(written[0])
    assert probe.parse_rtp(written[0]) == {**found, "padding": 0}
    assert (again.ssrc, again.csrc, again.payload) == (fields["ssrc"], csrc, fields["payload"])


@given(
    elements=st.lists(st.tuples(st.integers(1, 20), st.binary(max_size=20)), max_size=8),
    mapped=st.dictionaries(st.integers(1, 20), st.integers(0, 20), max_size=8),
    own=st.tuples(*[st.integers(0, 16)] * 4),
    playout_delay=st.none() | st.integers(0, 1000),
    mid=st.binary(max_size=16),
    csrcs=st.integers(0, 15),
)
def test_what_is_prepared_gives_the_same_header_as_writing_it_element_by_element(
    elements: list[tuple[int, bytes]],
    mapped: dict[int, int],
    own: tuple[int, ...],
    playout_delay: int | None,
    mid: bytes,
    csrcs: int,
) -> None:
    body = b"".join(bytes([number, len(data)]) + data for number, data in elements)
    body += bytes(-len(body) % 4)
    data = packet(
        first=0x90 | csrcs,
        rest=bytes(range(4 * csrcs)) + struct.pack("!HH", 0x1000, len(body) // 4) + body + b"payload",
    )
    kinds = [(AUDIO_LEVEL, in_id, out_id) for in_id, out_id in mapped.items()]
    kinds += [
        (kind, 0, out_id) for kind, out_id in zip((MID, ABS_SEND_TIME, TRANSPORT_CC, PLAYOUT_DELAY), own, strict=True)
    ]
    plan = probe.Plan(kinds, mid=mid, playout_delay=playout_delay)
    numbers = {"payload_type": 100, "seq": 5, "timestamp": 9, "ssrc": 77, "now": 12_345_678_901}
    # With so little room every header is measured before it is written, which is the other way.
    assert probe.write_rtp(data, plan, capacity=1500, **numbers) == probe.write_rtp(data, plan, capacity=600, **numbers)


def test_names_cover_what_the_plane_knows() -> None:
    assert len(set(DROP_REASONS)) == len(DROP_REASONS)
    assert DROP_REASONS[0] == "none"
    assert sorted(EXTENSION_URIS.values()) == list(range(1, 12))
    assert extension_kind("urn:example") == 0
    assert codec_of("Video/VP8") == codec_of("video/vp8") != codec_of("video/h265") == 0
