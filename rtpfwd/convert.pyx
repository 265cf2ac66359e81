"""Python values to and from the plane's structs, checked."""

from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from rtpfwd.codecs.dd cimport DdState, dd_init
from rtpfwd.codecs.pictures cimport pictures_init
from rtpfwd.header cimport header_plan_init, header_plan_map, header_plan_set_mid
from rtpfwd.names cimport codec_of, extension_kind
from rtpfwd.recv_stream cimport recv_stream_free
from rtpfwd.rewriter cimport rewriter_init
from rtpfwd.send_stream cimport send_stream_free, send_stream_init
from rtpfwd.slab cimport history_free
from rtpfwd.srtp cimport srtp_close, srtp_receiver_close, srtp_sender_close
from rtpfwd.state cimport (
    CodecState,
    Encoding,
    MAX_CNAME,
    MAX_CODECS,
    MAX_ENCODINGS,
    Mirror,
    NO_PAYLOAD_TYPE,
    SENT_PACKETS,
)
from rtpfwd.stun cimport STUN_USERNAME, routine_check_free, stun_key_init
from rtpfwd.sys_linux cimport AF_INET, AF_INET6, inet_ntop, inet_pton
from rtpfwd.tables cimport TCP, UDP
from rtpfwd.twcc cimport twcc_close
from rtpfwd.types cimport EXT_DEPENDENCY_DESCRIPTOR, EXT_OTHER, MAX_MID

cdef const unsigned char* _MAPPED = b"\0\0\0\0\0\0\0\0\0\0\xff\xff"


# Addresses.

cdef int endpoint_from(object address, Endpoint* out) except -1:
    cdef bytes host
    memset(out, 0, sizeof(Endpoint))
    try:
        protocol, literal, port = address
        host = literal.encode("ascii")
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"an address is (\"udp\" or \"tcp\", IP literal, port), not {type(address).__name__}") from None
    if protocol not in ("udp", "tcp"):
        raise ValueError(f"an address's protocol is \"udp\" or \"tcp\", not {protocol!r}")
    if not isinstance(port, int) or not 0 < port < 65536:
        raise ValueError(f"an address's port is 1 to 65535, not {port!r}")
    if b"\0" not in host and inet_pton(AF_INET, host, out.ip) == 1:
        out.family = 4
    elif b"\0" not in host and inet_pton(AF_INET6, host, out.ip) == 1:
        out.family = 6
    else:
        raise ValueError("an address's host is an IP literal without a zone")
    if out.family == 6 and memcmp(out.ip, _MAPPED, 12) == 0:
        raise ValueError("an address is never IPv4-mapped IPv6")
    out.protocol = TCP if protocol == "tcp" else UDP
    out.port = port
    return 0


cdef tuple address_of(const Endpoint* endpoint):
    cdef char text[46]
    inet_ntop(AF_INET if endpoint.family == 4 else AF_INET6, endpoint.ip, text, sizeof(text))
    return "tcp" if endpoint.protocol == TCP else "udp", (<bytes>text).decode("ascii"), endpoint.port


# ICE.

cdef RoutineCheck* routine_from(object check) except NULL:
    cdef RoutineCheck* made
    cdef bytes username = check.username
    cdef bytes password = check.password
    if not 0 < len(username) <= STUN_USERNAME or not password:
        raise ValueError(f"a check has a username of 1 to {STUN_USERNAME} bytes and a password")
    if not isinstance(check.priority, int) or not 0 <= check.priority < 1 << 32:
        raise ValueError(f"a check's priority is a number of 32 bits, not {check.priority!r}")
    made = <RoutineCheck*>calloc(1, sizeof(RoutineCheck))
    if made == NULL:
        raise MemoryError
    stun_key_init(&made.key, <const uint8_t*><const char*>password, len(password))
    made.priority = check.priority
    made.may_nominate = bool(check.may_nominate)
    made.username_size = <int>len(username)
    memcpy(made.username, <const char*>username, len(username))
    return made


# Checks shared by producers and consumers.

cdef object _ssrc(object value, str what):
    if not isinstance(value, int) or not 0 < value < 1 << 32:
        raise ValueError(f"{what} is a 32-bit SSRC, not {value!r}")
    return value


cdef int _payload_type(object value) except -1:
    if not isinstance(value, int) or not 0 <= value < 128:
        raise ValueError(f"a payload type is 0 to 127, not {value!r}")
    return value


cdef int _text(str value, uint8_t* out, uint8_t* size, int limit, str what) except -1:
    encoded = value.encode()
    if len(encoded) > limit:
        raise ValueError(f"{what} {value!r} is longer than {limit} bytes")
    memcpy(out, <const char*>encoded, len(encoded))
    size[0] = len(encoded)
    return 0


cdef dict _extensions(object pairs):
    """uri to id, each once."""
    found = {}
    for uri, number in pairs:
        if not isinstance(number, int) or not 0 < number < 256:
            raise ValueError(f"a header extension id is 1 to 255, not {number!r} ({uri})")
        if uri in found or number in found.values():
            raise ValueError(f"header extension {uri} or its id {number} is named twice")
        found[uri] = number
    return found


# Producers.

cdef Producer* producer_from(object params) except NULL:
    cdef Producer* p
    if params.kind not in ("audio", "video"):
        raise ValueError(f"a producer is \"audio\" or \"video\", not {params.kind!r}")
    if not 1 <= len(params.codecs) <= MAX_CODECS:
        raise ValueError(f"a producer has 1 to {MAX_CODECS} codecs")
    if not 1 <= len(params.encodings) <= MAX_ENCODINGS:
        raise ValueError(f"a producer has 1 to {MAX_ENCODINGS} encodings")
    p = <Producer*>calloc(1, sizeof(Producer))
    if p == NULL:
        raise MemoryError
    try:
        p.encodings = <Encoding*>calloc(len(params.encodings), sizeof(Encoding))
        if p.encodings == NULL:
            raise MemoryError
        p.video = params.kind == "video"
        p.loudest = -1
        p.paused = params.paused
        p.pending_first = p.pending_last = -1
        _text(params.mid or "", p.mid, &p.mid_size, MAX_MID, "the MID")
        _text(params.cname, p.cname, &p.cname_size, MAX_CNAME, "the CNAME")
        for uri, number in _extensions(params.extensions).items():
            kind = extension_kind(uri)
            if kind != EXT_OTHER:
                p.extension_ids[<int>kind] = number
        _fill_codecs(p, params.codecs)
        _fill_encodings(p, params.encodings)
        if p.video and p.extension_ids[<int>EXT_DEPENDENCY_DESCRIPTOR]:
            _make_descriptors(p)
    except BaseException:
        free_producer(p)
        raise
    return p


cdef int _fill_codecs(Producer* p, object codecs) except -1:
    cdef CodecState* codec
    cdef int number
    memset(p.codec_index, NO_PAYLOAD_TYPE, sizeof(p.codec_index))
    memset(p.media_of_rtx, NO_PAYLOAD_TYPE, sizeof(p.media_of_rtx))
    for params in codecs:
        codec = &p.codecs[p.codec_count]
        number = _payload_type(params.payload_type)
        if not isinstance(params.clock_rate, int) or not 0 < params.clock_rate < 1 << 31:
            raise ValueError(f"a clock rate is in Hz, not {params.clock_rate!r}")
        if p.codec_index[number] != NO_PAYLOAD_TYPE or p.media_of_rtx[number] != NO_PAYLOAD_TYPE:
            raise ValueError(f"payload type {number} is named twice")
        codec.payload_type = number
        codec.rtx_payload_type = NO_PAYLOAD_TYPE
        codec.codec = codec_of(params.mime_type)
        codec.clock_rate = params.clock_rate
        codec.nack = params.nack
        codec.pli = params.pli
        codec.fir = params.fir
        p.codec_index[number] = p.codec_count
        if params.rtx_payload_type is not None:
            number = _payload_type(params.rtx_payload_type)
            if p.codec_index[number] != NO_PAYLOAD_TYPE or p.media_of_rtx[number] != NO_PAYLOAD_TYPE:
                raise ValueError(f"payload type {number} is named twice")
            codec.rtx_payload_type = number
            p.media_of_rtx[number] = codec.payload_type
        p.codec_count += 1
    return 0


cdef int _fill_encodings(Producer* p, object encodings) except -1:
    cdef Encoding* e
    ssrcs = []
    rids = []
    for params in encodings:
        e = &p.encodings[p.encoding_count]
        if params.ssrc is not None:
            e.ssrc = _ssrc(params.ssrc, "an encoding's ssrc")
            e.has_ssrc = True
            ssrcs.append(params.ssrc)
        if params.rtx_ssrc is not None:
            e.rtx_ssrc = _ssrc(params.rtx_ssrc, "an encoding's rtx_ssrc")
            e.has_rtx_ssrc = True
            ssrcs.append(params.rtx_ssrc)
        if params.rid is not None:
            _text(params.rid, e.rid, &e.rid_size, MAX_MID, "the RID")
            rids.append(params.rid)
        elif params.ssrc is None and len(encodings) > 1:
            raise ValueError("one of several encodings needs an ssrc or a rid")
        p.encoding_count += 1
    if len(set(ssrcs)) != len(ssrcs):
        raise ValueError("an SSRC is named twice")
    if len(set(rids)) != len(rids):
        raise ValueError("a RID is named twice")
    return 0


cdef int _make_descriptors(Producer* p) except -1:
    cdef int index
    for index in range(p.encoding_count):
        p.encodings[index].descriptor = <DdState*>calloc(1, sizeof(DdState))
        if p.encodings[index].descriptor == NULL:
            raise MemoryError
        dd_init(p.encodings[index].descriptor, 0)
    return 0


cdef void free_producer(Producer* p) noexcept:
    cdef Mirror* mirror
    cdef int index
    for index in range(p.encoding_count):
        recv_stream_free(&p.encodings[index].stream)
        history_free(&p.encodings[index].history)
        free(p.encodings[index].descriptor)
    while p.mirrors != NULL:
        mirror = p.mirrors
        p.mirrors = mirror.next
        free(mirror)
    free(p.encodings)
    free(p)


# Consumers. `producer` is the ProducerParams that the plane kept.

cdef Consumer* consumer_from(object params, object selector, object producer, unsigned int first_random) except NULL:
    cdef Consumer* c
    cdef uint32_t rtx_ssrc = 0
    clock_rate = producer.codecs[0].clock_rate
    ssrc = _ssrc(params.ssrc, "a consumer's ssrc")
    if params.rtx_ssrc is not None:
        rtx_ssrc = _ssrc(params.rtx_ssrc, "a consumer's rtx_ssrc")
    c = <Consumer*>calloc(1, sizeof(Consumer))
    if c == NULL:
        raise MemoryError
    try:
        c.paused = params.paused
        _text(params.cname, c.cname, &c.cname_size, MAX_CNAME, "the CNAME")
        _fill_payload_types(c, params.payload_types, producer)
        _fill_plan(c, params, _extensions(producer.extensions))
        # The first number leaves room below, so that a few reordered packets do not wrap (RFC 3711 section 3.3.1).
        pictures_init(&c.pictures)
        c.told.spatial = c.told.temporal = -1
        rewriter_init(&c.rewriter, clock_rate, <uint16_t>(first_random & 0x7fff))
        if send_stream_init(&c.stream, ssrc, rtx_ssrc, clock_rate, SENT_PACKETS, <uint16_t>(first_random >> 17)):
            raise MemoryError
        Py_INCREF(selector)
        c.selector = <PyObject*>selector
    except BaseException:
        free_consumer(c)
        raise
    return c


cdef int _fill_payload_types(Consumer* c, object mappings, object producer) except -1:
    cdef int number
    memset(c.payload_types, NO_PAYLOAD_TYPE, sizeof(c.payload_types))
    memset(c.rtx_payload_types, NO_PAYLOAD_TYPE, sizeof(c.rtx_payload_types))
    known = {codec.payload_type for codec in producer.codecs}
    if not mappings:
        raise ValueError("a consumer maps at least one payload type")
    for mapping in mappings:
        number = _payload_type(mapping.producer)
        if number not in known:
            raise ValueError(f"the producer has no payload type {number}")
        if c.payload_types[number] != NO_PAYLOAD_TYPE:
            raise ValueError(f"payload type {number} is mapped twice")
        c.payload_types[number] = _payload_type(mapping.consumer)
        if mapping.consumer_rtx is not None:
            c.rtx_payload_types[number] = _payload_type(mapping.consumer_rtx)
    return 0


cdef int _fill_plan(Consumer* c, object params, dict incoming) except -1:
    header_plan_init(&c.plan)
    for uri, number in _extensions(params.extensions).items():
        header_plan_map(&c.plan, extension_kind(uri), incoming.get(uri, 0), number)
    mid = params.mid.encode()
    if header_plan_set_mid(&c.plan, mid, len(mid)):
        raise ValueError(f"the MID {params.mid!r} is too long")
    return 0


cdef void free_consumer(Consumer* c) noexcept:
    srtp_sender_close(&c.sender)
    srtp_sender_close(&c.rtx_sender)
    send_stream_free(&c.stream)
    Py_XDECREF(c.selector)
    free(c)


cdef void free_transport(Transport* t) noexcept:
    srtp_receiver_close(t.receiver)
    srtp_close(t.control)
    Py_XDECREF(t.policy_owner)      # last: the keys are its own
    twcc_close(&t.twcc)
    routine_check_free(t.routine)
    free(t.admitted)
    free(t)
