# What to do when nothing comes back: keep the rate (growth follows feedback only), then halve it, again and again.

from libc.stdint cimport int64_t

cdef struct Silence:            # silence_init
    int64_t heard_at            # ns of the newest word from the remote; -1 = none yet
    int64_t sent_at             # ns of the first packet sent since; -1 = none
    int64_t cut_at              # ns of the next cut; -1 = none is to come

cdef void silence_init(Silence* s) noexcept nogil
cdef void silence_heard(Silence* s, int64_t now) noexcept nogil
cdef void silence_sent(Silence* s, int64_t now) noexcept nogil
# True: halve the rate now. First after 2 s, then every second.
cdef bint silence_cuts(Silence* s, int64_t now) noexcept nogil
