"""Layers within one stream. Up at a keyframe or where the higher layer can be joined, down at the next picture.

A picture is the frames of all spatial layers at one timestamp. In K modes (L3T3_KEY) and S modes a frame needs the lower layers
of its picture at keyframes only: then the lower ones are left out in between, and going down takes a keyframe too.
"""

from libc.stdint cimport int8_t

from rtpfwd.selector cimport Selector
from rtpfwd.selectors.levels cimport EVERY_LAYER, Level, level_add, level_at, level_newest
from rtpfwd.types cimport DROP, FORWARD, FORWARD_MARKED, MAX_SPATIAL, PacketView, SWITCH, SWITCH_MARKED, Verdict

from rtpfwd.selector import register

cdef enum:
    ALONE_FRAMES = 16           # that needed no lower layer: the next ones will not either
    SILENT_PICTURES = 8         # without a frame of a spatial layer: the sender stopped it
    HINTED_PICTURES = 2         # the same once the sender said that it produces other layers now
    WISH_NS = 1_000_000_000     # without a picture where the spatial layer can be joined: then a keyframe is wanted for it
    BLOCKED_NS = 2_000_000_000  # the same of a temporal layer


cdef class Svc(Selector):
    """See docs/layers.md."""

    def __init__(self, *, bint video):
        Selector.__init__(self, video=video)
        self.ssrc = 0
        self.newest = -1
        self.reset()

    cdef void reset(self) noexcept nogil:
        cdef int index
        Selector.reset(self)
        self.flowing = False
        self.pictures = 0
        self.is_key = False
        self.top = -1
        self.top_temporal = 0
        self.alone = 0
        self.active = 0
        self.missing = 0
        self.blocked = 0
        self.joins_between = False
        self.is_reduced = False
        self.levels.count = 0
        for index in range(MAX_SPATIAL):
            self.last_picture[index] = 0

    cdef Verdict select(self, const PacketView* view) noexcept nogil:
        cdef int spatial = min(max(view.layer.spatial, 0), MAX_SPATIAL - 1)
        cdef int temporal = max(view.layer.temporal, 0)
        cdef const Level* level
        cdef bint was_flowing = self.flowing
        if view.encoding != 0:
            return DROP
        self.now = view.arrived
        if view.ext_seq > self.newest or view.ssrc != self.ssrc:
            self.see(view, spatial, temporal)
        level = level_at(&self.levels, view.ext_seq)
        if level == NULL or not level.lowest <= spatial <= level.spatial or temporal > level.temporal:
            return DROP
        if level.lowest > 0 and view.needs_lower and spatial == level.lowest:
            # The start of a picture that needs its lower layers was lost, so they were left out: nothing can be decoded
            # from here on.
            self.flowing = False
            level_add(&self.levels, view.ext_seq if view.ext_seq == self.newest else self.newest + 1, 0, -1, -1)
            self.current.spatial = self.current.temporal = -1
            return DROP
        if view.ext_seq >= level_newest(&self.levels).since:
            self.current.spatial = <int8_t>max(<int>self.current.spatial, spatial)
            self.current.temporal = <int8_t>max(<int>self.current.temporal, temporal)
        return self.mark(view, level.spatial, SWITCH if self.flowing and not was_flowing else FORWARD)

    cdef Verdict mark(self, const PacketView* view, int spatial, Verdict verdict) noexcept nogil:
        """The last packet of the highest layer that flows ends the picture for this viewer."""
        if not view.is_frame_end or view.marker or view.layer.spatial != spatial:
            return verdict
        return SWITCH_MARKED if verdict == SWITCH else FORWARD_MARKED

    cdef void see(self, const PacketView* view, int spatial, int temporal) noexcept nogil:
        """The newest packet so far: what changes, changes here."""
        cdef bint is_new        # to this layer in this picture
        cdef bint begins = self.pictures == 0 or view.timestamp != self.timestamp or view.ssrc != self.ssrc
        cdef int index
        self.newest = view.ext_seq
        self.ssrc = view.ssrc
        if begins:
            self.timestamp = view.timestamp
            self.pictures += 1
            self.is_key = False
        is_new = self.last_picture[spatial] != self.pictures
        self.last_picture[spatial] = self.pictures
        if view.has_descriptor and view.active_targets != self.active and view.active_targets != 0:
            if self.active & ~view.active_targets:
                for index in range(MAX_SPATIAL):
                    if index != spatial and self.last_picture[index] != 0:
                        self.last_picture[index] = max(
                            1, min(<int>self.last_picture[index], <int>self.pictures - SILENT_PICTURES + HINTED_PICTURES))
            self.active = view.active_targets
        self.top_temporal = max(self.top_temporal, temporal)
        if (view.is_keyframe or not self.video) and not self.is_key and self.is_lowest(spatial):
            self.begin_key(view)
        elif begins and view.is_frame_start and self.flowing:
            self.begin_picture()
        if not self.is_key:
            if view.needs_lower:
                self.alone = 0
            elif spatial > 0 and is_new:
                self.alone += 1
        if view.is_frame_start and self.flowing:
            self.begin_frame(view, spatial, temporal)

    cdef int wanted_spatial(self) noexcept nogil:
        """The highest layer within the target that is heard; without any below, the lowest that is."""
        cdef int target = self.target.spatial if self.target.spatial >= 0 else EVERY_LAYER
        cdef int best = -1
        cdef int index
        self.top = -1
        for index in range(MAX_SPATIAL):
            if self.last_picture[index] != 0 and self.pictures - self.last_picture[index] < SILENT_PICTURES:
                self.top = index
                if index <= target or best < 0:
                    best = index
        return best

    cdef bint is_lowest(self, int spatial) noexcept nogil:
        """Whether no layer below is heard."""
        cdef int index
        for index in range(spatial):
            if self.last_picture[index] != 0 and self.pictures - self.last_picture[index] < SILENT_PICTURES:
                return False
        return True

    cdef void begin_key(self, const PacketView* view) noexcept nogil:
        """A keyframe, from which every layer can be had. Those above are not heard yet, so only the target counts."""
        cdef int lowest = max(view.layer.spatial, 0)    # it stands alone, so those below are no part of what can be decoded
        cdef int spatial = self.target.spatial if self.target.spatial >= 0 else EVERY_LAYER
        cdef int temporal = self.target.temporal if self.target.temporal >= 0 else EVERY_LAYER
        # Without the lowest layer it may be a keyframe of this layer alone.
        self.is_key = lowest == 0
        if lowest > 0:
            spatial = lowest
        self.missing = self.blocked = 0
        self.is_reduced = False
        self.alone = 0
        if not self.flowing:
            self.flowing = True
            self.levels.count = 0
            self.current.spatial = <int8_t>lowest
            self.current.temporal = 0
        level_add(&self.levels, view.ext_seq, lowest, spatial, temporal)
        self.current.spatial = <int8_t>min(<int>self.current.spatial, spatial)
        self.current.temporal = <int8_t>min(<int>self.current.temporal, temporal)

    cdef void begin_picture(self) noexcept nogil:
        """At the first packet of another picture: down, if less is wanted."""
        cdef const Level* level = level_newest(&self.levels)
        cdef int wanted = self.wanted_spatial()
        cdef int lowest = level.lowest
        cdef int spatial = level.spatial
        cdef int temporal = level.temporal
        cdef int wanted_temporal = self.target.temporal if self.target.temporal >= 0 else EVERY_LAYER
        cdef int flows
        if lowest < spatial:
            if 0 <= self.target.spatial < spatial:
                spatial = max(lowest, max(wanted, <int>self.target.spatial))
            if self.alone > ALONE_FRAMES and lowest < min(self.top, spatial):
                lowest = spatial = min(self.top, spatial)
        flows = min(self.top, spatial)
        if flows < lowest:
            flows = -1      # the sender stopped it
        self.is_reduced = lowest > 0 and wanted < flows
        if self.is_reduced:
            # Too much flows until the keyframe comes: at least send no more than must be.
            wanted_temporal = 0
        temporal = min(temporal, wanted_temporal)
        if lowest != level.lowest or spatial != level.spatial or temporal != level.temporal:
            level_add(&self.levels, self.newest, lowest, spatial, temporal)
        self.current.spatial = <int8_t>min(<int>self.current.spatial, flows)
        self.current.temporal = <int8_t>min(<int>self.current.temporal, temporal)
        # What can't be had without waiting.
        if wanted == flows or (lowest == 0 and wanted < flows):
            self.missing = 0
        elif self.missing == 0:
            self.missing = self.now
        if min(wanted_temporal, self.top_temporal) <= temporal:
            self.blocked = 0
        elif self.blocked == 0:
            self.blocked = self.now

    cdef void begin_frame(self, const PacketView* view, int spatial, int temporal) noexcept nogil:
        """Up, where this frame lets a viewer of the lower layers join."""
        cdef Level* level = level_newest(&self.levels)
        cdef int to_temporal = self.target.temporal if self.target.temporal >= 0 else EVERY_LAYER
        cdef int to_spatial = self.target.spatial if self.target.spatial >= 0 else EVERY_LAYER
        if not view.is_switch_point or self.is_key:
            return
        # A switch point of a higher temporal layer says nothing of the spatial ones.
        if level.spatial < spatial <= to_spatial and temporal == 0:
            self.joins_between = True
            if spatial == level.spatial + 1 and level.lowest == 0:
                level_add(&self.levels, view.ext_seq, 0, spatial, level.temporal)
            elif not view.needs_lower and self.alone > ALONE_FRAMES:
                # It needs none of the layers in between, and neither will what follows.
                level_add(&self.levels, view.ext_seq, spatial, spatial, level.temporal)
        elif spatial == level.lowest and temporal == level.temporal + 1 <= to_temporal and not self.is_reduced:
            level_add(&self.levels, view.ext_seq, level.lowest, level.spatial, temporal)
            self.blocked = 0

    cdef bint wants_keyframe(self) noexcept nogil:
        if not self.video:
            return False
        if not self.flowing:
            return True
        if self.missing != 0 and (not self.joins_between or self.now - self.missing >= WISH_NS):
            return True
        return self.blocked != 0 and self.now - self.blocked >= BLOCKED_NS

    cdef int wanted_encoding(self) noexcept nogil:
        return 0


register("svc", Svc)
