"""A page of a few lines publishes simulcast by WHIP and another one watches by WHEP, both in Chromium."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.foreign.browsers import chromium, eventually
from tests.foreign.sightline_up import Sightline

pytestmark = pytest.mark.slow

# What both pages do with their RTCPeerConnection.
CONNECT = """
() => {
window.connect = async (pc, url) => {
  window.pc = pc;
  await pc.setLocalDescription();
  const headers = { "Content-Type": "application/sdp" };
  const reply = await fetch(url, { method: "POST", body: pc.localDescription.sdp, headers });
  const answer = await reply.text();
  if (reply.status !== 201) throw new Error(`${reply.status} ${answer}`);
  await pc.setRemoteDescription({ type: "answer", sdp: answer });
  window.session = reply.headers.get("location");
};
window.rows = async (type, kind) => {
  const rows = [];
  (await window.pc.getStats()).forEach((row) => row.type === type && row.kind === kind && rows.push(row));
  return rows;
};
}
"""
# RFC 9725 section 4.3.3: the client's new credentials go out in a fragment, ours come back in one, the rest stays.
RESTART = """
async () => {
  const pc = window.pc;
  const line = (sdp, name) => sdp.match(new RegExp(`a=${name}:.*`))[0].trim();
  const both = (sdp) => [line(sdp, "ice-ufrag"), line(sdp, "ice-pwd")];
  const before = both(pc.remoteDescription.sdp);
  await pc.setLocalDescription(await pc.createOffer({ iceRestart: true }));
  const headers = { "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*" };
  const body = both(pc.localDescription.sdp).join("\\r\\n") + "\\r\\n";
  const reply = await fetch(window.session, { method: "PATCH", body, headers });
  const fragment = await reply.text();
  if (reply.status !== 200) throw new Error(`${reply.status} ${fragment}`);
  let answer = pc.currentRemoteDescription.sdp;
  both(fragment).forEach((fresh, i) => { answer = answer.replaceAll(before[i], fresh); });
  await pc.setRemoteDescription({ type: "answer", sdp: answer });
  return line(fragment, "ice-ufrag").split(":")[1];
}
"""
PUBLISH = """
async (url) => {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 360 } });
  const pc = new RTCPeerConnection();
  const sendEncodings = [{ rid: "q", scaleResolutionDownBy: 2 }, { rid: "f" }];
  pc.addTransceiver(stream.getAudioTracks()[0], { direction: "sendonly", streams: [stream] });
  pc.addTransceiver(stream.getVideoTracks()[0], { direction: "sendonly", streams: [stream], sendEncodings });
  await window.connect(pc, url);
}
"""
WATCH = """
async (url) => {
  const pc = new RTCPeerConnection();
  for (const kind of ["video", "audio"]) pc.addTransceiver(kind, { direction: "recvonly" });
  await window.connect(pc, url);
}
"""


def rows(page: Page, kind: str, direction: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate("([type, kind]) => window.rows(type, kind)", [direction, kind])
    return found


def opened(browser: Browser, url: str) -> Page:
    """A page of the server's origin that knows the functions above."""
    page = browser.new_context(permissions=["camera", "microphone"]).new_page()
    page.goto(url)
    page.evaluate(CONNECT)
    return page


def test_ice_restart(live_server: Sightline):
    """The viewer's path is made anew with the new credentials, and its picture goes on."""
    with chromium() as browser:
        publisher, viewer = opened(browser, live_server.url), opened(browser, live_server.url)
        publisher.evaluate(PUBLISH, "/whip/restart")
        viewer.evaluate(WATCH, "/whep/restart")

        def decoded() -> int:
            return sum(row["framesDecoded"] for row in rows(viewer, "video", "inbound-rtp"))

        eventually("the viewer sees", lambda: decoded() > 10, seconds=15)
        fresh = viewer.evaluate(RESTART)
        pair = "window.pc.getReceivers()[0].transport.iceTransport.getSelectedCandidatePair()?.remote.usernameFragment"
        eventually("the new path is taken", lambda: viewer.evaluate(pair) == fresh, seconds=10)
        before = decoded()
        eventually("the picture goes on", lambda: decoded() > before + 20, seconds=10)


def test_simulcast_from_page_to_page(live_server: Sightline):
    with chromium() as browser:
        publisher, viewer = opened(browser, live_server.url), opened(browser, live_server.url)
        publisher.evaluate(PUBLISH, "/whip/pages?name=page")
        eventually(
            "both encodings are sent",
            lambda: len([r for r in rows(publisher, "video", "outbound-rtp") if r.get("framesEncoded", 0) > 10]) == 2,
            seconds=15,
        )
        viewer.evaluate(WATCH, "/whep/pages?peer=page")
        eventually(
            "the viewer decodes the larger encoding",
            lambda: (
                [r.get("frameWidth") for r in rows(viewer, "video", "inbound-rtp") if r["framesDecoded"] > 30] == [640]
            ),
            seconds=15,
        )
        eventually(
            "the viewer hears",
            lambda: sum(r["packetsReceived"] for r in rows(viewer, "audio", "inbound-rtp")) > 20,
            seconds=10,
        )
        assert publisher.evaluate("fetch(window.session, { method: 'DELETE' }).then((r) => r.status)") == 200
        dtls = "window.pc.getReceivers()[0].transport.state"
        eventually("the viewer is told", lambda: viewer.evaluate(dtls) == "closed", seconds=5)
