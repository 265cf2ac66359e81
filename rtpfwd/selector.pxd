# The per-packet choice for one consumer: what a researcher replaces. An outside package subclasses by
# `from rtpfwd.selector cimport Selector` and calls rtpfwd.selector.register(name, factory).
#
# A plane may keep a borrowed pointer and call it without the GIL: (<Selector>pointer).select(view).

from rtpfwd.types cimport Layer, PacketView, Verdict

cdef class Selector:
    cdef Layer target           # what should flow; -1, -1 = the best there is. Written by policy, through the plane
    cdef Layer current          # what flows; -1, -1 = nothing yet. Written here
    cdef readonly bint video    # a viewer can begin at a keyframe only

    # What a selector may replace. select: one call per packet per consumer, in order of arrival.
    cdef Verdict select(self, const PacketView* view) noexcept nogil
    cdef bint wants_keyframe(self) noexcept nogil       # nothing can flow, or not the target, before one comes
    cdef void reset(self) noexcept nogil                # after a pause or a source change: begin anew
