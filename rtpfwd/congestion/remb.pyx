"""REMB as a bound."""


cdef void remb_set(Remb* r, int64_t bps) noexcept nogil:
    r.bps = bps


cdef int64_t remb_bound(const Remb* r, int64_t bps) noexcept nogil:
    if r.bps == 0:
        return bps
    return min(bps, r.bps) if bps > 0 else r.bps
