# The types with which netem.py is compiled. Times are nanoseconds, sizes bytes, probabilities 0 … 1.

cimport cython

cdef long long _BITS
cdef int _FULL


cdef class LinkCounters:
    cdef public long long sent
    cdef public long long delivered
    cdef public long long lost
    cdef public long long overflowed
    cdef public long long duplicated
    cdef public long long sent_bytes
    cdef public long long waited_ns
    cdef public long long crossed


cdef class InFlight:
    cdef public object packet
    cdef public long long due
    cdef public long long order
    cdef public long long departure


cdef class Link:
    cdef readonly LinkCounters counters
    cdef readonly long long soonest
    cdef object _config
    cdef object _random
    cdef object _draw  # _random.random
    cdef object _flight  # deque
    cdef long long _order
    cdef long long _line_free
    cdef long long _last_due
    cdef bint _bad
    cdef object _plan  # deque
    cdef object _cross  # CrossTraffic or None
    cdef object _cross_random
    cdef object _cross_at
    cdef object _cross_off
    # of the config
    cdef long long _rate  # bit/s; 0: unlimited
    cdef long long _most_wait  # for the rate limit; a packet that would wait longer is dropped
    cdef long long _delay
    cdef long long _jitter
    cdef double _loss
    cdef double _reorder
    cdef double _duplicate
    cdef double _burst_enter
    cdef double _burst_leave
    cdef double _burst_loss

    cpdef void send(self, object packet, long long size, long long now) except *
    @cython.locals(first=InFlight)
    cpdef InFlight take(self, long long now)

    @cython.locals(first=InFlight)
    cdef void _look_ahead(self) except *
    cdef bint _loses(self) except -1

    @cython.locals(start="long long", wait="long long")
    cdef long long _departure(self, long long size, long long now) except -2

    @cython.locals(due="long long", launched=InFlight, before=InFlight, place=Py_ssize_t)
    cdef void _launch(self, object packet, long long departure) except *
