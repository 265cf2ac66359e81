"""One of several encodings of a video: to another one at its keyframe, between temporal layers at their switch points.

What flows goes on until the keyframe of the encoding that is wished for has come. An encoding that isn't heard is not
waited for: the best one below the target that is heard will do, else the nearest above.
"""

from libc.stdint cimport int8_t, uint32_t

from rtpfwd.selector cimport Selector
from rtpfwd.selectors.levels cimport EVERY_LAYER, Level, level_add, level_at, level_newest
from rtpfwd.types cimport DROP, FORWARD, PacketView, SWITCH, Verdict

from rtpfwd.selector import register

cdef enum:
    AIM_NS = 10_000_000         # between two looks at which encodings are heard
    SILENT_NS = 1_000_000_000   # behind the newest packet of any: an encoding that sends nothing
    MISSED_FRAMES = 8           # of each other encoding, with none of the one that flows: it sends nothing either
    PATIENT_NS = 200_000_000    # at the beginning, before more than was asked for is wished for
    WISH_NS = 1_000_000_000     # then any keyframe that leads closer to the wish will do
    BLOCKED_NS = 2_000_000_000  # without a switch point to a temporal layer: then a keyframe is wanted for it


cdef class Simulcast(Selector):
    """See docs/layers.md."""

    def __init__(self, *, bint video):
        cdef int index
        Selector.__init__(self, video=video)
        for index in range(ENCODINGS):
            self.heard[index].ssrc = 0
            self.heard[index].newest = -1
        self.reset()

    cdef void reset(self) noexcept nogil:
        cdef int index
        Selector.reset(self)
        self.flowing = -1
        self.wish = -1
        self.wished = 0
        self.begun = 0
        self.blocked = 0
        self.missed = 0
        self.aimed = -1
        self.aimed_at = 0
        self.count = 0
        self.levels.count = 0
        for index in range(ENCODINGS):
            self.heard[index].at = 0
            self.heard[index].top_temporal = 0

    cdef Verdict select(self, const PacketView* view) noexcept nogil:
        cdef int encoding = view.encoding
        cdef int temporal = max(view.layer.temporal, 0)
        cdef Heard* heard
        cdef const Level* level
        cdef bint is_newest, is_first
        if encoding >= ENCODINGS:
            return DROP
        heard = &self.heard[encoding]
        is_newest = view.ext_seq > heard.newest or view.ssrc != heard.ssrc
        is_first = heard.at == 0
        heard.at = self.now = view.arrived
        heard.top_temporal = max(heard.top_temporal, temporal)
        self.count = max(self.count, encoding + 1)
        if is_newest:
            heard.newest = view.ext_seq
            heard.ssrc = view.ssrc
        if encoding == self.flowing:
            self.missed = 0
            if is_newest and (view.is_frame_start or view.is_keyframe):
                if self.now - self.aimed_at >= AIM_NS or self.aimed != self.target.spatial:
                    self.aim()
                # Nothing to do, as a rule: all that is wanted flows.
                if self.wish >= 0 or self.blocked != 0 or self.target.temporal >= 0 or view.is_keyframe:
                    self.move(view)
                elif level_newest(&self.levels).temporal != EVERY_LAYER:
                    self.move(view)
            level = level_at(&self.levels, view.ext_seq)
            if level == NULL or temporal > level.temporal:
                return DROP
            if temporal > self.current.temporal and view.ext_seq >= level_newest(&self.levels).since:
                self.current.temporal = <int8_t>temporal
            return FORWARD
        if is_newest and (view.is_frame_start or view.is_keyframe):
            self.missed += 1
            if self.now - self.aimed_at >= AIM_NS or self.aimed != self.target.spatial or view.is_keyframe or is_first:
                self.aim()
            # Packets behind this one may be gone already, and could not be sent any more: so not at a late keyframe.
            if view.is_keyframe and self.joins(view):
                self.join(view)
                return SWITCH
        return DROP

    cdef bint is_heard(self, int encoding) noexcept nogil:
        cdef const Heard* heard = &self.heard[encoding]
        if heard.at == 0 or self.now - heard.at >= SILENT_NS:
            return False
        return encoding != self.flowing or self.missed < <uint32_t>(MISSED_FRAMES * max(self.count - 1, 1))

    cdef void aim(self) noexcept nogil:
        """Find out which encoding should flow, and wish for it if it does not."""
        cdef int target = self.target.spatial if self.target.spatial >= 0 else ENCODINGS
        cdef int best = -1
        cdef int index
        for index in range(self.count):
            if (index <= target or best < 0) and self.is_heard(index):
                best = index
        self.aimed = self.target.spatial
        self.aimed_at = self.now
        if self.begun == 0:
            self.begun = self.now
        if best > target and self.flowing < 0 and self.now - self.begun < PATIENT_NS:
            best = -1           # more than is wanted: what is wanted will be heard in a moment
        if best < 0 or best == self.flowing:
            self.wish = -1
        else:
            if self.wish < 0:
                self.wished = self.now
            self.wish = best

    cdef bint joins(self, const PacketView* view) noexcept nogil:
        """Whether the viewer goes over to this encoding at this keyframe of it."""
        cdef int encoding = view.encoding
        if encoding == self.wish:
            return True
        if self.wish < 0:
            return False
        if self.flowing < 0 or not self.is_heard(self.flowing):
            # Something soon is better than the right thing late, as long as it is not more than was asked for.
            return encoding < self.wish or self.now - self.wished >= WISH_NS
        return self.now - self.wished >= WISH_NS and (
            self.flowing < encoding < self.wish or self.wish < encoding < self.flowing)

    cdef void join(self, const PacketView* view) noexcept nogil:
        self.flowing = view.encoding
        self.missed = 0
        self.blocked = 0
        self.levels.count = 0
        level_add(&self.levels, view.ext_seq, 0, 0, self.target.temporal if self.target.temporal >= 0 else EVERY_LAYER)
        self.current.spatial = view.encoding
        self.current.temporal = max(view.layer.temporal, 0)
        self.aim()

    cdef void move(self, const PacketView* view) noexcept nogil:
        """At the first packet of a frame of the encoding that flows: to another temporal layer, if one is wanted."""
        cdef int target = self.target.temporal if self.target.temporal >= 0 else EVERY_LAYER
        cdef int temporal = max(view.layer.temporal, 0)
        cdef int level = level_newest(&self.levels).temporal
        cdef int to = level
        if 0 <= self.wish < self.flowing and self.is_heard(self.flowing):
            target = 0          # too much already flows, until the keyframe comes: at least send no more than must be
        if target < level:
            to = target
        elif target > level and (view.is_keyframe or (view.is_switch_point and temporal == level + 1)):
            to = target if view.is_keyframe else temporal
        if to != level:
            level_add(&self.levels, view.ext_seq, 0, 0, to)
            self.current.temporal = <int8_t>min(<int>self.current.temporal, to)
        if target <= to or self.heard[self.flowing].top_temporal <= to:
            self.blocked = 0
        elif self.blocked == 0 or to != level:
            self.blocked = self.now

    cdef bint wants_keyframe(self) noexcept nogil:
        if self.aimed != self.target.spatial:
            self.aim()
        if self.flowing < 0 or self.wish >= 0:
            return True
        return self.blocked != 0 and self.now - self.blocked >= BLOCKED_NS

    cdef int wanted_encoding(self) noexcept nogil:
        if self.aimed != self.target.spatial:
            self.aim()
        return self.wish if self.wish >= 0 else self.flowing


register("simulcast", Simulcast)
