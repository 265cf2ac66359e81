# A controlled transport: its controller (rtpfwd.congestion) is told what leaves and what comes back, Python what follows.

from libc.stdint cimport int64_t, uint8_t

from rtpfwd.congestion.controller cimport CongestionConfig, CongestionState
from rtpfwd.rtcp cimport ReportBlock
from rtpfwd.state cimport Consumer, PlaneState, Transport

cdef struct Figures:            # rtpfwd.events.CongestionFigures
    CongestionState state
    int64_t pacing_bps
    int64_t queued_bytes
    double queued_ms

# Control begins, or goes on with new limits. external: the estimate is the start's until estimate_override. -1: no memory.
cdef int estimate_open(
    PlaneState* s, Transport* t, const CongestionConfig* config, bint external, int64_t now) noexcept nogil
cdef void estimate_close(PlaneState* s, Transport* t) noexcept nogil
cdef void estimate_override(PlaneState* s, Transport* t, int64_t bps, int64_t now) noexcept nogil      # -1: ours again
cdef void estimate_wanted(PlaneState* s, Transport* t, int64_t bps, int64_t now) noexcept nogil

# What a controlled transport's viewer says. The two untrusted ones: 0 or a DropReason, then nothing has changed.
cdef int estimate_feedback_untrusted(
    PlaneState* s, Transport* t, const uint8_t* body, int size, int64_t now) noexcept nogil
cdef int estimate_remb_untrusted(
    PlaneState* s, Transport* t, const uint8_t* body, int size, int64_t now) noexcept nogil
cdef void estimate_report(
    PlaneState* s, Transport* t, Consumer* c, const ReportBlock* block, int64_t now) noexcept nogil

# Whether what the path carries will be known in a moment, so that it is worth waiting before choosing what to begin with.
cdef bint estimate_is_awaited(PlaneState* s, Transport* t, int64_t now) noexcept nogil
# What is known was made use of: no more waiting.
cdef void estimate_has_decided(Transport* t, int64_t now) noexcept nogil
# Timers, probes, and what waits in the pacer.
cdef void estimate_tick(PlaneState* s, Transport* t, int64_t now) noexcept nogil
cdef void estimate_figures(const Transport* t, Figures* figures) noexcept nogil
# The figures of the newest EstimateChanged, whose event was just taken.
cdef void estimate_taken(Transport* t, Figures* figures, int64_t* at) noexcept nogil
