"""One encoding as it is: video from the first keyframe on, audio at once."""

from rtpfwd.selector cimport Selector
from rtpfwd.types cimport DROP, FORWARD, PacketView, SWITCH, Verdict

from rtpfwd.selector import register


cdef class Passthrough(Selector):
    """Forwards everything after it began. A source that restarts begins anew."""

    cdef Verdict select(self, const PacketView* view) noexcept nogil:
        if view.is_restart:
            self.flowing = False
        if self.flowing:
            return FORWARD
        if self.video and not view.is_keyframe:
            return DROP
        self.flowing = True
        self.current = view.layer
        return SWITCH

    cdef bint wants_keyframe(self) noexcept nogil:
        return self.video and not self.flowing

    cdef void reset(self) noexcept nogil:
        Selector.reset(self)
        self.flowing = False


register("passthrough", Passthrough)
