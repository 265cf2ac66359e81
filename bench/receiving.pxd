# What a remote end hears: media, RTCP, ICE; what is ICE or DTLS at set-up goes to Python.

from bench.state cimport Loop

# Read what its socket has, at most one batch.
cdef void end_receive(Loop* loop, int number) noexcept nogil
