# The per-packet choice for one consumer: what a researcher replaces. An outside package subclasses by
# `from rtpfwd.selector cimport Selector` and calls rtpfwd.selector.register(name, factory). How: docs/layers.md.
#
# A plane may keep a borrowed pointer and call it without the GIL: (<Selector>pointer).select(view).

from rtpfwd.types cimport Layer, PacketView, Verdict

cdef class Selector:
    # Written through the plane under its mutex, read here at any packet.
    cdef Layer target           # what should flow, at most; -1 in either: the best there is
    cdef bint held              # Plane.set_forwarding(on=False): nothing should flow now, though it may at any time again
    # Written here.
    cdef Layer current          # what flows; -1, -1 = nothing yet. The plane tells of changes (LayersChanged)
    cdef readonly bint video    # a viewer can begin at a keyframe only

    # What a selector may replace. select: one call per packet per consumer, in order of arrival; not for padding alone.
    cdef Verdict select(self, const PacketView* view) noexcept nogil
    cdef bint wants_keyframe(self) noexcept nogil       # nothing can flow, or not the target, before one comes
    cdef int wanted_encoding(self) noexcept nogil       # of which encoding it should be (an index); -1: the plane chooses
    cdef void reset(self) noexcept nogil                # after a pause or a source change: begin anew
