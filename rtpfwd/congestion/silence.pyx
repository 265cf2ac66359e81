"""Silence. Only packets sent count: with nothing to answer to, no answer is no sign. A remote that has never said
anything is not cut: it may know no feedback at all."""

cdef enum:
    MS = 1000000
    CUT_MS = 2000
    AGAIN_MS = 1000


cdef void silence_init(Silence* s) noexcept nogil:
    s.heard_at = s.sent_at = s.cut_at = -1


cdef void silence_heard(Silence* s, int64_t now) noexcept nogil:
    s.heard_at = now
    s.sent_at = s.cut_at = -1


cdef void silence_sent(Silence* s, int64_t now) noexcept nogil:
    if s.sent_at < 0 and s.heard_at >= 0:
        s.sent_at = now
        s.cut_at = now + <int64_t>CUT_MS * MS


cdef bint silence_cuts(Silence* s, int64_t now) noexcept nogil:
    if s.cut_at < 0 or now < s.cut_at:
        return False
    s.cut_at = now + <int64_t>AGAIN_MS * MS
    return True
