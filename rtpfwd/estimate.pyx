"""A controlled transport: see estimate.pxd.

After everything that may move the estimate, _look reads it once: the pacer keeps what it needs per packet, and Python is
told by the rules of rtpfwd.events. An EstimateChanged that waits for Python is one for each transport: it takes the newest
figures along, so that a slow reader misses steps and never the last one.
"""

from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from rtpfwd.congestion.controller cimport *
from rtpfwd.output cimport tell_estimate, tell_feedback
from rtpfwd.pacer cimport FEEDBACKS_WAITING, FeedbackCopy, Pacer, pacer_close, pacer_send
from rtpfwd.padding cimport padding_possible, padding_send
from rtpfwd.rtcp cimport rtcp_read_remb_untrusted
from rtpfwd.state cimport MS, schedule

cdef enum:
    TELL_MS = 50                # between two EstimateChanged events that are no drops
    TELL_SHARE = 20             # of the estimate: what is less than one in so many is not told
    LEAST_BPS = 1000            # that we divide by
    AWAITED_MS = 250            # a viewer's first keyframe is asked for so much later, if the path is not known before
    DECIDED_MS = 20             # then Python needs a moment to choose


cdef int estimate_open(
    PlaneState* s, Transport* t, const CongestionConfig* config, bint external, int64_t now
) noexcept nogil:
    cdef Pacer* p
    if t.congestion == NULL:
        p = <Pacer*>calloc(1, sizeof(Pacer))
        t.congestion = congestion_open(config, now) if p != NULL else NULL
        if t.congestion == NULL:
            free(p)
            return -1
        t.pacer = p
    else:
        congestion_configure(t.congestion, config, now)
    congestion_override(t.congestion, config.start_bps if external else -1, now)
    _look(s, t, now)
    return 0


cdef void estimate_close(PlaneState* s, Transport* t) noexcept nogil:
    pacer_close(s, t)
    if t.congestion != NULL:
        congestion_close(t.congestion)
        t.congestion = NULL


cdef void estimate_override(PlaneState* s, Transport* t, int64_t bps, int64_t now) noexcept nogil:
    congestion_override(t.congestion, bps, now)
    _look(s, t, now)


cdef void estimate_wanted(PlaneState* s, Transport* t, int64_t bps, int64_t now) noexcept nogil:
    congestion_set_wanted(t.congestion, bps, now)
    _look(s, t, now)


# What the viewer says.

cdef int estimate_feedback_untrusted(
    PlaneState* s, Transport* t, const uint8_t* body, int size, int64_t now
) noexcept nogil:
    cdef int reason = congestion_feedback_untrusted(t.congestion, body, size, now)
    if reason:
        return reason
    if (<Pacer*>t.pacer).watched:
        _tell_feedback(s, t, now)
    _look(s, t, now)
    return 0


cdef int estimate_remb_untrusted(
    PlaneState* s, Transport* t, const uint8_t* body, int size, int64_t now
) noexcept nogil:
    cdef int64_t bps
    cdef int reason = rtcp_read_remb_untrusted(body, size, &bps)
    if reason:
        return reason
    congestion_remb(t.congestion, bps, now)
    _look(s, t, now)
    return 0


cdef void estimate_report(PlaneState* s, Transport* t, Consumer* c, const ReportBlock* block, int64_t now) noexcept nogil:
    cdef uint32_t packets = block.highest_seq - c.reported_seq
    if c.reported_seq == 0 or packets > c.stream.packets:
        packets = <uint32_t>c.stream.packets    # the first report, or one that can't be right
    c.reported_seq = block.highest_seq
    congestion_report(t.congestion, block.fraction_lost, packets, c.stream.rtt, now)
    _look(s, t, now)


# What follows.

cdef void _look(PlaneState* s, Transport* t, int64_t now) noexcept nogil:
    cdef Pacer* p = <Pacer*>t.pacer
    cdef CongestionState state
    congestion_state(t.congestion, &state)
    p.estimate = max(state.estimate_bps, <int64_t>LEAST_BPS)
    p.pacing = max(congestion_pacing_bps(t.congestion), <int64_t>LEAST_BPS)
    _tell(s, t, p, &state, now)
    # Soon: a probe may wait, and what waits may leave faster now.
    schedule(s, t, now)


cdef void _tell(PlaneState* s, Transport* t, Pacer* p, const CongestionState* state, int64_t now) noexcept nogil:
    cdef int64_t last = p.told.estimate_bps
    cdef bint drops = state.estimate_bps < last - last // TELL_SHARE
    if p.told_once:
        if state.cause == p.told.cause and not drops and state.estimate_bps < last + last // TELL_SHARE:
            return
        if not drops and now - p.told_at < <int64_t>TELL_MS * MS:
            schedule(s, t, p.told_at + <int64_t>TELL_MS * MS)
            return
    if not p.telling:
        if tell_estimate(s, t, now):
            schedule(s, t, now + <int64_t>TELL_MS * MS)     # no room: told later
            return
        p.telling = True
    p.told = state[0]
    p.told_once = True
    p.told_at = now


cdef void _tell_feedback(PlaneState* s, Transport* t, int64_t now) noexcept nogil:
    cdef Pacer* p = <Pacer*>t.pacer
    cdef const PacketResult* results
    cdef int count = congestion_results(t.congestion, &results)
    cdef FeedbackCopy* body
    if count <= 0 or p.feedbacks >= FEEDBACKS_WAITING:
        return
    body = <FeedbackCopy*>malloc(sizeof(FeedbackCopy) + <size_t>count * sizeof(PacketResult))
    if body == NULL:
        return
    body.count = count
    memcpy(body.results, results, <size_t>count * sizeof(PacketResult))
    if tell_feedback(s, t, body, now):
        free(body)
    else:
        p.feedbacks += 1


cdef bint estimate_is_awaited(PlaneState* s, Transport* t, int64_t now) noexcept nogil:
    cdef Pacer* p = <Pacer*>t.pacer
    if p == NULL:
        return False
    if p.awaited_until == 0:
        p.awaited_until = now
        if not congestion_is_known(t.congestion) and padding_possible(t):
            p.awaited_until = now + <int64_t>AWAITED_MS * MS
            congestion_begin(t.congestion, now)
            schedule(s, t, now)
    elif now < p.awaited_until and not p.decides and congestion_is_known(t.congestion):
        p.decides = True
        p.awaited_until = min(p.awaited_until, now + <int64_t>DECIDED_MS * MS)
    return now < p.awaited_until


cdef void estimate_has_decided(Transport* t, int64_t now) noexcept nogil:
    cdef Pacer* p = <Pacer*>t.pacer
    if p != NULL and congestion_is_known(t.congestion):
        p.awaited_until = min(p.awaited_until, now)


cdef void estimate_tick(PlaneState* s, Transport* t, int64_t now) noexcept nogil:
    cdef Pacer* p = <Pacer*>t.pacer
    cdef CongestionState state
    cdef int64_t due = congestion_due(t.congestion)
    if 0 <= due <= now:
        congestion_tick(t.congestion, now)
    if not p.probing and padding_possible(t) and congestion_take_probe(t.congestion, &p.probe, now):
        p.probing = p.probe.bps > 0
        p.probe_at = now
        p.probe_bytes = p.probe_packets = 0
    if p.probing:
        _wake(s, t, padding_send(s, t, now))
    if not p.probing:
        _wake(s, t, pacer_send(s, t, now))
    congestion_state(t.congestion, &state)
    p.estimate = max(state.estimate_bps, <int64_t>LEAST_BPS)
    p.pacing = max(congestion_pacing_bps(t.congestion), <int64_t>LEAST_BPS)
    _tell(s, t, p, &state, now)
    due = congestion_due(t.congestion)
    if due >= 0:
        schedule(s, t, max(due, now + MS))


cdef inline void _wake(PlaneState* s, Transport* t, int64_t at) noexcept nogil:
    if at >= 0:
        schedule(s, t, at)


cdef void estimate_figures(const Transport* t, Figures* figures) noexcept nogil:
    congestion_state(t.congestion, &figures.state)
    _queue_figures(t, figures)


cdef void estimate_taken(Transport* t, Figures* figures, int64_t* at) noexcept nogil:
    cdef Pacer* p = <Pacer*>t.pacer
    p.telling = False
    figures.state = p.told
    at[0] = p.told_at
    _queue_figures(t, figures)


cdef void _queue_figures(const Transport* t, Figures* figures) noexcept nogil:
    cdef const Pacer* p = <const Pacer*>t.pacer
    figures.pacing_bps = p.pacing
    figures.queued_bytes = p.media.bytes + p.repairs.bytes
    figures.queued_ms = figures.queued_bytes * 8e3 / p.pacing
