"""The trendline filter and the overuse detector."""

from libc.math cimport fabs
from libc.string cimport memset

cdef double SMOOTHING = 0.9
cdef double GAIN = 4.0
cdef double FIRST_THRESHOLD = 12.5      # ms
cdef double LOWEST = 6.0                # ms
cdef double HIGHEST = 600.0             # ms
cdef double K_UP = 0.0087               # how fast the threshold follows a slope above it, per ms
cdef double K_DOWN = 0.039              # and one below it
cdef double OUTLIER = 15.0              # ms above the threshold: a sudden change of the path, which teaches nothing
cdef double OVERUSE_TIME = 10.0         # ms
cdef double MS = 1e6

cdef enum:
    DELTAS_MAX = 60
    ADAPT_MAX_MS = 100


cdef void trend_init(Trendline* t) noexcept nogil:
    memset(t, 0, sizeof(Trendline))
    t.threshold = FIRST_THRESHOLD
    t.overusing = -1
    t.adapted_at = -1


cdef bint trend_is_ready(const Trendline* t) noexcept nogil:
    cdef int newest = (t.next + TREND_WINDOW - 1) % TREND_WINDOW
    return t.count == TREND_WINDOW and t.times[newest] - t.times[t.next] <= TREND_LONGEST_MS


cdef double _slope(const Trendline* t) noexcept nogil:
    # Least squares over the whole window.
    cdef double mean_time = 0, mean_delay = 0, above = 0, below = 0
    cdef int index
    for index in range(TREND_WINDOW):
        mean_time += t.times[index]
        mean_delay += t.delays[index]
    mean_time /= TREND_WINDOW
    mean_delay /= TREND_WINDOW
    for index in range(TREND_WINDOW):
        above += (t.times[index] - mean_time) * (t.delays[index] - mean_delay)
        below += (t.times[index] - mean_time) * (t.times[index] - mean_time)
    return above / below if below > 0 else t.slope


cdef void _adapt(Trendline* t, double modified, int64_t now) noexcept nogil:
    cdef double size = fabs(modified)
    cdef double passed
    if t.adapted_at < 0:
        t.adapted_at = now
    if size <= t.threshold + OUTLIER:
        passed = (now - t.adapted_at) / MS
        if passed > ADAPT_MAX_MS:
            passed = ADAPT_MAX_MS
        t.threshold += (K_DOWN if size < t.threshold else K_UP) * (size - t.threshold) * passed
        t.threshold = LOWEST if t.threshold < LOWEST else HIGHEST if t.threshold > HIGHEST else t.threshold
    t.adapted_at = now


cdef void _detect(Trendline* t, double between, int64_t now) noexcept nogil:
    # `between`: ms between the sending of the two groups.
    cdef double modified
    if t.deltas < 2:
        t.usage = 0
        return
    modified = t.deltas * t.slope * GAIN
    if modified > t.threshold:
        # Above since somewhere between the last group and this one.
        t.overusing = between / 2 if t.overusing < 0 else t.overusing + between
        t.overuses += 1
        if t.overusing > OVERUSE_TIME and t.overuses > 1 and t.slope >= t.previous:
            t.overusing = 0
            t.overuses = 0
            t.usage = 1
    else:
        t.overusing = -1
        t.overuses = 0
        t.usage = -1 if modified < -t.threshold else 0
    t.previous = t.slope
    _adapt(t, modified, now)


cdef void trend_add(Trendline* t, int64_t sent, int64_t arrived, int64_t arrived_at, int64_t now) noexcept nogil:
    if t.deltas == 0:
        t.first_arrival = arrived_at
    if t.deltas < DELTAS_MAX:
        t.deltas += 1
    t.accumulated += (arrived - sent) / MS
    t.smoothed = SMOOTHING * t.smoothed + (1 - SMOOTHING) * t.accumulated
    t.times[t.next] = (arrived_at - t.first_arrival) / MS
    t.delays[t.next] = t.smoothed
    t.next = (t.next + 1) % TREND_WINDOW
    if t.count < TREND_WINDOW:
        t.count += 1
    if t.count == TREND_WINDOW:
        t.slope = _slope(t)
    _detect(t, sent / MS, now)
