"""Audio, as it is and at once. What is held leaves no gap in the numbering, so going on needs no new beginning."""

from rtpfwd.selector cimport Selector
from rtpfwd.types cimport DROP, FORWARD, FORWARD_MARKED, PacketView, SWITCH, Verdict

from rtpfwd.selector import register


cdef class Audio(Selector):
    """See docs/layers.md."""

    cdef Verdict select(self, const PacketView* view) noexcept nogil:
        if self.held:
            self.was_held = True
            return DROP
        if not self.flowing:
            self.flowing = True
            self.was_held = False
            self.current.spatial = self.current.temporal = 0
            return SWITCH
        if self.was_held:
            # The beginning of a talk spurt, as the receiver's jitter buffer sees it (RFC 3551 section 4.1).
            self.was_held = False
            return FORWARD_MARKED
        return FORWARD

    cdef void reset(self) noexcept nogil:
        Selector.reset(self)
        self.flowing = False
        self.was_held = False


register("audio", Audio)
