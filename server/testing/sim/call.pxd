# The types with which call.py is compiled. Times are nanoseconds.

cimport cython

from server.testing.netem cimport InFlight, Link
from server.testing.sim.browser cimport Browser
from server.testing.sim.cast cimport Visitor

cdef long long _NEVER


cdef class Call:
    cdef readonly object scenario
    cdef readonly long long now
    cdef readonly object policies
    cdef readonly object node
    cdef readonly dict visitors
    cdef readonly list publications
    cdef object _rng
    cdef dict _shared
    cdef list _links
    cdef dict _by_address
    cdef list _agenda
    cdef long long _sample_at
    cdef long long _core_due

    @cython.locals(soonest="long long", link=Link, visitor=Visitor)
    cdef long long _next_timeout(self) except -1
    cdef long long _core_timeout(self) except -1
    cdef long long _plane_timeout(self) except -1

    @cython.locals(visitor=Visitor, browser=Browser, data=bytes)
    cdef void _turn(self) except *

    @cython.locals(batch=list, visitor=Visitor, up=Link, link=Link, arrived=InFlight, data=bytes)
    cdef void _carry(self, long long now) except *

    @cython.locals(again=bint, answer=tuple, output=tuple)
    cdef bint _drain(self, long long now) except *

    @cython.locals(visitor=Visitor)
    cdef void _send_down(self, object destination, bytes data, long long now) except *
