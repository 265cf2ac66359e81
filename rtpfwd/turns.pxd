# How long a thread runs at a time when others want its core.

# A thread that needs a core for microseconds, often, asks for short turns: since Linux 6.12 the scheduler then lets it in at once
# when it wakes, instead of after the turn of whatever runs (EEVDF: a shorter slice preempts a longer one); its share of the core stays the
# same, and older kernels change nothing. `on` False: the kernel's own turns again. Of the calling thread, and only while its
# policy is the ordinary one (SCHED_OTHER).
cdef void take_short_turns(bint on) noexcept nogil
