# What arrives at the viewer: bytes by arrival, over the newest third of a second. Robust against bursts, because the
# bytes between two arrivals are divided by the time between them, and against a link that delivers in clumps, because
# more cannot arrive than was sent.

from libc.stdint cimport int64_t, uint32_t

cdef enum:
    ACKED_FIRST = 16            # places of a new one; it doubles while the rates need more
    ACKED_MAX = 128

cdef struct AckedSpan:          # packets that arrived within 3 ms
    int64_t first_arrived       # ns of the viewer's clock
    int64_t last_sent           # ns of ours
    uint32_t lasted             # ns from the first arrival to the last
    uint32_t bytes

cdef struct AckedRate:          # acked_open
    AckedSpan* spans            # by number % places
    int64_t places              # a power of two
    int64_t count               # spans ever begun; the newest is count - 1
    int64_t untold              # bytes of packets that no message told of, because one was lost

cdef int acked_open(AckedRate* a) noexcept nogil        # -1: no memory
cdef void acked_close(AckedRate* a) noexcept nogil
cdef size_t acked_bytes(const AckedRate* a) noexcept nogil      # of memory beside the struct
cdef void acked_add(AckedRate* a, int64_t sent_at, int64_t arrived_at, uint32_t size) noexcept nogil
# Packets that no message will tell of: taken for arrived just before the next one that does.
cdef void acked_untold(AckedRate* a, int64_t bytes) noexcept nogil
cdef int64_t acked_bps(const AckedRate* a) noexcept nogil       # 0 = too little is known
# The same of the newest `window` ns, and of five arrivals at least. While a queue stands the link is busy, so this is
# what it carries, whatever was sent before.
cdef int64_t acked_newest_bps(const AckedRate* a, int64_t window) noexcept nogil
