"""Every request of docs/signaling.md as a msgspec Struct: shapes and bounds in one place, errors that name the field.

The same Structs serve any carrier: a WebSocket decodes them from JSON text, another may hold plain objects already.
"""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from signaling.errors import CallError, CallErrorCode
from signaling.rtp_json import DtlsParameters, RtpCapabilities, RtpParameters, Wire

# The look-ahead: in Python `$` also matches before a final newline.
RoomName = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,64}$(?!\n)", description="1 to 64 of a-z, 0-9 and -")]
Id = Annotated[str, Meta(min_length=1, max_length=64)]
Secret = Annotated[str, Meta(max_length=128)]
Token = Annotated[str, Meta(max_length=4096)]
RequestId = Annotated[int, Meta(ge=0, le=2_147_483_647)]
LayerIndex = Annotated[int, Meta(ge=0, le=7)]

DISPLAY_NAME_CHARACTERS = 80
CHAT_CHARACTERS = 2_000
# They turn the text that follows around (Unicode UAX 9), so that a name could rewrite its surroundings.
BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
APP_DATA_BYTES = 2_048
DEVICE_BYTES = 512


def trimmed_name(name: str) -> str:
    """A display name without the space around it.

    Raises ValueError unless 1 to 80 characters are left that can be seen and that leave the text around them alone.
    """
    name = name.strip()
    if not 1 <= len(name) <= DISPLAY_NAME_CHARACTERS:
        raise ValueError(f"displayName: 1 to {DISPLAY_NAME_CHARACTERS} characters")
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") or character in BIDI for character in name):
        raise ValueError("displayName: no control characters")
    if all(unicodedata.category(character) in ("Cf", "Zs") for character in name):
        raise ValueError("displayName: nothing of it can be seen")
    return name


def check_size(field: str, value: dict[str, Any] | None, limit: int) -> None:
    """Raise ValueError for an object that is larger than `limit` bytes as JSON."""
    if value is not None and len(msgspec.json.encode(value)) > limit:
        raise ValueError(f"{field}: at most {limit} bytes of JSON")


class Request(Wire):
    """The envelope. `data` stays raw until the method is known."""

    id: RequestId
    method: Annotated[str, Meta(max_length=64)]
    data: msgspec.Raw = msgspec.Raw(b"{}")


class Nothing(Wire):
    """No data."""


class GetRouterRtpCapabilities(Wire):
    """Asks what the room's router can forward."""

    room: RoomName


class Join(Wire):
    """Enters a room. `auto_consume` false: the client calls `consume` itself."""

    room: RoomName
    display_name: Annotated[str, Meta(max_length=1_024)]
    token: Token | None = None
    device: dict[str, Any] | None = None
    rtp_capabilities: RtpCapabilities | None = None
    resume: Secret | None = None
    auto_consume: bool = True

    def __post_init__(self) -> None:
        trimmed_name(self.display_name)
        check_size("device", self.device, DEVICE_BYTES)


class SetRtpCapabilities(Wire):
    """Says what the client can receive."""

    rtp_capabilities: RtpCapabilities


class CreateWebRtcTransport(Wire):
    """Makes a transport. `sctp` is accepted and must be false: no data channels yet."""

    direction: Literal["send", "recv"]
    sctp: bool = False


class ConnectWebRtcTransport(Wire):
    """Gives the client's DTLS parameters."""

    transport_id: Id
    dtls_parameters: DtlsParameters


class OneTransport(Wire):
    """restartIce, closeTransport."""

    transport_id: Id


class Produce(Wire):
    """Sends a source."""

    transport_id: Id
    kind: Literal["audio", "video"]
    rtp_parameters: RtpParameters
    paused: bool = False
    app_data: dict[str, Any] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        check_size("appData", self.app_data, APP_DATA_BYTES)


class OneProducer(Wire):
    """closeProducer, pauseProducer, resumeProducer."""

    producer_id: Id


class Consume(Wire):
    """Receives a source."""

    producer_id: Id
    paused: bool = True


class OneConsumer(Wire):
    """pauseConsumer, resumeConsumer, closeConsumer, requestConsumerKeyFrame."""

    consumer_id: Id


class SetConsumerPreferredLayers(Wire):
    """The best layers wanted."""

    consumer_id: Id
    spatial_layer: LayerIndex
    temporal_layer: LayerIndex | None = None


class SetConsumerPriority(Wire):
    """How important a consumer is among the client's."""

    consumer_id: Id
    priority: Annotated[int, Meta(ge=1, le=255)]


class SetConsumerView(Wire):
    """How large a consumer is shown, in pixels of the screen; 0 where the client can't tell."""

    consumer_id: Id
    width: Annotated[int, Meta(ge=0, le=16_384)] = 0
    height: Annotated[int, Meta(ge=0, le=16_384)] = 0
    hidden: bool = False


class GetStats(Wire):
    """Figures of one of the client's own entities."""

    transport_id: Id | None = None
    producer_id: Id | None = None
    consumer_id: Id | None = None

    def __post_init__(self) -> None:
        if sum(one is not None for one in (self.transport_id, self.producer_id, self.consumer_id)) != 1:
            raise ValueError("give exactly one of transportId, producerId, consumerId")


class Chat(Wire):
    """Says something."""

    text: Annotated[str, Meta(min_length=1, max_length=CHAT_CHARACTERS)]


class RaiseHand(Wire):
    """Raises or lowers the hand."""

    raised: bool


class ChangeDisplayName(Wire):
    """Another name from now on."""

    display_name: Annotated[str, Meta(max_length=1_024)]

    def __post_init__(self) -> None:
        trimmed_name(self.display_name)


S = TypeVar("S", bound=Wire)
_REQUESTS = msgspec.json.Decoder(Request)


def decode_untrusted(raw: bytes | str | msgspec.Raw, shape: type[S]) -> S:
    """JSON text as one of the Structs above. Raises nothing but CallError `bad_request`, which names the field."""
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.DecodeError, UnicodeError, ValueError, RecursionError) as error:
        raise bad_request(error) from None


def decode_request_untrusted(text: str) -> Request:
    """One frame's envelope. Raises nothing but CallError `bad_request`."""
    try:
        return _REQUESTS.decode(text)
    except (msgspec.DecodeError, UnicodeError, ValueError, RecursionError) as error:
        raise bad_request(error) from None


def bad_request(error: Exception) -> CallError:
    """What msgspec says, which names the field (`$.rtpParameters.codecs[0].payloadType`), in our error."""
    reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    return CallError(CallErrorCode.BAD_REQUEST, f"Not what this method takes: {reason[:300]}")


def reply_frame(request_id: int, data: dict[str, Any]) -> str:
    """A success."""
    return msgspec.json.encode({"id": request_id, "ok": True, "data": data}).decode()


def error_frame(request_id: int | None, error: CallError) -> str:
    """A refusal."""
    shown = {"code": error.code.value, "message": error.message}
    return msgspec.json.encode({"id": request_id, "ok": False, "error": shown}).decode()


def notification_frame(method: str, data: dict[str, Any]) -> str:
    """A notification."""
    return msgspec.json.encode({"method": method, "data": data}).decode()
