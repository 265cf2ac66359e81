"""Seeded routers, producers and viewers for test_ortc_oracle.py: mostly plausible, often odd."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import msgspec

from server.rtc.capabilities import router_capabilities
from server.rtc.ortc import UnsupportedCodec, generate_router_rtp_capabilities
from server.rtc.parameters import InvalidParameters, RtcpFeedback, RtpCapabilities, is_rtx, rtp_codec_capabilities

Json = Any

H264_PROFILES = ("42e01f", "42e034", "42001f", "4d0032", "4d001f", "640032", "64001f", "640c1f", "42f00b", "zzzzzz")
SCALABILITY_MODES = (None, None, "L1T3", "L3T3_KEY", "S3T3", "L2T2h", "nonsense")
FEEDBACK = (
    {"type": "nack", "parameter": ""},
    {"type": "nack", "parameter": "pli"},
    {"type": "ccm", "parameter": "fir"},
    {"type": "goog-remb", "parameter": ""},
    {"type": "transport-cc", "parameter": ""},
    {"type": "x-unknown", "parameter": "y"},
)


class Cases:
    """All cases come from one generator, so a seed repeats them."""

    def __init__(self, rng: random.Random, supported: RtpCapabilities) -> None:
        self.rng = rng
        self._supported = supported

    def wanted_codecs(self, count: int) -> Iterator[list[Json]]:
        """What routers are asked for, some of it impossible."""
        for _ in range(count):
            yield [self._wanted_codec() for _ in range(self.rng.randrange(7))]

    def routers(self) -> Iterator[RtpCapabilities]:
        """Without end: ours as it stands, and others made of mediasoup's list."""
        while True:
            yield router_capabilities()
            try:
                wanted = rtp_codec_capabilities([self._wanted_codec() for _ in range(6)])
                yield generate_router_rtp_capabilities(wanted, self._supported)
            except (UnsupportedCodec, InvalidParameters):
                continue

    def producers(self, count: int) -> Iterator[tuple[RtpCapabilities, str, Json]]:
        """(router, kind, parameters as JSON); about half name something that the router lacks."""
        routers = self.routers()
        made = 0
        while made < count:
            router = next(routers)
            kinds = sorted({codec.kind for codec in router.codecs})
            if kinds:
                kind = self.rng.choice(kinds)
                yield router, kind, self._producer(router, kind)
                made += 1

    def viewer(self, router: RtpCapabilities) -> RtpCapabilities:
        """Knows much of what the router has, with its own feedback, and something else."""
        rng = self.rng
        keep = rng.choice((1.0, 0.8, 0.4))
        codecs = []
        for codec in router.codecs:
            if rng.random() > keep:
                continue
            feedback = tuple(msgspec.convert(fb, RtcpFeedback) for fb in self._feedback())
            parameters = dict(codec.parameters)
            if "profile-level-id" in parameters and rng.random() < 0.3:
                parameters["profile-level-id"] = rng.choice(H264_PROFILES)
            codecs.append(
                msgspec.structs.replace(
                    codec,
                    parameters=parameters,
                    rtcp_feedback=() if is_rtx(codec) else feedback,
                    mime_type=codec.mime_type.lower() if rng.random() < 0.2 else codec.mime_type,
                )
            )
        extensions = [e for e in router.header_extensions if rng.random() < keep]
        if extensions and rng.random() < 0.3:
            extensions[0] = msgspec.structs.replace(extensions[0], preferred_id=14)
        return RtpCapabilities(codecs=tuple(codecs), header_extensions=tuple(extensions))

    def sparse(self, value: Json) -> Json:
        """The same with some of the fields gone that have a default."""
        optional = {"channels", "parameters", "rtcpFeedback", "parameter", "preferredEncrypt", "direction", "encrypt"}
        optional |= {"dtx", "reducedSize", "rtcp", "headerExtensions", "msid"}
        if isinstance(value, list):
            return [self.sparse(item) for item in value]
        if not isinstance(value, dict):
            return value
        keep = {key: item for key, item in value.items() if key not in optional or self.rng.random() < 0.7}
        if "mimeType" in value and str(value["mimeType"]).lower().endswith("/rtx"):
            keep["parameters"] = value["parameters"]
            return keep
        return {key: item if key == "parameters" else self.sparse(item) for key, item in keep.items()}

    def broken(self, params: Json) -> Json:
        """One field, anywhere, with a value of another type."""
        params = copy.deepcopy(params)
        places: list[tuple[Json, Any]] = []

        def walk(value: Json) -> None:
            keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
            for key in keys:
                places.append((value, key))
                walk(value[key])

        walk(params)
        where, key = self.rng.choice(places)
        wrong = [v for v in ("text", 7, True, [1], {"a": []}, "") if type(v) is not type(where[key])]
        where[key] = self.rng.choice(wrong)
        return params

    def _wanted_codec(self) -> Json:
        rng = self.rng
        known = rng.choice([c for c in self._supported.codecs if c.kind == "video" or rng.random() < 0.3] or [None])
        if known is None or rng.random() < 0.03:
            return {"kind": "video", "mimeType": "video/H265", "clockRate": 90000}
        wanted: dict[str, Json] = {"kind": known.kind, "mimeType": known.mime_type, "clockRate": known.clock_rate}
        if known.channels is not None:
            wanted["channels"] = known.channels
        if rng.random() < 0.2:
            wanted["preferredPayloadType"] = rng.choice((*range(96, 127), 35))
        if known.mime_type == "video/H264":
            wanted["parameters"] = {
                "packetization-mode": rng.choice((0, 1, 1)),
                "profile-level-id": rng.choice(H264_PROFILES[:-1]),
            }
        elif known.mime_type == "video/VP9":
            wanted["parameters"] = {"profile-id": rng.choice((0, 2))}
        elif rng.random() < 0.2:
            wanted["parameters"] = {"x-google-start-bitrate": 1000, "note": "a"}
        return wanted

    def _feedback(self) -> list[Json]:
        return [dict(fb) for fb in FEEDBACK if self.rng.random() < 0.8]

    def _producer(self, router: RtpCapabilities, kind: str) -> Json:
        rng = self.rng
        media = [c for c in router.codecs if c.kind == kind and not is_rtx(c)]
        numbers = iter(rng.sample(range(96, 128), 16))
        codecs: list[Json] = []
        for codec in rng.sample(media, min(len(media), rng.choice((1, 1, 2, 3)))):
            number = next(numbers)
            codecs.append(self._producer_codec(msgspec.to_builtins(codec), number))
            if kind == "video" and rng.random() < 0.7:
                codecs.append(
                    {
                        "mimeType": "video/rtx",
                        "payloadType": next(numbers),
                        "clockRate": 90000,
                        "parameters": {"apt": number},
                        "rtcpFeedback": [],
                    }
                )
        names = sorted({e.uri for e in router.header_extensions if e.kind == kind})
        extensions = [
            {"uri": uri, "id": i + 1, "encrypt": False, "parameters": {}}
            for i, uri in enumerate(rng.sample(names, rng.randrange(len(names) + 1)))
        ]
        params = {
            "mid": str(rng.randrange(9)),
            "codecs": codecs,
            "headerExtensions": extensions,
            "encodings": self._encodings(rng.choice((1, 1, 2, 3)), kind),
            "rtcp": {"cname": "alice", "reducedSize": rng.random() < 0.8},
        }
        if rng.random() < 0.5:
            params["msid"] = "stream audio"
        return params

    def _producer_codec(self, codec: Json, number: int) -> Json:
        rng = self.rng
        parameters = dict(codec["parameters"])
        if "profile-level-id" in parameters and rng.random() < 0.3:
            parameters["profile-level-id"] = rng.choice(H264_PROFILES)
        if parameters and rng.random() < 0.15:
            del parameters[rng.choice(sorted(parameters))]
        if rng.random() < 0.3:
            parameters["sprop-stereo"] = rng.choice((1, "1", 0.5))
        made = {
            "mimeType": codec["mimeType"].upper().replace("VIDEO/", "video/")
            if rng.random() < 0.2
            else codec["mimeType"],
            "payloadType": number,
            "clockRate": codec["clockRate"] if rng.random() < 0.95 else 16001,
            "parameters": parameters,
            "rtcpFeedback": self._feedback(),
        }
        if codec.get("channels") is not None:
            made["channels"] = codec["channels"]
        return made

    def _encodings(self, count: int, kind: str) -> list[Json]:
        rng = self.rng
        by_rid = rng.random() < 0.5
        mode = rng.choice(SCALABILITY_MODES) if kind == "video" else None
        encodings = []
        for i in range(count):
            encoding: dict[str, Json] = {"rid": f"r{i}"} if by_rid else {"ssrc": 1000 + 10 * i}
            if not by_rid and rng.random() < 0.6:
                encoding["rtx"] = {"ssrc": 1001 + 10 * i}
            if mode is not None:
                encoding["scalabilityMode"] = mode
            if rng.random() < 0.5:
                encoding["maxBitrate"] = rng.randrange(5_000_000)
            if rng.random() < 0.3:
                encoding["scaleResolutionDownBy"] = 2**i
            encoding["dtx"] = rng.random() < 0.3
            encodings.append(encoding)
        return encodings
