# One of several encodings of a video, each with temporal layers: spatial layer = index into ProducerParams.encodings.

from libc.stdint cimport int64_t, uint32_t

from rtpfwd.selector cimport Selector
from rtpfwd.selectors.levels cimport Levels
from rtpfwd.types cimport PacketView

cdef enum:
    ENCODINGS = 16              # as many as a producer has at most

cdef struct Heard:              # of one encoding
    # What outlives a reset: a late keyframe is no better after one.
    uint32_t ssrc
    int64_t newest              # highest extended sequence number of this SSRC
    # Since the last reset.
    int64_t at                  # ns when its newest packet arrived; 0: none did
    int top_temporal            # highest temporal layer that it showed

cdef class Simulcast(Selector):
    cdef int flowing            # encoding; -1: nothing flows
    cdef int wish               # encoding whose keyframe is waited for; -1: none
    cdef int64_t wished         # ns since when it, or another one before it, was
    cdef int64_t begun          # ns of the first look since the last reset; 0: none
    cdef int aimed              # target.spatial for which `wish` was found
    cdef int64_t aimed_at       # ns when
    cdef int64_t now            # ns of the newest packet
    cdef int64_t blocked        # ns since when a higher temporal layer than flows is wanted; 0: none is
    cdef uint32_t missed        # frames of the other encodings since the newest packet of the one that flows
    cdef int count              # highest encoding heard + 1
    cdef Heard heard[ENCODINGS]
    cdef Levels levels          # of the encoding that flows

    cdef bint is_heard(self, int encoding) noexcept nogil
    cdef void aim(self) noexcept nogil
    cdef bint joins(self, const PacketView* view) noexcept nogil
    cdef void join(self, const PacketView* view) noexcept nogil
    cdef void move(self, const PacketView* view) noexcept nogil
