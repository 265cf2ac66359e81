"""GCC of one transport: the boxes of this package put together (draft-ietf-rmcat-gcc-02)."""

from libc.stdlib cimport calloc, free

cdef struct Congestion:
    CongestionConfig config
    CongestionState state
    int64_t override_bps        # -1: none


cdef Congestion* congestion_open(const CongestionConfig* config, int64_t now) noexcept nogil:
    cdef Congestion* c = <Congestion*>calloc(1, sizeof(Congestion))
    if c == NULL:
        return NULL
    c.config = config[0]
    c.override_bps = -1
    c.state.estimate_bps = c.state.delay_bps = c.state.loss_bps = config.start_bps
    c.state.changed_at = now
    return c


cdef void congestion_close(Congestion* c) noexcept nogil:
    free(c)


cdef void congestion_configure(Congestion* c, const CongestionConfig* config, int64_t now) noexcept nogil:
    c.config = config[0]


cdef void congestion_sent(Congestion* c, uint16_t seq, uint32_t size, uint16_t probe, int64_t now) noexcept nogil:
    pass


cdef int congestion_feedback_untrusted(Congestion* c, const uint8_t* body, int size, int64_t now) noexcept nogil:
    c.state.feedback_messages += 1
    return 0


cdef int congestion_results(const Congestion* c, const PacketResult** results) noexcept nogil:
    results[0] = NULL
    return 0


cdef void congestion_report(Congestion* c, uint8_t fraction_lost, uint32_t packets, int64_t rtt, int64_t now) noexcept nogil:
    c.state.rtt = rtt


cdef void congestion_remb(Congestion* c, int64_t bps, int64_t now) noexcept nogil:
    c.state.remb_bps = bps
    c.state.estimate_bps = bps
    c.state.cause = CAUSE_REMB


cdef void congestion_set_wanted(Congestion* c, int64_t bps, int64_t now) noexcept nogil:
    pass


cdef void congestion_override(Congestion* c, int64_t bps, int64_t now) noexcept nogil:
    c.override_bps = bps


cdef void congestion_tick(Congestion* c, int64_t now) noexcept nogil:
    pass


cdef int64_t congestion_due(const Congestion* c) noexcept nogil:
    return -1


cdef bint congestion_take_probe(Congestion* c, ProbePlan* plan, int64_t now) noexcept nogil:
    return False


cdef void congestion_state(const Congestion* c, CongestionState* state) noexcept nogil:
    state[0] = c.state
    if c.override_bps >= 0:
        state.estimate_bps = c.override_bps


cdef int64_t congestion_pacing_bps(const Congestion* c) noexcept nogil:
    return c.state.estimate_bps * 3 // 2
