from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MediaKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEDIA_KIND_UNSPECIFIED: _ClassVar[MediaKind]
    AUDIO: _ClassVar[MediaKind]
    VIDEO: _ClassVar[MediaKind]

class EntityKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENTITY_KIND_UNSPECIFIED: _ClassVar[EntityKind]
    ROUTER: _ClassVar[EntityKind]
    TRANSPORT: _ClassVar[EntityKind]
    PRODUCER: _ClassVar[EntityKind]
    CONSUMER: _ClassVar[EntityKind]

class PolicyRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POLICY_ROLE_UNSPECIFIED: _ClassVar[PolicyRole]
    CONGESTION_CONTROLLER: _ClassVar[PolicyRole]
    LAYER_ALLOCATOR: _ClassVar[PolicyRole]
    SPEAKER_DETECTOR: _ClassVar[PolicyRole]
MEDIA_KIND_UNSPECIFIED: MediaKind
AUDIO: MediaKind
VIDEO: MediaKind
ENTITY_KIND_UNSPECIFIED: EntityKind
ROUTER: EntityKind
TRANSPORT: EntityKind
PRODUCER: EntityKind
CONSUMER: EntityKind
POLICY_ROLE_UNSPECIFIED: PolicyRole
CONGESTION_CONTROLLER: PolicyRole
LAYER_ALLOCATOR: PolicyRole
SPEAKER_DETECTOR: PolicyRole

class Empty(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ParameterValue(_message.Message):
    __slots__ = ("integer", "text", "real", "boolean")
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    REAL_FIELD_NUMBER: _ClassVar[int]
    BOOLEAN_FIELD_NUMBER: _ClassVar[int]
    integer: int
    text: str
    real: float
    boolean: bool
    def __init__(self, integer: _Optional[int] = ..., text: _Optional[str] = ..., real: _Optional[float] = ..., boolean: _Optional[bool] = ...) -> None: ...

class RtcpFeedback(_message.Message):
    __slots__ = ("type", "parameter")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PARAMETER_FIELD_NUMBER: _ClassVar[int]
    type: str
    parameter: str
    def __init__(self, type: _Optional[str] = ..., parameter: _Optional[str] = ...) -> None: ...

class RtpCodecCapability(_message.Message):
    __slots__ = ("kind", "mime_type", "preferred_payload_type", "clock_rate", "channels", "parameters", "rtcp_feedback")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ParameterValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ParameterValue, _Mapping]] = ...) -> None: ...
    KIND_FIELD_NUMBER: _ClassVar[int]
    MIME_TYPE_FIELD_NUMBER: _ClassVar[int]
    PREFERRED_PAYLOAD_TYPE_FIELD_NUMBER: _ClassVar[int]
    CLOCK_RATE_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    RTCP_FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    kind: MediaKind
    mime_type: str
    preferred_payload_type: int
    clock_rate: int
    channels: int
    parameters: _containers.MessageMap[str, ParameterValue]
    rtcp_feedback: _containers.RepeatedCompositeFieldContainer[RtcpFeedback]
    def __init__(self, kind: _Optional[_Union[MediaKind, str]] = ..., mime_type: _Optional[str] = ..., preferred_payload_type: _Optional[int] = ..., clock_rate: _Optional[int] = ..., channels: _Optional[int] = ..., parameters: _Optional[_Mapping[str, ParameterValue]] = ..., rtcp_feedback: _Optional[_Iterable[_Union[RtcpFeedback, _Mapping]]] = ...) -> None: ...

class RtpHeaderExtensionCapability(_message.Message):
    __slots__ = ("kind", "uri", "preferred_id", "preferred_encrypt", "direction")
    KIND_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    PREFERRED_ID_FIELD_NUMBER: _ClassVar[int]
    PREFERRED_ENCRYPT_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    kind: MediaKind
    uri: str
    preferred_id: int
    preferred_encrypt: bool
    direction: str
    def __init__(self, kind: _Optional[_Union[MediaKind, str]] = ..., uri: _Optional[str] = ..., preferred_id: _Optional[int] = ..., preferred_encrypt: _Optional[bool] = ..., direction: _Optional[str] = ...) -> None: ...

class RtpCapabilities(_message.Message):
    __slots__ = ("codecs", "header_extensions")
    CODECS_FIELD_NUMBER: _ClassVar[int]
    HEADER_EXTENSIONS_FIELD_NUMBER: _ClassVar[int]
    codecs: _containers.RepeatedCompositeFieldContainer[RtpCodecCapability]
    header_extensions: _containers.RepeatedCompositeFieldContainer[RtpHeaderExtensionCapability]
    def __init__(self, codecs: _Optional[_Iterable[_Union[RtpCodecCapability, _Mapping]]] = ..., header_extensions: _Optional[_Iterable[_Union[RtpHeaderExtensionCapability, _Mapping]]] = ...) -> None: ...

class RtpCodecParameters(_message.Message):
    __slots__ = ("mime_type", "payload_type", "clock_rate", "channels", "parameters", "rtcp_feedback")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ParameterValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ParameterValue, _Mapping]] = ...) -> None: ...
    MIME_TYPE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_TYPE_FIELD_NUMBER: _ClassVar[int]
    CLOCK_RATE_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    RTCP_FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    mime_type: str
    payload_type: int
    clock_rate: int
    channels: int
    parameters: _containers.MessageMap[str, ParameterValue]
    rtcp_feedback: _containers.RepeatedCompositeFieldContainer[RtcpFeedback]
    def __init__(self, mime_type: _Optional[str] = ..., payload_type: _Optional[int] = ..., clock_rate: _Optional[int] = ..., channels: _Optional[int] = ..., parameters: _Optional[_Mapping[str, ParameterValue]] = ..., rtcp_feedback: _Optional[_Iterable[_Union[RtcpFeedback, _Mapping]]] = ...) -> None: ...

class RtpHeaderExtensionParameters(_message.Message):
    __slots__ = ("uri", "id", "encrypt", "parameters")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ParameterValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ParameterValue, _Mapping]] = ...) -> None: ...
    URI_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    ENCRYPT_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    uri: str
    id: int
    encrypt: bool
    parameters: _containers.MessageMap[str, ParameterValue]
    def __init__(self, uri: _Optional[str] = ..., id: _Optional[int] = ..., encrypt: _Optional[bool] = ..., parameters: _Optional[_Mapping[str, ParameterValue]] = ...) -> None: ...

class RtpEncodingParameters(_message.Message):
    __slots__ = ("ssrc", "rid", "codec_payload_type", "rtx_ssrc", "dtx", "scalability_mode", "scale_resolution_down_by", "max_bitrate")
    SSRC_FIELD_NUMBER: _ClassVar[int]
    RID_FIELD_NUMBER: _ClassVar[int]
    CODEC_PAYLOAD_TYPE_FIELD_NUMBER: _ClassVar[int]
    RTX_SSRC_FIELD_NUMBER: _ClassVar[int]
    DTX_FIELD_NUMBER: _ClassVar[int]
    SCALABILITY_MODE_FIELD_NUMBER: _ClassVar[int]
    SCALE_RESOLUTION_DOWN_BY_FIELD_NUMBER: _ClassVar[int]
    MAX_BITRATE_FIELD_NUMBER: _ClassVar[int]
    ssrc: int
    rid: str
    codec_payload_type: int
    rtx_ssrc: int
    dtx: bool
    scalability_mode: str
    scale_resolution_down_by: int
    max_bitrate: int
    def __init__(self, ssrc: _Optional[int] = ..., rid: _Optional[str] = ..., codec_payload_type: _Optional[int] = ..., rtx_ssrc: _Optional[int] = ..., dtx: _Optional[bool] = ..., scalability_mode: _Optional[str] = ..., scale_resolution_down_by: _Optional[int] = ..., max_bitrate: _Optional[int] = ...) -> None: ...

class RtcpParameters(_message.Message):
    __slots__ = ("cname", "reduced_size")
    CNAME_FIELD_NUMBER: _ClassVar[int]
    REDUCED_SIZE_FIELD_NUMBER: _ClassVar[int]
    cname: str
    reduced_size: bool
    def __init__(self, cname: _Optional[str] = ..., reduced_size: _Optional[bool] = ...) -> None: ...

class RtpParameters(_message.Message):
    __slots__ = ("mid", "codecs", "header_extensions", "encodings", "rtcp", "msid")
    MID_FIELD_NUMBER: _ClassVar[int]
    CODECS_FIELD_NUMBER: _ClassVar[int]
    HEADER_EXTENSIONS_FIELD_NUMBER: _ClassVar[int]
    ENCODINGS_FIELD_NUMBER: _ClassVar[int]
    RTCP_FIELD_NUMBER: _ClassVar[int]
    MSID_FIELD_NUMBER: _ClassVar[int]
    mid: str
    codecs: _containers.RepeatedCompositeFieldContainer[RtpCodecParameters]
    header_extensions: _containers.RepeatedCompositeFieldContainer[RtpHeaderExtensionParameters]
    encodings: _containers.RepeatedCompositeFieldContainer[RtpEncodingParameters]
    rtcp: RtcpParameters
    msid: str
    def __init__(self, mid: _Optional[str] = ..., codecs: _Optional[_Iterable[_Union[RtpCodecParameters, _Mapping]]] = ..., header_extensions: _Optional[_Iterable[_Union[RtpHeaderExtensionParameters, _Mapping]]] = ..., encodings: _Optional[_Iterable[_Union[RtpEncodingParameters, _Mapping]]] = ..., rtcp: _Optional[_Union[RtcpParameters, _Mapping]] = ..., msid: _Optional[str] = ...) -> None: ...

class GetNodeInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class NodeInfo(_message.Message):
    __slots__ = ("node_id", "version", "lanes", "routers", "transports", "producers", "consumers", "draining")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    ROUTERS_FIELD_NUMBER: _ClassVar[int]
    TRANSPORTS_FIELD_NUMBER: _ClassVar[int]
    PRODUCERS_FIELD_NUMBER: _ClassVar[int]
    CONSUMERS_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    version: str
    lanes: int
    routers: int
    transports: int
    producers: int
    consumers: int
    draining: bool
    def __init__(self, node_id: _Optional[str] = ..., version: _Optional[str] = ..., lanes: _Optional[int] = ..., routers: _Optional[int] = ..., transports: _Optional[int] = ..., producers: _Optional[int] = ..., consumers: _Optional[int] = ..., draining: _Optional[bool] = ...) -> None: ...

class CreateRouterRequest(_message.Message):
    __slots__ = ("id", "codecs")
    ID_FIELD_NUMBER: _ClassVar[int]
    CODECS_FIELD_NUMBER: _ClassVar[int]
    id: str
    codecs: _containers.RepeatedCompositeFieldContainer[RtpCodecCapability]
    def __init__(self, id: _Optional[str] = ..., codecs: _Optional[_Iterable[_Union[RtpCodecCapability, _Mapping]]] = ...) -> None: ...

class RouterInfo(_message.Message):
    __slots__ = ("id", "rtp_capabilities")
    ID_FIELD_NUMBER: _ClassVar[int]
    RTP_CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    id: str
    rtp_capabilities: RtpCapabilities
    def __init__(self, id: _Optional[str] = ..., rtp_capabilities: _Optional[_Union[RtpCapabilities, _Mapping]] = ...) -> None: ...

class GetRouterCapabilitiesRequest(_message.Message):
    __slots__ = ("router_id",)
    ROUTER_ID_FIELD_NUMBER: _ClassVar[int]
    router_id: str
    def __init__(self, router_id: _Optional[str] = ...) -> None: ...

class IceParameters(_message.Message):
    __slots__ = ("username_fragment", "password", "ice_lite")
    USERNAME_FRAGMENT_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    ICE_LITE_FIELD_NUMBER: _ClassVar[int]
    username_fragment: str
    password: str
    ice_lite: bool
    def __init__(self, username_fragment: _Optional[str] = ..., password: _Optional[str] = ..., ice_lite: _Optional[bool] = ...) -> None: ...

class IceCandidate(_message.Message):
    __slots__ = ("foundation", "priority", "address", "protocol", "port", "type", "tcp_type")
    FOUNDATION_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TCP_TYPE_FIELD_NUMBER: _ClassVar[int]
    foundation: str
    priority: int
    address: str
    protocol: str
    port: int
    type: str
    tcp_type: str
    def __init__(self, foundation: _Optional[str] = ..., priority: _Optional[int] = ..., address: _Optional[str] = ..., protocol: _Optional[str] = ..., port: _Optional[int] = ..., type: _Optional[str] = ..., tcp_type: _Optional[str] = ...) -> None: ...

class DtlsFingerprint(_message.Message):
    __slots__ = ("algorithm", "value")
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    algorithm: str
    value: str
    def __init__(self, algorithm: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class DtlsParameters(_message.Message):
    __slots__ = ("role", "fingerprints")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINTS_FIELD_NUMBER: _ClassVar[int]
    role: str
    fingerprints: _containers.RepeatedCompositeFieldContainer[DtlsFingerprint]
    def __init__(self, role: _Optional[str] = ..., fingerprints: _Optional[_Iterable[_Union[DtlsFingerprint, _Mapping]]] = ...) -> None: ...

class CreateWebRtcTransportRequest(_message.Message):
    __slots__ = ("router_id", "id")
    ROUTER_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    router_id: str
    id: str
    def __init__(self, router_id: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class WebRtcTransportInfo(_message.Message):
    __slots__ = ("id", "ice_parameters", "ice_candidates", "dtls_parameters")
    ID_FIELD_NUMBER: _ClassVar[int]
    ICE_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    ICE_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    DTLS_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    id: str
    ice_parameters: IceParameters
    ice_candidates: _containers.RepeatedCompositeFieldContainer[IceCandidate]
    dtls_parameters: DtlsParameters
    def __init__(self, id: _Optional[str] = ..., ice_parameters: _Optional[_Union[IceParameters, _Mapping]] = ..., ice_candidates: _Optional[_Iterable[_Union[IceCandidate, _Mapping]]] = ..., dtls_parameters: _Optional[_Union[DtlsParameters, _Mapping]] = ...) -> None: ...

class ConnectWebRtcTransportRequest(_message.Message):
    __slots__ = ("transport_id", "dtls_parameters")
    TRANSPORT_ID_FIELD_NUMBER: _ClassVar[int]
    DTLS_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    transport_id: str
    dtls_parameters: DtlsParameters
    def __init__(self, transport_id: _Optional[str] = ..., dtls_parameters: _Optional[_Union[DtlsParameters, _Mapping]] = ...) -> None: ...

class ConnectWebRtcTransportReply(_message.Message):
    __slots__ = ("dtls_local_role",)
    DTLS_LOCAL_ROLE_FIELD_NUMBER: _ClassVar[int]
    dtls_local_role: str
    def __init__(self, dtls_local_role: _Optional[str] = ...) -> None: ...

class RestartIceRequest(_message.Message):
    __slots__ = ("transport_id",)
    TRANSPORT_ID_FIELD_NUMBER: _ClassVar[int]
    transport_id: str
    def __init__(self, transport_id: _Optional[str] = ...) -> None: ...

class SrtpParameters(_message.Message):
    __slots__ = ("crypto_suite", "key")
    CRYPTO_SUITE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    crypto_suite: str
    key: bytes
    def __init__(self, crypto_suite: _Optional[str] = ..., key: _Optional[bytes] = ...) -> None: ...

class CreatePlainTransportRequest(_message.Message):
    __slots__ = ("router_id", "id", "comedia", "srtp_crypto_suite")
    ROUTER_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    COMEDIA_FIELD_NUMBER: _ClassVar[int]
    SRTP_CRYPTO_SUITE_FIELD_NUMBER: _ClassVar[int]
    router_id: str
    id: str
    comedia: bool
    srtp_crypto_suite: str
    def __init__(self, router_id: _Optional[str] = ..., id: _Optional[str] = ..., comedia: _Optional[bool] = ..., srtp_crypto_suite: _Optional[str] = ...) -> None: ...

class ConnectPlainTransportRequest(_message.Message):
    __slots__ = ("transport_id", "address", "port", "srtp_parameters")
    TRANSPORT_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    SRTP_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    transport_id: str
    address: str
    port: int
    srtp_parameters: SrtpParameters
    def __init__(self, transport_id: _Optional[str] = ..., address: _Optional[str] = ..., port: _Optional[int] = ..., srtp_parameters: _Optional[_Union[SrtpParameters, _Mapping]] = ...) -> None: ...

class PlainTransportInfo(_message.Message):
    __slots__ = ("id", "local_address", "local_port", "remote_address", "remote_port", "srtp_parameters")
    ID_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LOCAL_PORT_FIELD_NUMBER: _ClassVar[int]
    REMOTE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    REMOTE_PORT_FIELD_NUMBER: _ClassVar[int]
    SRTP_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    id: str
    local_address: str
    local_port: int
    remote_address: str
    remote_port: int
    srtp_parameters: SrtpParameters
    def __init__(self, id: _Optional[str] = ..., local_address: _Optional[str] = ..., local_port: _Optional[int] = ..., remote_address: _Optional[str] = ..., remote_port: _Optional[int] = ..., srtp_parameters: _Optional[_Union[SrtpParameters, _Mapping]] = ...) -> None: ...

class ProduceRequest(_message.Message):
    __slots__ = ("transport_id", "id", "kind", "rtp_parameters", "paused", "screen")
    TRANSPORT_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RTP_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    SCREEN_FIELD_NUMBER: _ClassVar[int]
    transport_id: str
    id: str
    kind: MediaKind
    rtp_parameters: RtpParameters
    paused: bool
    screen: bool
    def __init__(self, transport_id: _Optional[str] = ..., id: _Optional[str] = ..., kind: _Optional[_Union[MediaKind, str]] = ..., rtp_parameters: _Optional[_Union[RtpParameters, _Mapping]] = ..., paused: _Optional[bool] = ..., screen: _Optional[bool] = ...) -> None: ...

class ProducerInfo(_message.Message):
    __slots__ = ("id", "type")
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    id: str
    type: str
    def __init__(self, id: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class ConsumeRequest(_message.Message):
    __slots__ = ("transport_id", "id", "producer_id", "rtp_capabilities", "paused", "adopt_viewer_numbers", "mid")
    TRANSPORT_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    RTP_CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    ADOPT_VIEWER_NUMBERS_FIELD_NUMBER: _ClassVar[int]
    MID_FIELD_NUMBER: _ClassVar[int]
    transport_id: str
    id: str
    producer_id: str
    rtp_capabilities: RtpCapabilities
    paused: bool
    adopt_viewer_numbers: bool
    mid: str
    def __init__(self, transport_id: _Optional[str] = ..., id: _Optional[str] = ..., producer_id: _Optional[str] = ..., rtp_capabilities: _Optional[_Union[RtpCapabilities, _Mapping]] = ..., paused: _Optional[bool] = ..., adopt_viewer_numbers: _Optional[bool] = ..., mid: _Optional[str] = ...) -> None: ...

class ConsumerInfo(_message.Message):
    __slots__ = ("id", "producer_id", "kind", "type", "rtp_parameters", "paused", "producer_paused")
    ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    RTP_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_PAUSED_FIELD_NUMBER: _ClassVar[int]
    id: str
    producer_id: str
    kind: MediaKind
    type: str
    rtp_parameters: RtpParameters
    paused: bool
    producer_paused: bool
    def __init__(self, id: _Optional[str] = ..., producer_id: _Optional[str] = ..., kind: _Optional[_Union[MediaKind, str]] = ..., type: _Optional[str] = ..., rtp_parameters: _Optional[_Union[RtpParameters, _Mapping]] = ..., paused: _Optional[bool] = ..., producer_paused: _Optional[bool] = ...) -> None: ...

class PauseRequest(_message.Message):
    __slots__ = ("kind", "id")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    kind: EntityKind
    id: str
    def __init__(self, kind: _Optional[_Union[EntityKind, str]] = ..., id: _Optional[str] = ...) -> None: ...

class ResumeRequest(_message.Message):
    __slots__ = ("kind", "id")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    kind: EntityKind
    id: str
    def __init__(self, kind: _Optional[_Union[EntityKind, str]] = ..., id: _Optional[str] = ...) -> None: ...

class SetPreferredLayersRequest(_message.Message):
    __slots__ = ("consumer_id", "spatial", "temporal")
    CONSUMER_ID_FIELD_NUMBER: _ClassVar[int]
    SPATIAL_FIELD_NUMBER: _ClassVar[int]
    TEMPORAL_FIELD_NUMBER: _ClassVar[int]
    consumer_id: str
    spatial: int
    temporal: int
    def __init__(self, consumer_id: _Optional[str] = ..., spatial: _Optional[int] = ..., temporal: _Optional[int] = ...) -> None: ...

class SetPriorityRequest(_message.Message):
    __slots__ = ("consumer_id", "priority")
    CONSUMER_ID_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    consumer_id: str
    priority: int
    def __init__(self, consumer_id: _Optional[str] = ..., priority: _Optional[int] = ...) -> None: ...

class RequestKeyFrameRequest(_message.Message):
    __slots__ = ("consumer_id",)
    CONSUMER_ID_FIELD_NUMBER: _ClassVar[int]
    consumer_id: str
    def __init__(self, consumer_id: _Optional[str] = ...) -> None: ...

class SetViewRequest(_message.Message):
    __slots__ = ("consumer_id", "width", "height", "hidden")
    CONSUMER_ID_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_FIELD_NUMBER: _ClassVar[int]
    consumer_id: str
    width: int
    height: int
    hidden: bool
    def __init__(self, consumer_id: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., hidden: _Optional[bool] = ...) -> None: ...

class SetPolicyRequest(_message.Message):
    __slots__ = ("kind", "id", "role", "name", "shadow")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    kind: EntityKind
    id: str
    role: PolicyRole
    name: str
    shadow: str
    def __init__(self, kind: _Optional[_Union[EntityKind, str]] = ..., id: _Optional[str] = ..., role: _Optional[_Union[PolicyRole, str]] = ..., name: _Optional[str] = ..., shadow: _Optional[str] = ...) -> None: ...

class PolicyInfo(_message.Message):
    __slots__ = ("name", "shadow", "available")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    shadow: str
    available: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., shadow: _Optional[str] = ..., available: _Optional[_Iterable[str]] = ...) -> None: ...

class GetDecisionsRequest(_message.Message):
    __slots__ = ("transport_id", "since_unix_ms", "most")
    TRANSPORT_ID_FIELD_NUMBER: _ClassVar[int]
    SINCE_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    transport_id: str
    since_unix_ms: int
    most: int
    def __init__(self, transport_id: _Optional[str] = ..., since_unix_ms: _Optional[int] = ..., most: _Optional[int] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("at_unix_ms", "what", "subject", "to", "reason", "inputs")
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    AT_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    at_unix_ms: int
    what: str
    subject: str
    to: str
    reason: str
    inputs: _containers.ScalarMap[str, float]
    def __init__(self, at_unix_ms: _Optional[int] = ..., what: _Optional[str] = ..., subject: _Optional[str] = ..., to: _Optional[str] = ..., reason: _Optional[str] = ..., inputs: _Optional[_Mapping[str, float]] = ..., **kwargs) -> None: ...

class Decisions(_message.Message):
    __slots__ = ("decisions", "forgotten")
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    decisions: _containers.RepeatedCompositeFieldContainer[Decision]
    forgotten: int
    def __init__(self, decisions: _Optional[_Iterable[_Union[Decision, _Mapping]]] = ..., forgotten: _Optional[int] = ...) -> None: ...

class CloseRequest(_message.Message):
    __slots__ = ("kind", "id")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    kind: EntityKind
    id: str
    def __init__(self, kind: _Optional[_Union[EntityKind, str]] = ..., id: _Optional[str] = ...) -> None: ...

class GetStatsRequest(_message.Message):
    __slots__ = ("kind", "id")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    kind: EntityKind
    id: str
    def __init__(self, kind: _Optional[_Union[EntityKind, str]] = ..., id: _Optional[str] = ...) -> None: ...

class StatsRow(_message.Message):
    __slots__ = ("type", "id", "figures", "labels")
    class FiguresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    type: str
    id: str
    figures: _containers.ScalarMap[str, float]
    labels: _containers.ScalarMap[str, str]
    def __init__(self, type: _Optional[str] = ..., id: _Optional[str] = ..., figures: _Optional[_Mapping[str, float]] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Stats(_message.Message):
    __slots__ = ("taken_unix_ms", "rows")
    TAKEN_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    taken_unix_ms: int
    rows: _containers.RepeatedCompositeFieldContainer[StatsRow]
    def __init__(self, taken_unix_ms: _Optional[int] = ..., rows: _Optional[_Iterable[_Union[StatsRow, _Mapping]]] = ...) -> None: ...

class DumpRequest(_message.Message):
    __slots__ = ("kind", "id")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    kind: EntityKind
    id: str
    def __init__(self, kind: _Optional[_Union[EntityKind, str]] = ..., id: _Optional[str] = ...) -> None: ...

class DumpReply(_message.Message):
    __slots__ = ("json",)
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: str
    def __init__(self, json: _Optional[str] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Event(_message.Message):
    __slots__ = ("transport_state", "closed", "producer_pause", "lagged", "consumer_layers", "encodings_wanted", "speakers", "consumer_held")
    TRANSPORT_STATE_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_PAUSE_FIELD_NUMBER: _ClassVar[int]
    LAGGED_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_LAYERS_FIELD_NUMBER: _ClassVar[int]
    ENCODINGS_WANTED_FIELD_NUMBER: _ClassVar[int]
    SPEAKERS_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_HELD_FIELD_NUMBER: _ClassVar[int]
    transport_state: TransportStateChanged
    closed: EntityClosed
    producer_pause: ProducerPauseChanged
    lagged: WatchLagged
    consumer_layers: ConsumerLayersChanged
    encodings_wanted: ProducerEncodingsWanted
    speakers: ActiveSpeakersChanged
    consumer_held: ConsumerHeld
    def __init__(self, transport_state: _Optional[_Union[TransportStateChanged, _Mapping]] = ..., closed: _Optional[_Union[EntityClosed, _Mapping]] = ..., producer_pause: _Optional[_Union[ProducerPauseChanged, _Mapping]] = ..., lagged: _Optional[_Union[WatchLagged, _Mapping]] = ..., consumer_layers: _Optional[_Union[ConsumerLayersChanged, _Mapping]] = ..., encodings_wanted: _Optional[_Union[ProducerEncodingsWanted, _Mapping]] = ..., speakers: _Optional[_Union[ActiveSpeakersChanged, _Mapping]] = ..., consumer_held: _Optional[_Union[ConsumerHeld, _Mapping]] = ...) -> None: ...

class TransportStateChanged(_message.Message):
    __slots__ = ("transport_id", "ice_state", "dtls_state")
    TRANSPORT_ID_FIELD_NUMBER: _ClassVar[int]
    ICE_STATE_FIELD_NUMBER: _ClassVar[int]
    DTLS_STATE_FIELD_NUMBER: _ClassVar[int]
    transport_id: str
    ice_state: str
    dtls_state: str
    def __init__(self, transport_id: _Optional[str] = ..., ice_state: _Optional[str] = ..., dtls_state: _Optional[str] = ...) -> None: ...

class EntityClosed(_message.Message):
    __slots__ = ("kind", "id", "reason")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    kind: EntityKind
    id: str
    reason: str
    def __init__(self, kind: _Optional[_Union[EntityKind, str]] = ..., id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ProducerPauseChanged(_message.Message):
    __slots__ = ("producer_id", "paused", "consumer_ids")
    PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_IDS_FIELD_NUMBER: _ClassVar[int]
    producer_id: str
    paused: bool
    consumer_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, producer_id: _Optional[str] = ..., paused: _Optional[bool] = ..., consumer_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ConsumerLayersChanged(_message.Message):
    __slots__ = ("consumer_id", "spatial", "temporal")
    CONSUMER_ID_FIELD_NUMBER: _ClassVar[int]
    SPATIAL_FIELD_NUMBER: _ClassVar[int]
    TEMPORAL_FIELD_NUMBER: _ClassVar[int]
    consumer_id: str
    spatial: int
    temporal: int
    def __init__(self, consumer_id: _Optional[str] = ..., spatial: _Optional[int] = ..., temporal: _Optional[int] = ...) -> None: ...

class ProducerEncodingsWanted(_message.Message):
    __slots__ = ("producer_id", "wanted")
    PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    producer_id: str
    wanted: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, producer_id: _Optional[str] = ..., wanted: _Optional[_Iterable[bool]] = ...) -> None: ...

class ActiveSpeakersChanged(_message.Message):
    __slots__ = ("router_id", "dominant_producer_id", "producer_ids")
    ROUTER_ID_FIELD_NUMBER: _ClassVar[int]
    DOMINANT_PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_IDS_FIELD_NUMBER: _ClassVar[int]
    router_id: str
    dominant_producer_id: str
    producer_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, router_id: _Optional[str] = ..., dominant_producer_id: _Optional[str] = ..., producer_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ConsumerHeld(_message.Message):
    __slots__ = ("consumer_id", "held")
    CONSUMER_ID_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    consumer_id: str
    held: bool
    def __init__(self, consumer_id: _Optional[str] = ..., held: _Optional[bool] = ...) -> None: ...

class WatchLagged(_message.Message):
    __slots__ = ("dropped",)
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    dropped: int
    def __init__(self, dropped: _Optional[int] = ...) -> None: ...
