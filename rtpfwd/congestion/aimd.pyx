"""Additive and multiplicative increase, multiplicative decrease, and the link's capacity as decreases show it."""

from libc.math cimport pow, sqrt
from libc.string cimport memset

cdef double BETA = 0.85
cdef double GROWTH = 1.08               # a second, far from the capacity
cdef double REGAIN = 0.90               # of a known capacity: up to there the rate comes back quickly after a decrease
cdef double REGAIN_GROWTH = 1.2         # a second
cdef double CAPACITY_WEIGHT = 0.05      # of one overuse
cdef double CAPACITY_PROBED = 0.5       # of one probe
cdef double LEAST_VARIANCE = 400.0      # bit/s: both of the variance divided by the mean
cdef double MOST_VARIANCE = 2500.0
cdef double LEAST_ADDITIVE = 4000.0     # bit/s a second
cdef double PACKET_BITS = 9600.0
cdef double FRAMES = 30.0               # a second: a frame of a lower rate is less than a packet

cdef enum:
    MS = 1000000
    SECOND = 1000000000
    HEADROOM_BPS = 10000
    FIRST_RTT_MS = 200
    DETECTOR_MS = 100                   # what the detector needs, beside the round trip
    DROP_LEAST_MS = 10
    DROP_MOST_MS = 200


cdef void aimd_init(Aimd* a, int64_t bps) noexcept nogil:
    memset(a, 0, sizeof(Aimd))
    a.bps = bps
    a.changed_at = a.decreased_at = -1


cdef void _learn(LinkCapacity* c, double bps, double weight) noexcept nogil:
    cdef double error, kept
    if c.mean <= 0:
        c.mean = bps
        c.variance = LEAST_VARIANCE
        return
    kept = c.mean if c.mean > 1000 else 1000
    error = c.mean - bps
    c.mean = (1 - weight) * c.mean + weight * bps
    c.variance = (1 - weight) * c.variance + weight * error * error / kept
    c.variance = min(max(c.variance, LEAST_VARIANCE), MOST_VARIANCE)


cdef inline double _spread(const LinkCapacity* c) noexcept nogil:
    return 3 * sqrt(c.variance * c.mean)


cdef double aimd_additive(int64_t bps, int64_t rtt) noexcept nogil:
    cdef double frame = bps / FRAMES
    cdef double packets = <double><int64_t>(frame / PACKET_BITS) + 1
    cdef double answer = <double>((rtt if rtt > 0 else <int64_t>FIRST_RTT_MS * MS) + DETECTOR_MS * MS) / SECOND
    return max(LEAST_ADDITIVE, frame / packets / answer)


cdef void _increase(Aimd* a, int64_t acked, int64_t rtt, int64_t now) noexcept nogil:
    cdef double passed = 0
    cdef double raised
    cdef int64_t most
    if a.changed_at >= 0:
        passed = min(now - a.changed_at, SECOND) / <double>SECOND
    if acked > 0 and a.capacity.mean > 0 and acked > a.capacity.mean + _spread(&a.capacity):
        a.capacity.mean = 0             # the link carries more than it did
    if a.capacity.mean > 0 and a.bps < <int64_t>(REGAIN * a.capacity.mean):
        raised = min(a.bps * pow(REGAIN_GROWTH, passed), REGAIN * a.capacity.mean)
    elif a.capacity.mean > 0:
        raised = a.bps + aimd_additive(a.bps, rtt) * passed
    else:
        raised = a.bps * pow(GROWTH, passed) + (1000 if passed > 0 else 0)
    if acked > 0:
        most = acked * 3 // 2 + HEADROOM_BPS
        if raised > most:
            raised = max(most, a.bps)
    a.bps = <int64_t>raised
    a.changed_at = now


cdef bint _may_decrease(const Aimd* a, int64_t acked, int64_t rtt, int64_t now) noexcept nogil:
    # The answer to the last decrease has to come back first; unless far less arrives than that.
    cdef int64_t wait = min(max(rtt, <int64_t>DROP_LEAST_MS * MS), <int64_t>DROP_MOST_MS * MS)
    return a.decreased_at < 0 or now - a.decreased_at >= wait or (acked > 0 and acked < a.bps // 2)


cdef bint _decrease(Aimd* a, int64_t acked, int64_t now) noexcept nogil:
    cdef int64_t lowered
    if acked > 0:
        lowered = <int64_t>(BETA * acked)
        if lowered > a.bps and a.capacity.mean > 0:
            lowered = <int64_t>(BETA * a.capacity.mean)
        if a.capacity.mean > 0 and acked < a.capacity.mean - _spread(&a.capacity):
            a.capacity.mean = 0         # another link than the one that was learned
        _learn(&a.capacity, acked, CAPACITY_WEIGHT)
    else:
        lowered = a.bps // 2            # nothing is known yet
    a.state = AIMD_HOLD
    a.changed_at = now
    if lowered >= a.bps:
        return False
    a.decreased_at = now
    a.bps = lowered
    return True


cdef int aimd_update(Aimd* a, int32_t usage, int64_t acked, int64_t rtt, bint full, int64_t now) noexcept nogil:
    cdef int64_t before = a.bps
    if usage > 0:
        return -1 if _may_decrease(a, acked, rtt, now) and _decrease(a, acked, now) else 0
    if usage < 0:
        a.state = AIMD_HOLD             # the queue drains: let it
        a.changed_at = now
        return 0
    if a.state != AIMD_INCREASE:
        a.state = AIMD_INCREASE
        a.changed_at = now
        return 0
    if not full:
        a.changed_at = now
        return 0
    _increase(a, acked, rtt, now)
    return 1 if a.bps > before else 0


cdef void aimd_fall(Aimd* a, int64_t bps, int64_t now) noexcept nogil:
    a.bps = bps
    a.changed_at = a.decreased_at = now
    a.state = AIMD_HOLD
    a.capacity.mean = 0                 # another link than the one that was learned
    _learn(&a.capacity, bps, CAPACITY_WEIGHT)


cdef void aimd_set(Aimd* a, int64_t bps, bint is_capacity, int64_t now) noexcept nogil:
    a.bps = bps
    a.changed_at = now
    if is_capacity:
        _learn(&a.capacity, bps, CAPACITY_PROBED)
    elif a.capacity.mean > 0 and bps > a.capacity.mean + _spread(&a.capacity):
        a.capacity.mean = 0
