# A bound from loss (draft-ietf-rmcat-gcc-02 section 6: cut above 10 %, hold from 2 %), that knows loss by the link's
# nature from loss by too much: loss without a queue is not congestion, and neither is one that no cut makes smaller.

from libc.stdint cimport int64_t, uint32_t

cdef struct LossBound:          # loss_init
    int64_t bps                 # the bound
    bint bounds                 # False: there is none at present, and bps means nothing
    double loss                 # 0 … 1, of the last windows, smoothed
    double inherent             # 0 … 1: what the link loses whatever is sent
    uint32_t arrived            # packets of the window that runs
    uint32_t lost
    uint32_t queued             # messages of it that found a queue
    uint32_t messages
    int64_t window_at           # ns of its begin; -1 = none runs
    int64_t cut_at              # ns of a cut without a queue; -1 = none is being watched
    double cut_loss             # 0 … 1, at the cut
    uint32_t watched            # packets since its answer could come
    uint32_t watched_lost

cdef void loss_init(LossBound* l) noexcept nogil
# Of one feedback message. `queued`: a queue stands or grows. True: the bound has changed.
cdef bint loss_update(
    LossBound* l, uint32_t arrived, uint32_t lost, bint queued, int64_t estimate, int64_t acked, int64_t rtt,
    int64_t now,
) noexcept nogil
# The estimate fell for another reason: what was lost before was that one's.
cdef void loss_restart(LossBound* l, int64_t now) noexcept nogil
# A probe came through at this rate: no bound below it.
cdef void loss_lift(LossBound* l, int64_t bps) noexcept nogil
