"""Python face of a selector with its rewriter, for tests. No production code imports it."""

from libc.stdint cimport int64_t
from libc.string cimport memset

from rtpfwd.rewriter cimport Rewriter, Rewritten, rewriter_drop, rewriter_forward, rewriter_init
from rtpfwd.selector cimport Selector
from rtpfwd.types cimport DROP, FORWARD_MARKED, PacketView, SWITCH, SWITCH_MARKED, Verdict

VERDICTS = ("drop", "forward", "switch", "forward_marked", "switch_marked")


cdef class Choosing:
    cdef Selector selector
    cdef Rewriter rewriter
    cdef int encoding           # that flowed last, as the plane keeps it

    def __init__(self, Selector selector not None):
        self.selector = selector
        rewriter_init(&self.rewriter, 90000, 0)

    def take(
        self, *, int64_t ext_seq, int64_t now, unsigned int timestamp=0, int encoding=0, int spatial=-1, int temporal=-1,
        bint keyframe=False, bint start=False, bint end=False, bint marker=False, bint switch_point=False,
        bint needs_lower=False, bint has_descriptor=False, unsigned long active_targets=0, bint restart=False,
    ):
        cdef PacketView view
        cdef Rewritten out
        cdef Verdict verdict
        cdef int reason
        memset(&view, 0, sizeof(view))
        view.ext_seq = ext_seq
        view.arrived = now
        view.timestamp = timestamp
        view.ssrc = 1000 + encoding
        view.encoding = encoding
        view.layer.spatial = spatial
        view.layer.temporal = temporal
        view.is_keyframe = keyframe
        view.is_frame_start = start
        view.is_frame_end = end
        view.marker = marker
        view.is_switch_point = switch_point
        view.needs_lower = needs_lower
        view.has_descriptor = has_descriptor
        view.active_targets = active_targets
        if restart and encoding == self.encoding:
            self.selector.reset()
        verdict = self.selector.select(&view)
        if verdict == DROP:
            if encoding == self.encoding:
                rewriter_drop(&self.rewriter, &view)
            return None
        reason = rewriter_forward(&self.rewriter, &view, verdict == SWITCH or verdict == SWITCH_MARKED, now, &out)
        if reason:
            return None
        self.encoding = encoding
        return VERDICTS[<int>verdict], out.seq, out.timestamp, bool(marker or verdict >= FORWARD_MARKED)

    def set_target(self, int spatial, int temporal):
        self.selector.target.spatial = spatial
        self.selector.target.temporal = temporal

    def set_forwarding(self, *, bint on):
        self.selector.held = not on

    def reset(self):
        self.selector.reset()

    @property
    def current(self):
        return self.selector.current.spatial, self.selector.current.temporal

    @property
    def wants_keyframe(self):
        return bool(self.selector.wants_keyframe())

    @property
    def wanted_encoding(self):
        return self.selector.wanted_encoding()
