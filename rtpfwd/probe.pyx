"""Python face of the packet modules for tests, tools and benches. No production code imports it.

Every input is copied to the end of a page that is followed by an unreadable one, and every output is written to such a
place, so a read or write past the end stops the process at once instead of going unseen.

Over 400 lines, because it is one flat list of thin wrappers, a few lines each. Their meaning: probe.pyi.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_NONE, PROT_READ, PROT_WRITE, mmap, mprotect, munmap

from rtpfwd.codecs.dd cimport DdFrame, DdState, DdStructure, dd_init, dd_read_untrusted
from rtpfwd.codecs.describe cimport describe as _describe
from rtpfwd.codecs.describe cimport describe_packet
from rtpfwd.codecs.pictures cimport (
    PATCH_FRAME, Patch, Pictures, patch_payload, pictures_drop, pictures_forward, pictures_init,
)
from rtpfwd.convert cimport endpoint_from, routine_from
from rtpfwd.cursor cimport Writer, store_u16, writer_init, writer_size
from rtpfwd.header cimport (
    HeaderMarks, HeaderPlan, header_plan_init, header_plan_map, header_plan_set_mid, header_plan_set_playout_delay, is_rtcp,
    rtp_parse_untrusted,
    rtp_write_packet, rtx_unwrap, rtx_write_packet,
)
from rtpfwd.names cimport codec_of, drop_reason_name
from rtpfwd.rate cimport rate_bps
from rtpfwd.recv_stream cimport (
    MAX_MISSING, RecvStream, recv_stream_free, recv_stream_init, recv_stream_jitter, recv_stream_lost,
    recv_stream_nacks, recv_stream_next_timeout, recv_stream_receive, recv_stream_report,
    recv_stream_sender_report, recv_stream_take_keyframe_wanted,
)
from rtpfwd.rewriter cimport Rewriter, Rewritten, rewriter_drop, rewriter_forward, rewriter_init
from rtpfwd.rtcp cimport (
    RTCP_BYE, RTCP_CNAME, RTCP_FIR, RTCP_NACK, RTCP_PLI, RTCP_RECEIVER_REPORT, RTCP_REPORT_BLOCK, RTCP_SENDER_INFO,
    ReportBlock, RtcpItem, RtcpReader, rtcp_next, rtcp_open_untrusted, rtcp_write_bye, rtcp_write_cname,
    rtcp_write_fir, rtcp_write_nack, rtcp_write_pli, rtcp_write_rr, rtcp_write_sr,
)
from rtpfwd.selector cimport Selector
from rtpfwd.send_stream cimport (
    SendStream, Sent, send_stream_free, send_stream_init, send_stream_nacked,
    send_stream_receive_report, send_stream_sent, send_stream_write_rtx, send_stream_write_sr,
)
from rtpfwd.slab cimport (
    History, Slab, history_free, history_init, history_store, history_view, history_widen, slab_free,
    slab_grow, slab_init, slab_wants_growth,
)
from rtpfwd.stun cimport (
    STUN_ANSWER_V6, RoutineCheck, StunKey, routine_check_free, stun_authentic_untrusted, stun_hmac,
    stun_key_init, stun_routine_untrusted, stun_write_success,
)
from rtpfwd.tables cimport Endpoint
from rtpfwd.types cimport CODEC_VP8, DROP, SWITCH, PacketView

cdef enum:
    GUARDED_SIZE = 0x20000      # bytes before the guard page: more than any datagram
    GUARD_SIZE = 0x10000        # bytes that can't be touched; a multiple of every page size


class Refused(ValueError):
    """What was given is dropped; `reason` is its name in rtpfwd.names.DROP_REASONS."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


cdef _refuse(int reason):
    raise Refused(drop_reason_name(reason).decode())


cdef class Guarded:
    cdef uint8_t* pages

    def __cinit__(self):
        cdef int kind = MAP_PRIVATE | MAP_ANONYMOUS
        cdef void* got = mmap(NULL, GUARDED_SIZE + GUARD_SIZE, PROT_READ | PROT_WRITE, kind, -1, 0)
        if got == MAP_FAILED:
            raise MemoryError("no memory for the guard pages")
        self.pages = <uint8_t*>got
        if mprotect(self.pages + GUARDED_SIZE, GUARD_SIZE, PROT_NONE) != 0:
            raise MemoryError("the guard page can't be protected")

    def __dealloc__(self):
        if self.pages != NULL:
            munmap(self.pages, GUARDED_SIZE + GUARD_SIZE)

    cdef uint8_t* room(self, Py_ssize_t size) except NULL:
        # `size` bytes whose end is the guard page.
        if size < 0 or size > GUARDED_SIZE:
            raise ValueError(f"at most {GUARDED_SIZE} bytes, not {size}")
        return self.pages + GUARDED_SIZE - size

    cdef uint8_t* copy(self, bytes data) except NULL:
        cdef uint8_t* at = self.room(len(data))
        memcpy(at, <const uint8_t*>data, len(data))
        return at


cdef Guarded _input = Guarded()
cdef Guarded _output = Guarded()


# Packets

cdef int _parse(bytes data, PacketView* view) except -1:
    cdef int reason = rtp_parse_untrusted(_input.copy(data), len(data), view)
    if reason:
        _refuse(reason)
    return 0


cdef dict _fields(const PacketView* view):
    return {
        "marker": bool(view.marker),
        "payload_type": view.payload_type,
        "seq": view.seq,
        "timestamp": view.timestamp,
        "ssrc": view.ssrc,
        "csrc": [int.from_bytes(view.csrc[4 * i:4 * i + 4], "big") for i in range(view.csrc_count)],
        "extensions": [
            (view.extensions[i].id, bytes(view.extensions[i].data[:view.extensions[i].size]))
            for i in range(view.extension_count)
        ],
        "payload": bytes(view.payload[:view.payload_size]),
        "padding": view.padding_size,
    }


def parse_rtp(bytes data not None):
    cdef PacketView view
    _parse(data, &view)
    return _fields(&view)


def looks_like_rtcp(bytes data not None):
    return bool(is_rtcp(_input.copy(data), len(data)))


def unwrap_rtx(bytes data not None, uint32_t media_ssrc, uint8_t media_payload_type):
    cdef PacketView view, again
    cdef int reason
    _parse(data, &view)
    reason = rtx_unwrap(&view, media_ssrc, media_payload_type)
    if reason:
        _refuse(reason)
    # The view and the bytes have to tell the same story.
    reason = rtp_parse_untrusted(view.data, view.size, &again)
    if reason:
        _refuse(reason)
    assert _fields(&view) == _fields(&again)
    return bytes(view.data[:view.size])


def describe(str mime_type not None, bytes payload not None, *, bint marker=False):
    cdef PacketView view
    memset(&view, 0xFF, sizeof(view))
    view.payload = _input.copy(payload)
    view.payload_size = len(payload)
    view.marker = marker
    _describe(codec_of(mime_type), &view)
    return _shown(&view)


cdef dict _shown(const PacketView* view):
    cdef dict shown = {
        "layer": (view.layer.spatial, view.layer.temporal),
        "is_keyframe": bool(view.is_keyframe),
        "is_frame_start": bool(view.is_frame_start),
        "is_frame_end": bool(view.is_frame_end),
        "is_switch_point": bool(view.is_switch_point),
        "needs_lower": bool(view.needs_lower),
    }
    if view.picture_id >= 0:
        shown["picture_id"] = (view.picture_id, view.picture_id_bits, view.picture_id_at)
    if view.tl0_index >= 0:
        shown["tl0_index"] = (view.tl0_index, view.tl0_index_at)
    if view.frame_number >= 0:
        shown["frame_number"] = view.frame_number
    if view.active_targets:
        shown["active_targets"] = view.active_targets
    if view.audio_level >= 0:
        shown["audio_level"] = (view.audio_level, bool(view.voice))
    return shown


cdef class Describing:
    cdef DdState descriptor
    cdef int codec
    cdef int64_t ext_seq

    def __init__(self, str mime_type not None):
        self.codec = codec_of(mime_type)
        dd_init(&self.descriptor, 0)

    def describe(self, bytes data not None, *, ext_seq=None, uint8_t descriptor_id=0, uint8_t audio_level_id=0):
        cdef PacketView view
        _parse(data, &view)
        view.ext_seq = self.ext_seq = self.ext_seq + 1 if ext_seq is None else ext_seq
        describe_packet(self.codec, &self.descriptor, descriptor_id, audio_level_id, &view)
        return {**_shown(&view), "has_descriptor": bool(view.has_descriptor)}


# The dependency descriptor

cdef class Structure:
    cdef DdStructure structure

    def __init__(self):
        memset(&self.structure, 0, sizeof(DdStructure))

    def read(self, bytes data not None):
        cdef DdStructure fresh
        cdef DdFrame frame
        cdef int i
        if not dd_read_untrusted(_input.copy(data), len(data), &self.structure, &fresh, &frame):
            return None
        if frame.brings_structure:
            self.structure = fresh
        read = {
            "start": bool(frame.starts), "end": bool(frame.ends), "number": frame.number,
            "layer": (frame.layer.spatial, frame.layer.temporal),
            "indications": [(frame.indications >> (2 * i)) & 3 for i in range(self.structure.target_count)],
            "diffs": [frame.diffs[i] for i in range(frame.diff_count)],
        }
        if frame.brings_structure or frame.says_active:
            read["active"] = frame.active
        if frame.brings_structure:
            read["targets"] = [
                (self.structure.targets[i].spatial, self.structure.targets[i].temporal)
                for i in range(self.structure.target_count)
            ]
        return read


# Numbering of frames

cdef class Numbering:
    cdef Pictures pictures

    def __init__(self):
        pictures_init(&self.pictures)

    cdef int _view(self, PacketView* view, bytes payload, str mime_type, frame_number) except -1:
        view.payload = _input.copy(payload)
        view.payload_size = len(payload)
        view.marker = False
        _describe(codec_of(mime_type), view)
        if frame_number is not None:
            view.frame_number = frame_number
        return 0

    def forward(self, str mime_type not None, bytes payload not None, *, bint switch=False, frame_number=None):
        cdef PacketView view
        cdef Patch patch
        cdef uint8_t* out = _output.room(len(payload))
        self._view(&view, payload, mime_type, frame_number)
        pictures_forward(&self.pictures, &view, switch, &patch)
        memcpy(out, view.payload, len(payload))
        patch_payload(&patch, &view, out)
        return bytes(out[:len(payload)]), patch.frame_number if patch.flags & PATCH_FRAME else frame_number

    def drop(self, str mime_type not None, bytes payload not None):
        cdef PacketView view
        self._view(&view, payload, mime_type, None)
        pictures_drop(&self.pictures, &view, codec_of(mime_type) == CODEC_VP8)


cdef class Plan:
    cdef HeaderPlan plan

    def __init__(self, extensions=(), *, bytes mid not None=b"", playout_delay=None):
        header_plan_init(&self.plan)
        for kind, in_id, out_id in extensions:
            header_plan_map(&self.plan, kind, in_id, out_id)
        if header_plan_set_mid(&self.plan, mid, len(mid)) < 0:
            raise ValueError(f"a MID of {len(mid)} bytes is too long")
        if playout_delay is not None:
            header_plan_set_playout_delay(&self.plan, playout_delay)


def write_rtp(
    bytes data not None, Plan plan not None, *, uint8_t payload_type, uint16_t seq, uint32_t timestamp, uint32_t ssrc,
    int64_t now=0, Py_ssize_t capacity=1500, original_seq=None,
):
    cdef PacketView view
    cdef HeaderMarks marks
    cdef uint8_t* out = _output.room(capacity)
    cdef int size
    _parse(data, &view)
    if original_seq is None:
        size = rtp_write_packet(&plan.plan, &view, payload_type, seq, timestamp, ssrc, now, out, capacity, &marks)
    else:
        size = rtx_write_packet(
            &plan.plan, &view, payload_type, seq, timestamp, ssrc, original_seq, now, out, capacity, &marks)
    if size < 0:
        return None
    return bytes(out[:size]), marks.transport_cc, marks.abs_send_time


# STUN

def hmac_sha1(bytes password not None, bytes data not None):
    cdef StunKey key
    cdef uint8_t* digest = _output.room(20)
    stun_key_init(&key, <const uint8_t*><const char*>password, len(password))
    stun_hmac(&key, _input.copy(data), len(data), digest)
    return bytes(digest[:20])


def stun_authentic(bytes data not None, bytes password not None):
    cdef StunKey key
    stun_key_init(&key, <const uint8_t*><const char*>password, len(password))
    return bool(stun_authentic_untrusted(&key, _input.copy(data), len(data)))


def answer_check(bytes data not None, check, source):
    cdef Endpoint endpoint
    cdef RoutineCheck* routine
    cdef uint8_t* answer = _output.room(STUN_ANSWER_V6)
    cdef const uint8_t* copy = _input.copy(data)
    cdef int size = 0
    endpoint_from(source, &endpoint)
    routine = routine_from(check)
    if stun_routine_untrusted(routine, copy, len(data)):
        size = stun_write_success(&routine.key, copy, &endpoint, answer)
    routine_check_free(routine)
    return bytes(answer[:size]) if size else None


# RTCP

cdef dict _block_fields(const ReportBlock* block):
    return {
        "ssrc": block.ssrc, "fraction_lost": block.fraction_lost, "cumulative_lost": block.cumulative_lost,
        "highest_seq": block.highest_seq, "jitter": block.jitter, "last_sr": block.last_sr,
        "delay_since_last_sr": block.delay_since_last_sr,
    }


cdef ReportBlock _block(dict fields) except *:
    cdef ReportBlock block
    block.ssrc = fields["ssrc"]
    block.fraction_lost = fields["fraction_lost"]
    block.cumulative_lost = fields["cumulative_lost"]
    block.highest_seq = fields["highest_seq"]
    block.jitter = fields["jitter"]
    block.last_sr = fields["last_sr"]
    block.delay_since_last_sr = fields["delay_since_last_sr"]
    return block


cdef dict _item_fields(const RtcpItem* item):
    if item.kind == RTCP_SENDER_INFO:
        return {"kind": "sender_info", "sender": item.sender, "ntp": item.ntp, "rtp": item.rtp,
                "packets": item.packets, "octets": item.octets}
    if item.kind == RTCP_RECEIVER_REPORT:
        return {"kind": "receiver_report", "sender": item.sender}
    if item.kind == RTCP_REPORT_BLOCK:
        return {"kind": "report_block", "sender": item.sender, **_block_fields(&item.block)}
    if item.kind == RTCP_BYE:
        return {"kind": "bye", "sender": item.sender}
    if item.kind == RTCP_NACK:
        return {"kind": "nack", "sender": item.sender, "media": item.media, "pid": item.pid, "blp": item.blp}
    if item.kind == RTCP_FIR:
        return {"kind": "fir", "sender": item.sender, "media": item.media, "fir_seq": item.fir_seq}
    if item.kind == RTCP_PLI:
        return {"kind": "pli", "sender": item.sender, "media": item.media}
    name = "cname" if item.kind == RTCP_CNAME else _BODY_KINDS[item.kind]
    return {"kind": name, "body": bytes(item.body[:item.body_size])}


_BODY_KINDS = {6: "app", 10: "transport_cc", 11: "remb", 12: "unknown"}


def parse_rtcp(bytes data not None):
    cdef RtcpReader reader
    cdef RtcpItem item
    cdef int reason = rtcp_open_untrusted(&reader, _input.copy(data), len(data))
    if reason:
        _refuse(reason)
    items = []
    while rtcp_next(&reader, &item):
        items.append(_item_fields(&item))
    return items


def write_rtcp(packets, *, Py_ssize_t capacity=1500):
    cdef Writer w
    cdef uint8_t* out = _output.room(capacity)
    writer_init(&w, out, capacity)
    for packet in packets:
        if _write_rtcp(&w, packet) < 0:
            break
    return bytes(out[:writer_size(&w)])


cdef int _write_rtcp(Writer* w, dict packet) except? -1:
    cdef ReportBlock blocks[32]
    cdef uint32_t ssrcs[32]
    cdef uint16_t seqs[512]
    cdef str kind = packet["kind"]
    cdef int i, count
    if kind == "sr" or kind == "rr":
        count = len(packet["blocks"])
        for i in range(min(count, 32)):
            blocks[i] = _block(packet["blocks"][i])
        if kind == "rr":
            return rtcp_write_rr(w, packet["sender"], blocks, count)
        return rtcp_write_sr(
            w, packet["sender"], packet["ntp"], packet["rtp"], packet["packets"], packet["octets"], blocks, count)
    if kind == "cname":
        return rtcp_write_cname(w, packet["sender"], <bytes>packet["body"], len(packet["body"]))
    if kind == "bye":
        count = len(packet["ssrcs"])
        for i in range(min(count, 32)):
            ssrcs[i] = packet["ssrcs"][i]
        return rtcp_write_bye(w, ssrcs, count)
    if kind == "pli":
        return rtcp_write_pli(w, packet["sender"], packet["media"])
    if kind == "fir":
        return rtcp_write_fir(w, packet["sender"], packet["media"], packet["fir_seq"])
    if kind == "nack":
        count = min(len(packet["seqs"]), 512)
        for i in range(count):
            seqs[i] = packet["seqs"][i]
        return rtcp_write_nack(w, packet["sender"], packet["media"], seqs, count)
    raise ValueError(f"no RTCP writer for {kind!r}")


# Streams

cdef class Receiving:
    cdef RecvStream stream

    def __init__(self, *, uint32_t ssrc=1, uint32_t clock_rate=90000, bint nack=True):
        recv_stream_free(&self.stream)
        if recv_stream_init(&self.stream, ssrc, clock_rate, nack) < 0:
            raise MemoryError

    def __dealloc__(self):
        recv_stream_free(&self.stream)

    def receive(self, uint16_t seq, int64_t now, *, uint32_t timestamp=0, uint16_t size=100, bint recovered=False):
        cdef PacketView view
        cdef int reason
        memset(&view, 0, sizeof(view))
        view.seq = seq
        view.timestamp = timestamp
        view.size = size
        view.is_recovered = recovered
        reason = recv_stream_receive(&self.stream, &view, now)
        if reason:
            _refuse(reason)
        return view.ext_seq, bool(view.is_restart)

    def sender_report(self, *, ntp, uint32_t rtp, int64_t now, uint32_t packets=0, uint32_t octets=0):
        recv_stream_sender_report(&self.stream, ntp, rtp, packets, octets, now)

    def report(self, int64_t now):
        cdef ReportBlock block
        recv_stream_report(&self.stream, &block, now)
        return _block_fields(&block)

    def nacks(self, int64_t now, *, int room=MAX_MISSING, int64_t rtt=0):
        cdef uint16_t seqs[MAX_MISSING]
        cdef int count = recv_stream_nacks(&self.stream, seqs, min(room, <int>MAX_MISSING), rtt, now)
        return [seqs[i] for i in range(count)]

    def next_timeout(self):
        cdef int64_t at = recv_stream_next_timeout(&self.stream)
        return None if at < 0 else at

    def take_keyframe_wanted(self):
        return bool(recv_stream_take_keyframe_wanted(&self.stream))

    def figures(self, int64_t now):
        return {
            "packets": self.stream.packets, "bytes": self.stream.bytes, "duplicates": self.stream.duplicates,
            "recovered": self.stream.recovered, "restarts": self.stream.restarts, "nacked": self.stream.nacked,
            "given_up": self.stream.given_up, "lost": recv_stream_lost(&self.stream),
            "jitter": recv_stream_jitter(&self.stream), "bitrate": rate_bps(&self.stream.rate, now),
        }


cdef class Rewriting:
    cdef Rewriter rewriter

    def __init__(self, *, uint32_t clock_rate=90000, uint16_t first_seq=0):
        rewriter_init(&self.rewriter, clock_rate, first_seq)

    def forward(self, int64_t ext_seq, uint32_t timestamp, int64_t now, *, uint32_t ssrc=1, bint switch=False):
        cdef PacketView view
        cdef Rewritten out
        cdef int reason
        view.ssrc = ssrc
        view.ext_seq = ext_seq
        view.timestamp = timestamp
        reason = rewriter_forward(&self.rewriter, &view, switch, now, &out)
        if reason:
            _refuse(reason)
        return out.seq, out.timestamp

    def drop(self, int64_t ext_seq, *, uint32_t ssrc=1):
        cdef PacketView view
        view.ssrc = ssrc
        view.ext_seq = ext_seq
        rewriter_drop(&self.rewriter, &view)

    @property
    def timestamp_offset(self):
        return self.rewriter.timestamp_offset


cdef class Sending:
    cdef SendStream stream

    def __init__(
        self, *, uint32_t ssrc=1, uint32_t rtx_ssrc=2, uint32_t clock_rate=90000, uint32_t capacity=512,
        uint16_t rtx_seq=0,
    ):
        send_stream_free(&self.stream)
        if send_stream_init(&self.stream, ssrc, rtx_ssrc, clock_rate, capacity, rtx_seq) < 0:
            raise MemoryError

    def __dealloc__(self):
        send_stream_free(&self.stream)

    def sent(self, int64_t ext_seq, uint16_t seq, int64_t now, *, uint32_t timestamp=0, uint16_t payload_size=100):
        cdef PacketView view
        memset(&view, 0, sizeof(view))
        view.ext_seq = ext_seq
        view.payload_size = payload_size
        send_stream_sent(&self.stream, &view, seq, timestamp, payload_size + 12, now)

    def reported(self):
        self.stream.counted_from = self.stream.packets

    def nacked(self, uint16_t seq, int64_t now):
        cdef const Sent* entry = send_stream_nacked(&self.stream, seq, now)
        return entry.in_seq if entry != NULL else None

    def write_rtx(self, bytes data not None, uint16_t seq, *, uint8_t payload_type, int64_t now=0,
                  Py_ssize_t capacity=1500):
        cdef PacketView view
        cdef HeaderMarks marks
        cdef Plan plan = Plan()
        cdef uint8_t* out = _output.room(capacity)
        cdef int size
        _parse(data, &view)
        size = send_stream_write_rtx(&self.stream, &plan.plan, &view, seq, payload_type, now, out, capacity, &marks)
        return bytes(out[:size]) if size >= 0 else None

    def write_sr(self, Receiving source not None, int64_t now, *, uint32_t timestamp_offset=0,
                 Py_ssize_t capacity=1500):
        cdef Writer w
        cdef uint8_t* out = _output.room(capacity)
        writer_init(&w, out, capacity)
        if send_stream_write_sr(&self.stream, &source.stream, timestamp_offset, &w, now) < 0:
            return None
        return bytes(out[:writer_size(&w)])

    def receive_report(self, dict block not None, int64_t now):
        cdef ReportBlock parsed = _block(block)
        send_stream_receive_report(&self.stream, &parsed, now)

    def figures(self, int64_t now):
        return {
            "packets": self.stream.packets, "bytes": self.stream.bytes, "octets": self.stream.octets,
            "nacked": self.stream.nacked, "retransmitted": self.stream.retransmitted,
            "not_found": self.stream.not_found, "too_soon": self.stream.too_soon, "rtt": self.stream.rtt,
            "fraction_lost": self.stream.fraction_lost, "bitrate": rate_bps(&self.stream.rate, now),
        }


cdef class Storing:
    cdef Slab slab
    cdef History history

    def __init__(self, *, uint32_t capacity=64, int32_t slot_size=256, int32_t chunk_slots=16, int32_t max_slots=64,
                 int64_t max_age=1_000_000_000):
        self._let_go()
        if slab_init(&self.slab, slot_size, chunk_slots, max_slots) < 0:
            raise MemoryError
        if history_init(&self.history, &self.slab, capacity, max_age) < 0:
            raise MemoryError

    def __dealloc__(self):
        self._let_go()

    cdef void _let_go(self) noexcept:
        history_free(&self.history)
        slab_free(&self.slab)

    def store(self, bytes data not None, int64_t ext_seq, int64_t now):
        cdef PacketView view
        _parse(data, &view)
        view.ext_seq = ext_seq
        view.arrived = now
        return history_store(&self.history, &view) == 0

    def find(self, int64_t ext_seq):
        cdef PacketView view
        return bytes(view.data[:view.size]) if history_view(&self.history, ext_seq, &view) else None

    def widen(self, uint32_t seq):
        return history_widen(&self.history, seq)

    def grow(self):
        return slab_grow(&self.slab) == 0

    def figures(self):
        return {
            "slots": self.slab.slot_count, "free": self.slab.free_count, "exhausted": self.slab.exhausted,
            "wants_growth": bool(slab_wants_growth(&self.slab)),
        }


# Selectors

VERDICTS = ("drop", "forward", "switch")


def select(Selector selector not None, *, bint keyframe=False, bint restart=False):
    cdef PacketView view
    memset(&view, 0, sizeof(view))
    view.is_keyframe = keyframe
    view.is_restart = restart
    return VERDICTS[<int>selector.select(&view)]


def wants_keyframe(Selector selector not None):
    return bool(selector.wants_keyframe())


def reset(Selector selector not None):
    selector.reset()


# The whole path

def forward_many(
    bytes data not None, str mime_type not None, Plan plan not None, Selector selector not None, int count,
):
    cdef PacketView view
    cdef HeaderMarks marks
    cdef Rewritten numbers
    cdef Receiving receiving = Receiving(nack=False)
    cdef Sending sending = Sending()
    cdef Rewriter rewriter
    cdef int codec = codec_of(mime_type)
    cdef int verdict, i, size, forwarded = 0
    cdef Py_ssize_t data_size = len(data)
    cdef uint8_t* packet = _input.copy(data)
    cdef uint8_t* out = _output.room(2000)
    rewriter_init(&rewriter, 90000, 0)
    with nogil:
        for i in range(count):
            if data_size >= 4:
                store_u16(packet + 2, <uint16_t>i)
            if rtp_parse_untrusted(packet, data_size, &view) or recv_stream_receive(&receiving.stream, &view, i):
                continue
            _describe(codec, &view)
            verdict = selector.select(&view)
            if verdict == DROP:
                rewriter_drop(&rewriter, &view)
            elif rewriter_forward(&rewriter, &view, verdict == SWITCH, i, &numbers) == 0:
                size = rtp_write_packet(
                    &plan.plan, &view, 100, numbers.seq, numbers.timestamp, 1, i, out, 2000, &marks)
                send_stream_sent(&sending.stream, &view, numbers.seq, numbers.timestamp, size, i)
                forwarded += 1
    return forwarded
