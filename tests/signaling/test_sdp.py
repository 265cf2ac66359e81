"""Reading offers, turning them into ORTC terms, answering them: with offers of real clients and our own router."""

from __future__ import annotations

import random

import pytest
from aiortc.sdp import SessionDescription

from protos import media_pb2 as pb
from server.control.convert import rtp_capabilities_from_pb, rtp_parameters_from_pb, rtp_parameters_to_pb
from server.rtc import ortc
from server.rtc.capabilities import router_capabilities
from signaling import sdp
from tests.signaling.sdp_corpus import NAMES, PUBLISHING, WATCHING, offer_bytes, router, transport_info


def answer_to_publisher(offer: sdp.Offer, role: str = "server") -> str:
    """The answer that takes every section that sends."""
    answered = []
    for section in offer.sections:
        wanted = section.kind in ("audio", "video") and section.sends
        rtp = sdp.produce_parameters(section, router()) if wanted else None
        answered.append(None if rtp is None else sdp.Answered(rtp, sends=False, rids=sdp.simulcast_rids(section)))
    return sdp.write_answer(offer, answered, transport_info(), dtls_role=role, session_id=7)


def offer_of(name: str) -> sdp.Offer:
    return sdp.parse_untrusted(offer_bytes(name))


def edited(name: str, *changes: tuple[str, str]) -> str:
    text = offer_bytes(name).decode()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


# ---- reading ----


@pytest.mark.parametrize("name", NAMES)
def test_every_real_offer_is_read(name):
    offer = offer_of(name)
    assert {"audio", "video"} <= {section.kind for section in offer.sections}
    assert offer.bundle == tuple(section.mid for section in offer.sections)
    assert len(offer.transport.ufrag) >= 4
    assert all(fingerprint.value == fingerprint.value.upper() for fingerprint in offer.transport.fingerprints)
    expected = {"ffmpeg-passive": "passive", "ffmpeg-active": "active"}.get(name, "actpass")
    assert offer.transport.setup == expected


def test_lines_may_end_in_lf_alone():
    assert sdp.parse_untrusted(offer_bytes("chromium-publish").replace(b"\r\n", b"\n")) == offer_of("chromium-publish")


def test_session_level_values_hold_for_sections_without_their_own():
    offer = offer_of("firefox-publish")
    assert offer.transport.fingerprints[0].value.startswith("4F:6C")
    assert [section.direction for section in offer.sections] == ["sendonly", "sendonly"]
    text = edited("aiortc-publish", ("a=sendonly\r\n", ""), ("t=0 0\r\n", "t=0 0\r\na=recvonly\r\n"))
    assert [section.direction for section in sdp.parse_untrusted(text).sections] == ["recvonly", "recvonly"]


def test_wildcard_feedback_reaches_every_payload_type():
    video = offer_of("firefox-publish").sections[1]
    feedback = {codec.payload_type: codec.feedback for codec in video.codecs}
    assert feedback[126] == (("nack", ""),)
    assert ("transport-cc", "") in feedback[120]
    assert ("nack", "") in feedback[120]


def test_port_0_means_rejected_unless_bundle_only():
    assert not offer_of("firefox-publish").sections[1].rejected
    offer = sdp.parse_untrusted(edited("firefox-publish", ("a=bundle-only\r\n", "")))
    assert offer.sections[1].rejected
    assert not offer.sections[1].sends


def test_simulcast_lists_take_the_first_alternative_and_ignore_pauses():
    text = edited("chromium-simulcast", ("a=simulcast:send h;m;l", "a=simulcast:send h,m;~l recv x"))
    video = sdp.parse_untrusted(text).sections[1]
    assert video.simulcast_send == ("h", "l")
    assert sdp.simulcast_rids(video) == ("h", "l")


def test_of_two_extensions_with_one_id_or_one_uri_the_first_counts():
    again = "a=extmap:1 urn:x\r\na=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:15 urn:y\r\na=mid:0"
    audio = sdp.parse_untrusted(edited("aiortc-publish", ("a=mid:0", again))).sections[0]
    assert [(e.id, e.uri.split(":")[-1]) for e in audio.extensions] == [(1, "mid"), (2, "ssrc-audio-level"), (15, "y")]


BROKEN = {
    "empty": ("", "starts with v=0"),
    "no section": ("v=0\r\ns=-\r\n", "no m= section"),
    "not text": (b"v=0\r\n\xff\xfe", "not UTF-8"),
    "a control character": ("v=0\r\ns=a\0b\r\n", "line 2: the line has a control character"),
    "no line at all": ("v=0\r\nhello\r\n", "line 2: a line is one lower-case letter"),
    "too large": ("v=0\r\n" + "a=x\r\n" * 20_000, "64 KiB"),
    "too many lines": ("v=0\r\n" + "a=\r\n" * 2_500, "lines"),
    "a long line": ("v=0\r\na=" + "x" * 5_000, "line 2"),
    "too many sections": ("v=0\r\n" + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" * 17, "16 m= sections"),
    "no fingerprint": (("a=fingerprint", "a=nothing"), "fingerprint"),
    "a short fingerprint": (("a=fingerprint:sha-256 42:", "a=fingerprint:sha-256 "), "32 hex pairs"),
    "no ICE": (("a=ice-ufrag:m8Hr\r\n", ""), "ice-ufrag"),
    "a short password": (("a=ice-pwd:ljZ234BGammU7j0aAg9k88U9", "a=ice-pwd:short"), "ice-pwd"),
    "no rtcp-mux": (("a=rtcp-mux\r\n", ""), "rtcp-mux"),
    "plain RTP": (("UDP/TLS/RTP/SAVPF", "RTP/AVP"), "DTLS-SRTP"),
    "no BUNDLE": (("a=group:BUNDLE 0 1\r\n", ""), "BUNDLE"),
    "BUNDLE of some": (("a=group:BUNDLE 0 1\r\n", "a=group:BUNDLE 0\r\n"), "BUNDLE"),
    "BUNDLE of nobody": (("a=group:BUNDLE 0 1\r\n", "a=group:BUNDLE 0 1 2\r\n"), "'2'"),
    "one mid twice": (("a=mid:1\r\n", "a=mid:0\r\n"), "same mid"),
    "all rejected": (("m=audio 9", "m=audio 0", "m=video 9", "m=video 0"), "rejected"),
    "an impossible payload type": (("a=rtpmap:96 VP8", "a=rtpmap:960 VP8"), "payload type"),
    "an impossible ssrc": (("a=ssrc:962530490 cname", "a=ssrc:9962530490 cname"), "ssrc"),
    "a strange setup": (("a=setup:actpass", "a=setup:maybe"), "setup"),
    "holdconn": (("a=setup:actpass", "a=setup:holdconn"), "holdconn"),
    "a strange rid": (("a=rid:h send", "a=rid:h/ send"), "rid"),
    "an ICE-lite client": (("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n"), "ICE-lite"),
    "a cut candidate": (("typ host", "host"), "candidate"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_offer_is_refused_with_what_is_wrong(case):
    change, message = BROKEN[case]
    if isinstance(change, tuple):
        change = edited("chromium-simulcast", *zip(change[::2], change[1::2], strict=True))
    with pytest.raises(sdp.SdpError, match=message):
        sdp.parse_untrusted(change)


def test_one_section_needs_neither_bundle_nor_mid():
    text = offer_bytes("ffmpeg-active").decode()
    only_audio = text[: text.index("m=video")].replace("a=group:BUNDLE 0 1\r\n", "").replace("a=mid:0\r\n", "")
    offer = sdp.parse_untrusted(only_audio)
    assert offer.bundle == ()
    answer = answer_to_publisher(offer)
    assert "BUNDLE" not in answer
    assert "a=mid" not in answer
    assert "a=candidate" in answer


# ---- producing ----


@pytest.mark.parametrize("name", PUBLISHING)
def test_what_a_client_sends_is_what_the_node_takes(name):
    for section in offer_of(name).sections:
        if section.kind == "application":
            continue
        rtp = sdp.produce_parameters(section, router())
        assert rtp is not None
        caps = router_capabilities()
        agreed, mapping = ortc.producer_rtp_parameters_mapping(rtp_parameters_from_pb(rtp), caps, random.Random(1))
        consumable = ortc.consumable_rtp_parameters(section.kind, agreed, caps, mapping)
        assert ortc.can_consume(consumable, caps)


def test_a_producer_is_the_first_known_codec_with_its_rtx():
    audio, video = offer_of("aiortc-publish").sections
    rtp = sdp.produce_parameters(video, router())
    assert [(codec.mime_type, codec.payload_type) for codec in rtp.codecs] == [("video/VP8", 97), ("video/rtx", 98)]
    assert rtp.codecs[1].parameters["apt"].integer == 97
    assert [(fb.type, fb.parameter) for fb in rtp.codecs[0].rtcp_feedback] == [("nack", ""), ("nack", "pli")]
    assert [(e.ssrc, e.rtx_ssrc) for e in rtp.encodings] == [(4197410126, 3337615022)]
    assert rtp.rtcp.cname == "70c25a9f-5a35-46e7-a8e4-a1945d9de3d6"
    assert rtp.msid.startswith("5ad611bd")
    assert rtp.mid == "1"
    opus = sdp.produce_parameters(audio, router())
    assert (opus.codecs[0].mime_type, opus.codecs[0].channels) == ("audio/opus", 2)


def test_simulcast_encodings_are_lowest_first():
    """RFC 8853: the offer lists the most preferred first; an offer that starts with its lowest is left as it is."""
    video = offer_of("chromium-simulcast").sections[1]
    assert [e.rid for e in sdp.produce_parameters(video, router()).encodings] == ["l", "m", "h"]
    reversed_text = edited("chromium-simulcast", ("a=simulcast:send h;m;l", "a=simulcast:send l;m;h"))
    video = sdp.parse_untrusted(reversed_text).sections[1]
    assert [e.rid for e in sdp.produce_parameters(video, router()).encodings] == ["l", "m", "h"]


def test_simulcast_by_ssrc_group():
    text = edited(
        "gstreamer-publish",
        (
            "a=ssrc-group:FID 3484078950 2713498265\r\n",
            "a=ssrc-group:SIM 1 2\r\na=ssrc-group:FID 1 11\r\na=ssrc:1 cname:c\r\n",
        ),
    )
    rtp = sdp.produce_parameters(sdp.parse_untrusted(text).sections[0], router())
    assert [(e.ssrc, e.rtx_ssrc) for e in rtp.encodings] == [(1, 11), (2, 0)]
    assert not rtp.encodings[1].HasField("rtx_ssrc")


def test_no_rtx_is_sent_to_a_router_without_it():
    without = pb.RtpCapabilities(codecs=[c for c in router().codecs if c.mime_type != "video/rtx"])
    rtp = sdp.produce_parameters(offer_of("aiortc-publish").sections[1], without)
    assert [codec.mime_type for codec in rtp.codecs] == ["video/VP8"]
    assert not rtp.encodings[0].HasField("rtx_ssrc")


def test_rids_without_their_extension_are_refused():
    text = edited("chromium-simulcast", ("urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", "urn:x"))
    with pytest.raises(sdp.SdpError, match="RIDs without the header extension"):
        sdp.produce_parameters(sdp.parse_untrusted(text).sections[1], router())


def test_a_stream_without_ssrc_needs_the_mid_extension():
    text = edited("ffmpeg-active", ("a=ssrc", "a=x"))
    with pytest.raises(sdp.SdpError, match="names its stream by none"):
        sdp.produce_parameters(sdp.parse_untrusted(text).sections[0], router())


def test_extensions_that_only_the_viewer_gets_are_not_negotiated_for_sending():
    audio, video = offer_of("firefox-publish").sections
    assert {e.id for e in sdp.produce_parameters(audio, router()).header_extensions} == {1, 3}
    assert 6 not in {e.id for e in sdp.produce_parameters(video, router()).header_extensions}


@pytest.mark.parametrize(
    ("profile_level_id", "sent_as"),
    [("42e01f", "42e01f"), ("42c00c", "42c00c"), ("42000c", "42e00c"), ("4d001f", "4d001f"), ("640028", "640028")],
)
def test_h264_matches_by_profile_and_plain_baseline_counts_as_constrained(profile_level_id, sent_as):
    text = edited("ffmpeg-active", ("profile-level-id=42000c", f"profile-level-id={profile_level_id}"))
    offer = sdp.parse_untrusted(text)
    rtp = sdp.produce_parameters(offer.sections[1], router())
    assert rtp.codecs[0].parameters["profile-level-id"].text == sent_as
    assert f"profile-level-id={profile_level_id}\r\n" in answer_to_publisher(offer), "the answer repeats the offer's"


@pytest.mark.parametrize("wrong", ["profile-level-id=f4001f", "profile-level-id=zz", "packetization-mode=2"])
def test_another_h264_is_not_taken(wrong):
    key = wrong.partition("=")[0]
    text = offer_bytes("ffmpeg-active").decode()
    line = next(line for line in text.split("\r\n") if line.startswith("a=fmtp:106"))
    kept = [item for item in line.removeprefix("a=fmtp:106 ").split(";") if not item.startswith(key)]
    offer = sdp.parse_untrusted(text.replace(line, "a=fmtp:106 " + ";".join([*kept, wrong])))
    assert sdp.produce_parameters(offer.sections[1], router()) is None


# ---- consuming ----


@pytest.mark.parametrize("name", WATCHING)
def test_what_a_viewer_is_sent_is_in_its_own_numbers(name):
    offer = offer_of(name)
    capabilities = sdp.consume_capabilities(offer.sections, router())
    caps = router_capabilities()
    answered = []
    for section in offer.sections:
        source = next(s for s in offer_of("chromium-publish").sections if s.kind == section.kind)
        sent = rtp_parameters_from_pb(sdp.produce_parameters(source, router()))
        agreed, mapping = ortc.producer_rtp_parameters_mapping(sent, caps, random.Random(1))
        consumable = ortc.consumable_rtp_parameters(section.kind, agreed, caps, mapping)
        params = ortc.consumer_rtp_parameters(
            consumable,
            rtp_capabilities_from_pb(capabilities),
            random.Random(2),
            enable_rtx=section.kind == "video",
            mid=section.mid,
            adopt_viewer_numbers=True,
        )
        offered = {codec.payload_type: codec.name.lower() for codec in section.codecs}
        assert [(c.payload_type, c.mime_type.partition("/")[2].lower()) for c in params.codecs] == [
            (c.payload_type, offered[c.payload_type]) for c in params.codecs
        ]
        answered.append(sdp.Answered(rtp_parameters_to_pb(params), sends=True, stream_id="peer1"))
    text = sdp.write_answer(offer, answered, transport_info(), dtls_role="server", session_id=7)
    read = SessionDescription.parse(text)
    assert [media.direction for media in read.media] == ["sendonly", "sendonly"]
    video = next(media for media in read.media if media.kind == "video")
    assert video.ssrc_group[0].semantic == "FID"
    assert video.ssrc[0].cname
    assert len({media.msid.split()[0] for media in read.media}) == 1, "one stream, so that lips are in step"


def test_only_what_the_router_can_send_is_asked_for():
    capabilities = sdp.consume_capabilities(offer_of("chromium-watch").sections, router())
    names = {codec.mime_type.lower() for codec in capabilities.codecs}
    assert names == {"audio/opus", "video/vp8", "video/vp9", "video/h264", "video/av1", "video/rtx"}


# ---- answering ----


@pytest.mark.parametrize("name", PUBLISHING)
def test_an_answer_mirrors_its_offer(name):
    offer = offer_of(name)
    read = SessionDescription.parse(answer_to_publisher(offer))
    assert [media.kind for media in read.media] == [section.kind for section in offer.sections]
    for media, section in zip(read.media, offer.sections, strict=True):
        if section.kind == "application":
            assert media.port == 0
            continue
        assert media.direction == "recvonly"
        assert media.rtp.muxId == section.mid
        assert {codec.payloadType for codec in media.rtp.codecs} <= {codec.payload_type for codec in section.codecs}
        assert {(e.id, e.uri) for e in media.rtp.headerExtensions} <= {(e.id, e.uri) for e in section.extensions}
        assert media.ice.iceLite
        assert media.ice.usernameFragment == "sfuf"
        assert media.dtls.fingerprints[0].algorithm == "sha-256"


def test_rejected_sections_leave_the_bundle():
    answer = answer_to_publisher(offer_of("chromium-publish"))
    assert "a=group:BUNDLE 0 1\r\n" in answer
    assert "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n" in answer


def test_candidates_are_written_once_udp_first():
    lines = answer_to_publisher(offer_of("chromium-publish")).split("\r\n")
    candidates = [line for line in lines if line.startswith("a=candidate")]
    assert candidates == [
        "a=candidate:udp1 1 udp 3000 127.0.0.1 4433 typ host",
        "a=candidate:tcp1 1 tcp 2000 127.0.0.1 4433 typ host tcptype passive",
    ]


@pytest.mark.parametrize(("role", "setup"), [("server", "passive"), ("client", "active")])
def test_setup_is_our_dtls_role(role, setup):
    assert f"a=setup:{setup}\r\n" in answer_to_publisher(offer_of("ffmpeg-passive"), role)


def test_simulcast_is_answered_in_the_offers_order():
    answer = answer_to_publisher(offer_of("chromium-simulcast"))
    assert "a=simulcast:recv h;m;l\r\n" in answer
    assert "a=rid:m recv\r\n" in answer


def test_one_sided_extensions_are_mirrored():
    text = edited("aiortc-publish", ("a=extmap:1 urn", "a=extmap:1/sendonly urn"))
    assert "a=extmap:1/recvonly urn:ietf:params:rtp-hdrext:sdes:mid\r\n" in answer_to_publisher(
        sdp.parse_untrusted(text)
    )


def test_other_participants_cannot_add_lines_to_an_answer():
    evil = "x\r\na=candidate:evil"
    rtp = pb.RtpParameters(
        codecs=[pb.RtpCodecParameters(mime_type="video/VP8", payload_type=96, clock_rate=90000)],
        encodings=[pb.RtpEncodingParameters(ssrc=1)],
        rtcp=pb.RtcpParameters(cname=evil),
        msid=evil,
    )
    rtp.codecs[0].parameters["x"].text = evil
    offer = offer_of("chromium-watch")
    text = sdp.write_answer(offer, [sdp.Answered(rtp, sends=True), None], transport_info(), dtls_role="", session_id=1)
    assert not [line for line in text.split("\r\n") if line.startswith("a=candidate:evil")]


# ---- fragments ----


def test_a_fragment_of_candidates():
    fragment = sdp.parse_fragment_untrusted(
        "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
        "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n"
        "a=end-of-candidates\r\n"
    )
    assert fragment.credentials == ("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")
    assert [(c.protocol, c.address, c.port) for c in fragment.candidates] == [("udp", "192.0.2.1", 61764)]
    assert fragment.end_of_candidates


def test_an_empty_fragment_says_nothing():
    assert sdp.parse_fragment_untrusted("") == sdp.Fragment(None, (), False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v=0\r\n", "line 1: a fragment has only"),
        ("a=ice-ufrag:EsAw\r\n", "ice-pwd"),
        ("a=candidate:1 1 udp\r\n", "line 1: candidate"),
        ("m=audio\r\n", "line 1: m="),
    ],
)
def test_a_broken_fragment_is_refused(text, message):
    with pytest.raises(sdp.SdpError, match=message):
        sdp.parse_fragment_untrusted(text)


def test_a_written_fragment_can_be_read():
    info = transport_info()
    text = sdp.write_fragment(offer_of("chromium-publish"), info.ice_parameters, info.ice_candidates)
    fragment = sdp.parse_fragment_untrusted(text)
    assert fragment.credentials == ("sfuf", "p" * 24)
    assert [c.protocol for c in fragment.candidates] == ["udp", "tcp"]
    assert fragment.end_of_candidates
