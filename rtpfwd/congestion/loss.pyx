"""The loss-based bound.

A window is 300 ms, or longer until it holds 20 packets. Loss with a queue is cut to what arrives. A cut without a queue
is watched: when the loss is still there afterwards, though less is sent, it is the link's own (`inherent`), and the
bound goes.
"""

from libc.string cimport memset

cdef double HOLD = 0.02
cdef double CUT = 0.10
cdef double SMOOTHING = 0.5             # of the older windows
cdef double UNANSWERED = 0.7            # of the loss left after a cut: the cut was no remedy
cdef double INHERENT_MOST = 0.5
cdef double UNSEEN = 0.03               # what is taken for the link's own without trying
cdef double TRY = 0.04                  # above that, without a queue: try what less does
cdef double TRIED = 0.85                # of the estimate
cdef double INHERENT_WEIGHT = 0.1        # of one window without a queue
cdef double KEPT = 0.95                 # of what arrives, after a cut
cdef double LEAST_CUT = 0.5             # of the estimate, in one cut
cdef double GROWTH = 1.03               # a window without loss

cdef enum:
    MS = 1000000
    WINDOW_MS = 300
    LEAST_PACKETS = 20
    WATCH_MS = 1000
    WATCH_PACKETS = 60


cdef void loss_init(LossBound* l) noexcept nogil:
    memset(l, 0, sizeof(LossBound))
    l.window_at = l.cut_at = -1


cdef void loss_lift(LossBound* l, int64_t bps) noexcept nogil:
    if l.bounds and bps > l.bps:
        l.bps = bps
    l.cut_at = -1


cdef void loss_restart(LossBound* l, int64_t now) noexcept nogil:
    l.arrived = l.lost = l.queued = l.messages = 0
    l.window_at = now


cdef bint _watch(LossBound* l, bint queued, int64_t rtt, int64_t now) noexcept nogil:
    cdef double loss
    # Did the cut help? True: no, and it is taken back. A window that began before the answer could come says nothing.
    if l.cut_at < 0 or l.window_at < l.cut_at + rtt:
        return False
    l.watched += l.arrived + l.lost
    l.watched_lost += l.lost
    if now - l.cut_at < <int64_t>WATCH_MS * MS or l.watched < WATCH_PACKETS:
        return False
    l.cut_at = -1
    loss = <double>l.watched_lost / l.watched
    if queued:
        return False
    if loss < UNANSWERED * l.cut_loss or loss <= HOLD:
        return False
    l.inherent = min(loss, INHERENT_MOST)
    l.bounds = False
    return True


cdef bint _judge(
    LossBound* l, double newest, bint queued, int64_t estimate, int64_t acked, int64_t rtt, int64_t now
) noexcept nogil:
    cdef double loss = l.loss
    cdef double excess = max(0.0, loss - l.inherent)
    cdef int64_t lowered
    if loss < l.inherent or not queued and l.inherent < UNSEEN:
        l.inherent += INHERENT_WEIGHT * (min(loss, max(UNSEEN, l.inherent)) - l.inherent)
    if _watch(l, queued, rtt, now):
        return True
    if newest <= HOLD:
        excess = min(excess, HOLD)      # what was lost before has had its answer
    if excess > (CUT if queued else TRY):
        if queued:
            l.cut_at = -1
        elif l.cut_at >= 0:
            return False                # the last cut's answer is awaited
        else:
            l.cut_at = now
            l.cut_loss = loss
            l.watched = l.watched_lost = 0
        lowered = <int64_t>(estimate * (1 - 0.5 * excess))
        if not queued:
            lowered = min(lowered, <int64_t>(TRIED * estimate))
        elif acked > 0:
            lowered = min(lowered, <int64_t>(KEPT * acked))
        l.bps = max(lowered, <int64_t>(LEAST_CUT * estimate))
        l.bounds = True
        return True
    if excess > HOLD:
        if queued and not l.bounds:
            l.bps = estimate
            l.bounds = True
        return False
    if l.bounds:
        l.bps = <int64_t>(l.bps * GROWTH) + 1000
        l.bounds = l.bps < 2 * estimate
        return True
    return False


cdef bint loss_update(
    LossBound* l, uint32_t arrived, uint32_t lost, bint queued, int64_t estimate, int64_t acked, int64_t rtt,
    int64_t now,
) noexcept nogil:
    cdef double loss
    cdef bint changed
    if l.window_at < 0:
        l.window_at = now
    l.arrived += arrived
    l.lost += lost
    l.queued += queued
    l.messages += 1
    if now - l.window_at < <int64_t>WINDOW_MS * MS + min(rtt, 200 * MS) or l.arrived + l.lost < LEAST_PACKETS:
        return False
    loss = <double>l.lost / (l.arrived + l.lost)
    l.loss = SMOOTHING * l.loss + (1 - SMOOTHING) * loss
    changed = _judge(l, loss, 2 * l.queued >= l.messages, estimate, acked, rtt, now)
    loss_restart(l, now)
    return changed
