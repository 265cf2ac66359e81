# Send-side congestion control of one transport towards a viewer: what the plane sees of it. The boxes of GCC
# (draft-ietf-rmcat-gcc-02, and libwebrtc's published behaviour) are in the other files of this package.
#
# Sans-I/O: `now` is monotonic ns. Rates are bit/s of everything a packet costs: IP and UDP headers are the caller's to add to `size`.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    MAX_RESULTS = 1024          # packets that one feedback message may tell of

cdef enum CongestionCause:      # why the estimate is what it is: the newest of the reasons that changed it
    CAUSE_START = 0
    CAUSE_HOLD = 1
    CAUSE_INCREASE = 2          # no queue builds up
    CAUSE_OVERUSE = 3           # the delay gradient says that a queue builds up
    CAUSE_LOSS = 4
    CAUSE_PROBE = 5             # a probe found more
    CAUSE_REMB = 6              # the viewer's own limit
    CAUSE_SILENCE = 7           # no feedback comes any more
    CAUSE_SET = 8               # an outside controller set it
    CAUSE_COUNT = 9

cdef struct PacketResult:       # of one packet sent, in order of transport-wide numbers
    int64_t sent_at             # ns
    int64_t arrived_at          # ns of the viewer's clock, only differences mean anything; -1 = lost
    uint32_t size               # bytes
    uint16_t probe              # ProbePlan.id; 0 = none

cdef struct CongestionConfig:
    int64_t min_bps
    int64_t max_bps
    int64_t start_bps

cdef struct ProbePlan:          # packets to send at a rate above the estimate
    uint16_t id                 # 1 and up, wraps past 0
    int64_t bps
    int32_t bytes               # at least so many
    int32_t packets             # and at least so many

cdef struct CongestionState:    # for events, logs and statistics
    int64_t estimate_bps        # what may be sent: the least of the next three
    int64_t delay_bps
    int64_t loss_bps
    int64_t remb_bps            # 0 = none was received
    int64_t acked_bps           # what arrived lately; 0 = unknown
    int64_t rtt                 # ns; 0 = unknown
    double loss                 # 0 … 1, of the newest second or so
    double inherent_loss        # 0 … 1, what the path loses whatever is sent
    double trend                # ms of queue growth per ms, as the detector sees it
    int32_t usage               # -1 underuse, 0 normal, 1 overuse
    int32_t cause               # CongestionCause
    int64_t changed_at          # ns of the newest change of estimate_bps
    uint64_t feedback_messages
    uint64_t packets_acked
    uint64_t packets_lost

cdef struct Congestion          # opaque: controller.pyx

# NULL: no memory.
cdef Congestion* congestion_open(const CongestionConfig* config, int64_t now) noexcept nogil
cdef void congestion_close(Congestion* c) noexcept nogil
cdef void congestion_configure(Congestion* c, const CongestionConfig* config, int64_t now) noexcept nogil
# The path can be probed, with or without media. The first packet says so too.
cdef void congestion_begin(Congestion* c, int64_t now) noexcept nogil
# Whether the estimate is more than a start rate.
cdef bint congestion_is_known(const Congestion* c) noexcept nogil
# A packet left under this transport-wide number. probe: ProbePlan.id that it belongs to, or 0.
cdef void congestion_sent(Congestion* c, uint16_t seq, uint32_t size, uint16_t probe, int64_t now) noexcept nogil
# One left without such a number: feedback does not tell of it, but it takes its share of the path. What arrives of the
# numbered packets stands for both.
cdef void congestion_sent_beside(Congestion* c, uint32_t size, int64_t now) noexcept nogil
# The FCI of one transport-wide feedback message. 0, or DROP_RTCP_MALFORMED: then nothing has changed.
cdef int congestion_feedback_untrusted(Congestion* c, const uint8_t* body, int size, int64_t now) noexcept nogil
# Whether an outside controller wants the results of each feedback; they are not kept otherwise.
cdef void congestion_watch(Congestion* c, bint on) noexcept nogil
# Those of the newest feedback while it is watched. Valid until the next call of anything.
cdef int congestion_results(const Congestion* c, const PacketResult** results) noexcept nogil
# A receiver report of one stream; rtt in ns, 0 = unknown.
cdef void congestion_report(Congestion* c, uint8_t fraction_lost, uint32_t packets, int64_t rtt, int64_t now) noexcept nogil
# REMB: alone, without transport-wide feedback, it is the estimate; beside it, a limit.
cdef void congestion_remb(Congestion* c, int64_t bps, int64_t now) noexcept nogil
# What could be used if there were more: probes go no further. 0: nothing to gain.
cdef void congestion_set_wanted(Congestion* c, int64_t bps, int64_t now) noexcept nogil
# An outside controller's estimate instead of our own, from now on; -1: our own again.
cdef void congestion_override(Congestion* c, int64_t bps, int64_t now) noexcept nogil
cdef void congestion_tick(Congestion* c, int64_t now) noexcept nogil
cdef int64_t congestion_due(const Congestion* c) noexcept nogil         # ns of the next tick; -1 = none needed
cdef bint congestion_take_probe(Congestion* c, ProbePlan* plan, int64_t now) noexcept nogil
cdef void congestion_state(const Congestion* c, CongestionState* state) noexcept nogil
cdef int64_t congestion_pacing_bps(const Congestion* c) noexcept nogil  # how fast what waits may leave
cdef size_t congestion_bytes(const Congestion* c) noexcept nogil         # of memory; NULL has none
