"""Janus behind bench/target.py: its configuration, its API's messages, its descriptions, and, once, real media."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.errors import BenchError
from bench.peers import janus_config
from bench.peers.descriptions import answer_offer, read_description, server_end, write_offer
from bench.peers.janus import open_janus
from bench.peers.janus_session import read_message, refusal
from bench.peers.missing import PeerMissing
from bench.target import LocalEnd
from server.rtc.certificate import Fingerprint
from server.rtc.parameters import RtpEncodingParameters, RtpHeaderExtensionParameters, RtpParameters
from server.testing.streams import SourceConfig
from server.testing.world import MID_ID, rtp_parameters
from signaling.sdp import parse_untrusted
from tests.needs import need_network_namespaces, need_program

DIGEST = ":".join(f"{number:02X}" for number in range(32))
LOCAL = LocalEnd("10.1.2.3", 4567, "fragment", "password-of-22-letters", Fingerprint("sha-256", DIGEST))
CAMERA = SourceConfig(
    ssrc=0x5EED0001,
    payload_type=96,
    clock_rate=90_000,
    video=True,
    rtx_ssrc=0x5EED0002,
    rtx_payload_type=97,
    extensions=((MID_ID, b"0"),),
)
MICROPHONE = SourceConfig(ssrc=0x5EED0003, payload_type=111, clock_rate=48_000, video=False)

# What Janus 1.1.2 offered a viewer of one VP8 publisher, with another certificate and address.
OFFER = f"""\
v=0
o=- 1 1 IN IP4 127.0.0.1
s=VideoRoom 1
t=0 0
a=group:BUNDLE 0
a=ice-options:trickle
a=fingerprint:sha-256 {DIGEST}
a=extmap-allow-mixed
a=msid-semantic: WMS *
a=ice-lite
m=video 9 UDP/TLS/RTP/SAVPF 96 97
c=IN IP4 10.11.12.1
a=sendonly
a=mid:0
a=rtcp-mux
a=ice-ufrag:XDCZ
a=ice-pwd:/lpTA+Wlw14LjaZaLWcT5E
a=ice-options:trickle
a=setup:actpass
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 ccm fir
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=ssrc-group:FID 4224520480 2913485056
a=msid:janus janus0
a=ssrc:4224520480 cname:janus
a=ssrc:2913485056 cname:janus
a=candidate:1 1 udp 2015363327 10.11.12.1 56446 typ host
a=end-of-candidates
""".replace("\n", "\r\n")


def test_a_publisher_offers_what_it_sends():
    sdp = write_offer(
        LOCAL, [("video", rtp_parameters(CAMERA, mid="0")), ("audio", rtp_parameters(MICROPHONE, mid="1"))]
    )
    offer = parse_untrusted(sdp)  # our own reader, which also checks the grammar
    video, audio = offer.sections
    assert offer.bundle == ("0", "1")
    assert offer.transport.setup == "active"  # so that Janus is the DTLS server, and we choose the SRTP profile
    assert (offer.transport.ufrag, offer.transport.pwd) == (LOCAL.username_fragment, LOCAL.password)
    assert [(codec.payload_type, codec.name) for codec in video.codecs] == [(96, "VP8"), (97, "rtx")]
    assert video.groups == (("FID", (0x5EED0001, 0x5EED0002)),)
    assert audio.ssrcs == (0x5EED0003,)
    assert audio.codecs[0].channels == 2
    assert {section.direction for section in offer.sections} == {"sendonly"}
    assert [(c.address, c.port) for c in video.candidates] == [("10.1.2.3", 4567)]


def test_simulcast_by_rid_is_offered_highest_first():
    encodings = tuple(RtpEncodingParameters(rid=rid) for rid in ("low", "mid", "high"))
    extensions = (RtpHeaderExtensionParameters("urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", 10),)
    parameters = msgspec.structs.replace(
        rtp_parameters(CAMERA, mid="0"), encodings=encodings, header_extensions=extensions
    )
    (section,) = parse_untrusted(write_offer(LOCAL, [("video", parameters)])).sections
    assert section.simulcast_send == ("high", "mid", "low")
    assert [rid.id for rid in section.rids] == ["high", "mid", "low"]
    assert section.ssrcs == ()


def test_simulcast_by_ssrc_keeps_its_order():
    encodings = tuple(RtpEncodingParameters(ssrc=ssrc) for ssrc in (11, 12, 13))
    parameters = msgspec.structs.replace(rtp_parameters(CAMERA, mid="0"), encodings=encodings)
    (section,) = parse_untrusted(write_offer(LOCAL, [("video", parameters)])).sections
    assert section.groups == (("SIM", (11, 12, 13)),)


def test_a_viewer_takes_all_that_is_offered():
    offer = read_description(OFFER)
    sdp, streams = answer_offer(LOCAL, offer)
    coming: RtpParameters = streams["0"]
    assert [(codec.mime_type, codec.payload_type) for codec in coming.codecs] == [("video/VP8", 96), ("video/rtx", 97)]
    assert coming.encodings[0].ssrc == 4224520480
    assert coming.encodings[0].rtx is not None
    assert coming.encodings[0].rtx.ssrc == 2913485056
    assert [extension.id for extension in coming.header_extensions] == [4]
    assert "a=setup:active\r\n" in sdp
    assert "ice-lite" not in sdp  # Janus would wait for checks of ours, and we for its
    assert "a=recvonly\r\n" in sdp
    assert f"a=ice-pwd:{LOCAL.password}\r\n" in sdp


def test_where_janus_is_reached_stands_in_its_description():
    end = server_end(read_description(OFFER))
    assert (end.address, end.port) == ("10.11.12.1", 56446)
    assert (end.username_fragment, end.password) == ("XDCZ", "/lpTA+Wlw14LjaZaLWcT5E")
    assert end.fingerprint == Fingerprint("sha-256", DIGEST)


@pytest.mark.parametrize(
    ("spoilt", "why"),
    [
        (OFFER.replace("a=candidate:1 1 udp", "a=candidate:1 1 tcp"), "no UDP candidate"),
        (OFFER.replace("a=fingerprint:", "a=print:"), "can't be used"),
        (OFFER.replace("v=0", "v=1"), "can't be used"),
    ],
)
def test_a_description_that_can_not_be_used_is_refused(spoilt: str, why: str):
    with pytest.raises(BenchError, match=why):
        server_end(read_description(spoilt))


def test_an_offer_of_nothing_is_refused():
    with pytest.raises(BenchError, match="no media"):
        answer_offer(LOCAL, read_description(OFFER.replace("VP8", "nothing")))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"janus": "error", "error": {"code": 458, "reason": "No such session"}}, "No such session (code 458)"),
        (
            {"janus": "event", "plugindata": {"data": {"error_code": 426, "error": "No such room"}}},
            "No such room (code 426)",
        ),
        ({"janus": "success", "data": {"id": 7}}, None),
        ({"janus": "webrtcup", "session_id": 1, "sender": 2}, None),
    ],
)
def test_refusals_of_the_core_and_of_the_plugin_are_told(said: dict[str, object], why: str | None):
    assert refusal(read_message(json.dumps(said))) == why


@pytest.mark.parametrize("said", ["", "[]", "{}", '{"janus": 1}', '{"janus": "success", "data": {"id": "7"}}'])
def test_what_is_not_in_the_documented_form_is_refused(said: str):
    with pytest.raises(BenchError, match="not in its API's form"):
        read_message(said)


def test_only_one_plugin_and_one_transport_are_loaded(tmp_path: Path):
    for tuning, loops in (("best", True), ("default", False)):
        folder = tmp_path / tuning
        folder.mkdir()
        janus_config.write_configuration(folder, Path("/modules"), address="10.1.2.3", port=1234, tuning=tuning)
        assert [path.name for path in (folder / "plugins").iterdir()] == ["libjanus_videoroom.so"]
        assert [path.name for path in (folder / "transports").iterdir()] == ["libjanus_websockets.so"]
        core = (folder / "janus.jcfg").read_text()
        assert ("event_loops = 1" in core) == loops
        assert 'ice_enforce_list = "10.1.2.3"' in core
        assert "ws_port = 1234" in (folder / "janus.transport.websockets.jcfg").read_text()


def test_a_janus_without_its_plugins_is_told_how_to_get_them(tmp_path: Path):
    program = tmp_path / "bin" / "janus"
    program.parent.mkdir()
    program.write_text("")
    with pytest.raises(PeerMissing, match="apt-get install"):
        janus_config.find_modules(str(program))
    (tmp_path / "lib/janus/plugins").mkdir(parents=True)
    (tmp_path / "lib/janus/plugins/libjanus_videoroom.so").write_text("")
    with pytest.raises(PeerMissing, match="WebSocket"):
        janus_config.find_modules(str(program))


async def test_a_missing_janus_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(PeerMissing, match=r"janus is not on PATH\. .*apt-get install"):
        async with open_janus(address="127.0.0.1"):
            pass


@pytest.mark.slow
@pytest.mark.parametrize("tuning", ["best", "default"])
@pytest.mark.parametrize("profile", ["gcm", "cm"])
def test_viewers_of_a_real_janus_get_the_media(profile: str, tuning: str):
    """In a namespace of its own: Janus takes no loopback address."""
    need_program("janus")
    need_network_namespaces()
    script = Path(__file__).with_name("janus_call.py")
    command = ["unshare", "--net", sys.executable, str(script), profile, tuning]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["version"].startswith("1.")
    assert said["profiles"] == [said["asked_profile"]] * 2
    assert said["before_start"] == [0, 0]
    assert said["holes"] == [0, 0]
    assert min(said["received"]) >= 0.9 * said["sent"] > 100  # the last ones may be on their way
