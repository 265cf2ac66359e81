# Audio, as it is and at once: RED and Opus DTX go through untouched.

from rtpfwd.selector cimport Selector

cdef class Audio(Selector):
    cdef bint flowing           # a packet was let through since the last reset
    cdef bint was_held          # the packet before was not let through, because nothing should flow
