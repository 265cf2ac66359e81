"""JavaScript of pages that publish by WHIP and watch by WHEP, for any browser. CONNECT first, in each page."""

from __future__ import annotations

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
