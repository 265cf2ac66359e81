# The types with which cast.py is compiled. Times are nanoseconds.

from server.testing.netem cimport Link
from server.testing.sim.browser cimport Browser


cdef class Visitor:
    cdef public object spec  # VisitorSpec
    cdef public Browser browser
    cdef public object transport  # WebRtcTransport
    cdef public object address
    cdef public Link up
    cdef public Link down
    cdef public long long joined
    cdef public long long due
    cdef public list views
    cdef public list samples
    cdef public tuple before
