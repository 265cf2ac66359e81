# One encoding as it is: video from the first keyframe on, audio at once.

from libc.stdint cimport int64_t, uint8_t

from rtpfwd.selector cimport Selector

cdef class Passthrough(Selector):
    cdef bint flowing           # a packet was let through since the last reset
    cdef uint8_t encoding       # that flows: index into ProducerParams.encodings
    cdef int64_t heard          # ns when its newest packet arrived
