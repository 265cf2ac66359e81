# The face of the plane. A lane works on `state` directly, under plane_lock.

from rtpfwd.state cimport PlaneState


cdef class Plane:
    cdef PlaneState* state
    cdef dict _producers        # handle to ProducerParams, for the consumers to come

    cdef int reap(self) except -1
