"""The recorder's media node: takes the one offer of the page, as WHIP would (RFC 9725), and answers it."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass

import msgspec
import trio

from bench.errors import BenchError
from bench.record_tap import Tap, TappedPlane, TapShell
from protos import media_pb2 as pb
from server.control import convert
from server.errors import LocalError
from server.io.addresses import ice_candidates
from server.io.drive import Drive
from server.media.commands import Commands
from server.media.core import MediaCore
from server.media.producer import Producer
from server.media.webrtc_transport import WebRtcTransport
from server.rtc import uris
from server.rtc.certificate import Certificate
from server.rtc.parameters import MediaKind, RtpCapabilities, RtpParameters
from signaling import sdp

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Publication:
    """What the page publishes: as it was negotiated, and as the node knows it."""

    parameters: RtpParameters
    producer: Producer


class RecordingNode:
    """One plane with a tap, one core, one browser. `serve` runs it; `publish` is called once, while it runs."""

    def __init__(self, svc: str | None) -> None:
        self.tap = Tap()
        self._svc = svc
        self._shell = TapShell(TappedPlane(), self.tap)
        self._candidates = ice_candidates(("127.0.0.1",), self._shell.port, tcp=False)
        core = MediaCore(
            [self._shell.plane], [self._candidates], certificate=Certificate.generate(), on_defect=_log_defect
        )
        self._commands = Commands(core)
        self._drive = Drive(core, [self._shell], lambda event: None)

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._shell.serve, self._drive)
            await nursery.start(self._drive.serve)
            task_status.started()

    def publish(self, offer: bytes) -> tuple[Publication, str]:
        """Take an offer; answers what was taken, and the answer. Raises BenchError."""
        try:
            return self._drive.run(lambda now: self._publish(offer, now))
        except (sdp.SdpError, LocalError) as refused:
            raise BenchError(f"the browser's offer can't be taken: {refused}") from refused

    def request_keyframes(self, publication: Publication) -> None:
        """Of every encoding that was heard."""
        for ssrc in publication.producer.started_ssrcs.values():
            self._shell.ask(self.tap.keyframe_request(ssrc))

    def request_retransmission(self, ssrc: int) -> None:
        """Of the newest packet of an SSRC."""
        self._shell.ask(self.tap.retransmission_request(ssrc))

    def _publish(self, text: bytes, now: int) -> tuple[Publication, str]:
        offer = sdp.parse_untrusted(text)
        router = self._commands.create_router("", ())
        capabilities = convert.rtp_capabilities_to_pb(self._offered_to(offer, router.rtp_capabilities))
        sending = [section for section in offer.sections if section.kind in {"audio", "video"} and section.sends]
        if len(sending) != 1:
            raise BenchError(f"the page offers {len(sending)} sections that send, not one")
        section = sending[0]
        stated = sdp.produce_parameters(section, capabilities)
        if stated is None:
            raise BenchError("the node takes none of the offered codecs")
        parameters = convert.rtp_parameters_from_pb(stated)
        if self._svc:
            # SDP does not say the mode; the page was told to use this one.
            encodings = tuple(msgspec.structs.replace(e, scalability_mode=self._svc) for e in parameters.encodings)
            parameters = msgspec.structs.replace(parameters, encodings=encodings)
        transport, role = self._connect(router.id, offer, now)
        kind: MediaKind = "audio" if section.kind == "audio" else "video"
        producer = self._commands.produce(transport.id, "", kind, parameters, now, paused=False)
        taken = sdp.Answered(stated, sends=False, rids=sdp.simulcast_rids(section))
        answer = sdp.write_answer(
            offer,
            [taken if one is section else None for one in offer.sections],
            self._described(transport),
            dtls_role=role,
            session_id=secrets.randbits(62),
        )
        return Publication(parameters, producer), answer

    def _offered_to(self, offer: sdp.Offer, all_of_it: RtpCapabilities) -> RtpCapabilities:
        """Without the dependency descriptor, except for AV1, whose layers stand nowhere else.

        With it libwebrtc leaves picture ids and layers out of VP8's and VP9's payload descriptors; a trace is to be
        understood by servers that know those only.
        """
        if any(codec.name.lower() == "av1" for section in offer.sections for codec in section.codecs[:1]):
            return all_of_it
        extensions = tuple(e for e in all_of_it.header_extensions if e.uri != uris.DEPENDENCY_DESCRIPTOR)
        return msgspec.structs.replace(all_of_it, header_extensions=extensions)

    def _connect(self, router_id: str, offer: sdp.Offer, now: int) -> tuple[WebRtcTransport, str]:
        """A transport for the offerer, and our DTLS role."""
        transport = self._commands.create_webrtc_transport(router_id, "", now)
        described = offer.transport
        remote = pb.DtlsParameters(
            role="server" if described.setup == "passive" else "client",
            fingerprints=[pb.DtlsFingerprint(algorithm=f.algorithm, value=f.value) for f in described.fingerprints],
        )
        role = self._commands.connect_webrtc_transport(transport.id, convert.dtls_parameters_from_pb(remote), now)
        return transport, role.value

    def _described(self, transport: WebRtcTransport) -> pb.WebRtcTransportInfo:
        fingerprint = transport.local_fingerprint
        return pb.WebRtcTransportInfo(
            id=transport.id,
            ice_parameters=convert.ice_parameters_to_pb(transport.ice_parameters),
            ice_candidates=[convert.ice_candidate_to_pb(candidate) for candidate in self._candidates],
            dtls_parameters=pb.DtlsParameters(
                fingerprints=[pb.DtlsFingerprint(algorithm=fingerprint.algorithm, value=fingerprint.value)]
            ),
        )


def _log_defect(what: str, error: BaseException) -> None:
    log.error("%s was closed by a fault of this node", what, exc_info=error)
