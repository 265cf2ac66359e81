# One encoding as it is: video from the first keyframe on, audio at once.

from rtpfwd.selector cimport Selector

cdef class Passthrough(Selector):
    cdef bint flowing           # a packet was let through since the last reset
