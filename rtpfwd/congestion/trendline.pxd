# Does a queue build up? The slope of the smoothed delay over the last groups, against a threshold that follows what the
# path does by itself (draft-ietf-rmcat-gcc-02 section 5.4; Carlucci et al. 2016; the line fit is libwebrtc's).

from libc.stdint cimport int32_t, int64_t

cdef enum:
    TREND_WINDOW = 20           # groups
    TREND_LONGEST_MS = 2000     # that may take: of a queue that filled meanwhile the slope says nothing

cdef struct Trendline:          # trend_init
    double times[TREND_WINDOW]  # ms since the first arrival, a ring
    double delays[TREND_WINDOW] # ms, smoothed
    int count                   # of the ring, up to TREND_WINDOW
    int next
    int deltas                  # groups seen, up to 60: the longer the sample, the more a slope means
    int64_t first_arrival       # ns
    double accumulated          # ms of delay since the start
    double smoothed             # ms
    double slope                # ms per ms
    double previous             # slope that was compared last
    double threshold            # ms
    double overusing            # ms above the threshold; -1 = not above
    int overuses                # comparisons in a row above it
    int64_t adapted_at          # ns of our clock; -1 = never
    int32_t usage               # -1 the queue drains, 0 it stays, 1 it grows

cdef void trend_init(Trendline* t) noexcept nogil
# One difference of groups: ns, ns, ns of the viewer's clock, and ns of ours.
cdef void trend_add(Trendline* t, int64_t sent, int64_t arrived, int64_t arrived_at, int64_t now) noexcept nogil
# Whether its word is worth something: the window is full, and of groups that followed each other.
cdef bint trend_is_ready(const Trendline* t) noexcept nogil
