# Python values to and from the plane's structs. Everything here holds the GIL; what a caller gives is checked here, so
# that the functions under the mutex meet only whole, plausible structs.

from rtpfwd.state cimport Consumer, PlaneState, Producer, Transport
from rtpfwd.stun cimport RoutineCheck
from rtpfwd.tables cimport Endpoint

cdef int endpoint_from(object address, Endpoint* out) except -1     # ValueError
cdef tuple address_of(const Endpoint* endpoint)     # a Python object, so it needs no except value

# Made with malloc, for rtpfwd.objects or a transport to take over; otherwise free_* them.
cdef RoutineCheck* routine_from(object check) except NULL           # routine_check_free
cdef Producer* producer_from(object params) except NULL
cdef void free_producer(Producer* p) noexcept
cdef Consumer* consumer_from(object params, object selector, object producer, unsigned int first_random) except NULL
cdef void free_consumer(Consumer* c) noexcept
cdef void free_transport(Transport* t) noexcept
