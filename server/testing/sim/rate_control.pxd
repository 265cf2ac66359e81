# The types with which rate_control.py is compiled. Times are nanoseconds, rates bit/s.

cimport cython

cdef long long _NEVER
cdef long long _QUEUE
cdef long long _WINDOW


cdef class DelayAimd:
    cdef readonly long long bps
    cdef public object remb  # None: never told
    cdef object _max
    cdef long long _least
    cdef object _arrived  # deque
    cdef long long _bytes
    cdef long long _held_until
    cdef long long _last
    cdef bint _probing

    @cython.locals(
        lost=int, total=int, queued="long long", sent="long long", size="long long", delay="long long", passed="long long"
    )
    cpdef void on_feedback(self, object results, long long now) except *
