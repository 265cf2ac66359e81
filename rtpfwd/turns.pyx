"""A thread's slice, by sched_setattr(2)."""

from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.string cimport memset

cdef extern from "<unistd.h>" nogil:
    long syscall(long, ...)

cdef extern from "<sys/syscall.h>" nogil:
    long SYS_sched_getattr, SYS_sched_setattr

cdef enum:
    SLICE_NS = 100_000          # the shortest that the kernel takes
    SCHED_OTHER = 0

cdef struct SchedAttr:          # the kernel's first version of it, 48 bytes (linux/sched/types.h)
    uint32_t size
    uint32_t policy
    uint64_t flags
    int32_t nice
    uint32_t priority
    uint64_t runtime            # ns: of an ordinary thread its slice; 0 = the kernel's own
    uint64_t deadline
    uint64_t period


cdef void take_short_turns(bint on) noexcept nogil:
    cdef SchedAttr attr
    memset(&attr, 0, sizeof(attr))
    # What can't be asked for is done without: it is a matter of milliseconds, not of whether it works.
    if syscall(SYS_sched_getattr, 0, &attr, <uint32_t>sizeof(attr), 0) or attr.policy != SCHED_OTHER:
        return
    attr.size = sizeof(attr)
    attr.runtime = SLICE_NS if on else 0
    syscall(SYS_sched_setattr, 0, &attr, 0)
