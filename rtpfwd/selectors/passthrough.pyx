"""One encoding as it is: video from the first keyframe on, audio at once."""

from libc.stdint cimport int64_t

from rtpfwd.selector cimport Selector
from rtpfwd.types cimport DROP, FORWARD, PacketView, SWITCH, Verdict

from rtpfwd.selector import register


# A simulcast sender drops encodings that its network or its CPU can't carry. After this long without a packet of the
# one that flows, another one will do.
cdef int64_t SILENCE_NS = 1500000000


cdef class Passthrough(Selector):
    """Forwards everything of the encoding that it began with. A source that restarts begins anew."""

    cdef Verdict select(self, const PacketView* view) noexcept nogil:
        if self.flowing and view.encoding != self.encoding:
            if view.arrived - self.heard < SILENCE_NS:
                return DROP
            self.flowing = False
        elif view.is_restart:
            self.flowing = False
        if not self.flowing and self.video and not view.is_keyframe:
            return DROP
        self.heard = view.arrived
        if self.flowing:
            return FORWARD
        self.flowing = True
        self.encoding = view.encoding
        self.current = view.layer
        return SWITCH

    cdef bint wants_keyframe(self) noexcept nogil:
        return self.video and not self.flowing

    cdef void reset(self) noexcept nogil:
        Selector.reset(self)
        self.flowing = False


register("passthrough", Passthrough)
