# Layers within one stream: VP9 and AV1 SVC, and every single encoding of a video that has temporal layers or none.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from rtpfwd.selector cimport Selector
from rtpfwd.selectors.levels cimport Levels
from rtpfwd.types cimport MAX_SPATIAL, PacketView, Verdict

cdef class Svc(Selector):
    cdef bint flowing
    cdef int64_t now            # ns of the newest packet
    # What outlives a reset: a late keyframe is no better after one.
    cdef uint32_t ssrc
    cdef int64_t newest         # highest extended sequence number of this SSRC
    # The newest picture: the frames of all spatial layers at one timestamp.
    cdef uint32_t timestamp
    cdef uint32_t pictures      # seen since the last reset, and so the number of the newest
    cdef bint is_key            # it began at a keyframe from which everything flows
    # What the stream shows.
    cdef uint32_t last_picture[MAX_SPATIAL]     # number of the newest with a frame of this layer; 0: none yet
    cdef int top                # highest spatial layer that is heard; -1: none
    cdef int top_temporal       # highest that was seen
    cdef uint32_t alone         # frames of upper layers since the last one that needed a lower layer, or the last keyframe
    cdef uint64_t active        # PacketView.active_targets, the newest that was said
    # What is waited for.
    cdef int64_t missing        # ns since when a higher spatial layer than flows is wanted, or a lower one that needs a
                                # keyframe; 0: none is
    cdef int64_t blocked        # ns since when a higher temporal layer than flows is wanted; 0: none is
    cdef bint joins_between     # some higher spatial layer could be joined without a keyframe
    cdef bint is_reduced        # to the lowest temporal layer, until a keyframe lets it go down
    cdef Levels levels

    cdef void see(self, const PacketView* view, int spatial, int temporal) noexcept nogil
    cdef int wanted_spatial(self) noexcept nogil
    cdef bint is_lowest(self, int spatial) noexcept nogil
    cdef void begin_key(self, const PacketView* view) noexcept nogil
    cdef void begin_picture(self) noexcept nogil
    cdef void begin_frame(self, const PacketView* view, int spatial, int temporal) noexcept nogil
    cdef Verdict mark(self, const PacketView* view, int spatial, Verdict verdict) noexcept nogil
