"""Keyframe requests (PLI, RFC 4585; FIR, RFC 5104) towards the producers.

A request is sent at most once per KEYFRAME_INTERVAL_MS for one encoding. One that comes while another is unanswered
merges with it; one that comes too soon after an answered one waits for its turn, and so does one that comes sooner
than KEYFRAME_SENDER_MS after one for another encoding: libwebrtc passes over what comes within 300 ms of a request to
the same sender, whatever its SSRC (video/encoder_rtcp_feedback.cc). While a consumer's selector waits and no keyframe
comes, the request is repeated every KEYFRAME_REPEAT_MS.
"""

from libc.stdint cimport uint8_t

from rtpfwd.cursor cimport Writer, writer_init, writer_size
from rtpfwd.estimate cimport estimate_is_awaited
from rtpfwd.link cimport link_keyframe
from rtpfwd.output cimport can_send, out_commit_rtcp, out_slot, tell_keyframe_asked
from rtpfwd.pacer cimport pacer_is_behind
from rtpfwd.rtcp cimport rtcp_write_fir, rtcp_write_pli
from rtpfwd.selector cimport Selector
from rtpfwd.srtp cimport SRTP_TRAILER
from rtpfwd.state cimport (
    CodecState,
    DATAGRAM_SIZE,
    KEYFRAME_INTERVAL_MS,
    KEYFRAME_REPEAT_MS,
    KEYFRAME_SENDER_MS,
    MS,
    Producer,
    SILENT_MS,
    Transport,
    schedule,
)


cdef const CodecState* _codec(const Producer* p) noexcept nogil:
    """The first codec whose sender answers keyframe requests, or NULL."""
    cdef int index
    for index in range(p.codec_count):
        if p.codecs[index].pli or p.codecs[index].fir:
            return &p.codecs[index]
    return NULL


cdef bint _send(PlaneState* s, Encoding* e) noexcept nogil:
    cdef Transport* t = e.producer.transport
    cdef const CodecState* codec = _codec(e.producer)
    cdef Writer w
    cdef uint8_t* data
    if not can_send(t):
        return False
    data = out_slot(s)
    if data == NULL:
        return False
    writer_init(&w, data, DATAGRAM_SIZE - SRTP_TRAILER)
    if codec.pli:
        rtcp_write_pli(&w, t.feedback_ssrc, e.ssrc)
    else:
        t.fir_seq += 1
        rtcp_write_fir(&w, t.feedback_ssrc, e.ssrc, t.fir_seq)
    return out_commit_rtcp(s, t, t.control, <int>writer_size(&w))


cdef void _send_now(PlaneState* s, Encoding* e, int64_t now) noexcept nogil:
    e.keyframe_waiting = True
    e.keyframe_fresh = False
    e.keyframe_due = now + <int64_t>KEYFRAME_REPEAT_MS * MS
    schedule(s, e.producer.transport, e.keyframe_due)
    if e.producer.is_mirror:
        # Its own plane asks the publisher, and merges with what others want.
        if link_keyframe(s, e, now):
            e.keyframe_asked = True
            e.keyframe_sent = now
            e.keyframe_requests += 1
    elif _send(s, e):
        e.keyframe_asked = True
        e.keyframe_sent = now
        e.keyframe_requests += 1
        s.counters.keyframe_requests_sent += 1
        tell_keyframe_asked(s, e, now)


cdef int64_t _allowed(const Encoding* e, int64_t now) noexcept nogil:
    """When the next request may be sent."""
    cdef const Encoding* other
    cdef int64_t at = e.keyframe_sent + <int64_t>KEYFRAME_INTERVAL_MS * MS if e.keyframe_asked else now
    cdef int index
    for index in range(e.producer.encoding_count):
        other = &e.producer.encodings[index]
        if other.keyframe_asked and other != e:
            at = max(at, other.keyframe_sent + <int64_t>KEYFRAME_SENDER_MS * MS)
    return at


cdef void request_keyframe(PlaneState* s, Encoding* e, int64_t now) noexcept nogil:
    cdef int64_t allowed
    # Without an SSRC there is nobody to ask yet; the selector still waits when the stream starts, and asks then.
    if e.producer.paused or not e.has_ssrc or not e.producer.video or _codec(e.producer) == NULL:
        return
    allowed = _allowed(e, now)
    if now >= allowed:
        _send_now(s, e, now)
        return
    s.counters.keyframe_requests_merged += 1
    if not e.keyframe_waiting:
        # The last request was answered: this one is about a newer loss or a newer viewer.
        e.keyframe_waiting = True
        e.keyframe_fresh = True
        e.keyframe_due = allowed
        schedule(s, e.producer.transport, allowed)


cdef Encoding* _wanted(Consumer* c) noexcept nogil:
    """The encoding whose keyframe the selector waits for; where it leaves that open, what may flow soonest."""
    cdef Producer* p = c.producer
    cdef int wanted = (<Selector>c.selector).wanted_encoding()
    cdef int64_t newest = 0
    cdef int best = -1
    cdef int index
    if p.encoding_count == 1:
        return &p.encodings[0]
    if 0 <= wanted < p.encoding_count:
        return &p.encodings[wanted]
    # Nothing flowed yet, or what flowed fell silent: the best one up to the target that is heard, without a target the
    # one that flowed last or the lowest.
    for index in range(p.encoding_count):
        newest = max(newest, p.encodings[index].heard)
    newest -= <int64_t>SILENT_MS * MS
    wanted = (<Selector>c.selector).target.spatial
    if wanted < 0 and p.encodings[c.encoding].heard >= newest:
        return &p.encodings[c.encoding]
    for index in range(p.encoding_count):
        if p.encodings[index].heard >= newest and (best < 0 or index <= wanted):
            best = index
    return &p.encodings[max(best, 0)]


cdef bint _can_take(PlaneState* s, Consumer* c, int64_t now) noexcept nogil:
    """Not before the viewer is connected, nor while it is not yet known of which encoding (senders pass over the next
    request), nor before what already waits for its path has left."""
    if not can_send(c.transport) or pacer_is_behind(c.transport):
        return False
    return c.producer.encoding_count <= 1 or not estimate_is_awaited(s, c.transport, now)


cdef void request_keyframe_for(PlaneState* s, Consumer* c, int64_t now) noexcept nogil:
    # The fanout asks again with each packet that it can't show, so what is asked in vain now is not asked at all: it
    # would cost every viewer of the producer, and the throttle would delay the next one.
    if _can_take(s, c, now):
        request_keyframe(s, _wanted(c), now)


cdef void keyframe_received(Encoding* e) noexcept nogil:
    e.keyframes += 1
    e.keyframe_waiting = False
    e.keyframe_fresh = False


cdef bint _somebody_waits(PlaneState* s, Encoding* e, int64_t now) noexcept nogil:
    cdef Consumer* c = e.producer.consumers
    while c != NULL:
        if not c.paused and _wanted(c) == e and (<Selector>c.selector).wants_keyframe() and _can_take(s, c, now):
            return True
        c = c.next_of_producer
    return False


cdef void keyframe_tick(PlaneState* s, Encoding* e, int64_t now) noexcept nogil:
    if not e.keyframe_waiting:
        return
    if now < e.keyframe_due:
        schedule(s, e.producer.transport, e.keyframe_due)
    elif e.producer.paused or not (e.keyframe_fresh or _somebody_waits(s, e, now)):
        e.keyframe_waiting = False
    else:
        e.keyframe_due = _allowed(e, now)
        if now >= e.keyframe_due:
            _send_now(s, e, now)
        else:
            schedule(s, e.producer.transport, e.keyframe_due)
