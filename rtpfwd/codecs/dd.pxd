# The dependency descriptor, an RTP header extension that says for every frame what it needs and who needs it
# (RTP payload format for AV1, version 1.0, appendix A). It is codec-agnostic: VP8, VP9 and H.264 may carry it too, and
# then leave out of the payload what it says.
#
# A frame number is 16 bits on the wire. A decode target is what one viewer decodes: one (spatial, temporal) layer and
# what it rests on.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from rtpfwd.types cimport ExtElement, Layer, PacketView

cdef enum:
    DD_TEMPLATES = 64           # of one structure: the template id has 6 bits
    DD_TARGETS = 32             # decode targets of one structure: their number has 5 bits
    DD_DIFFS = 8                # frames that one template, or one frame, may refer to; with more it is refused
    DD_RECENT = 32              # frames remembered, a power of two

cdef enum DdIndication:         # what a frame is to a decode target
    DD_ABSENT = 0               # no part of it
    DD_DISCARDABLE = 1          # nothing else of the target refers to it
    DD_SWITCH = 2               # when it can be decoded, everything of the target after it can
    DD_REQUIRED = 3

cdef struct DdTemplate:
    Layer layer
    uint8_t diff_count
    uint8_t diffs[DD_DIFFS]     # frame numbers back to the frames referred to, 1 to 16
    uint64_t indications        # 2 bits for each target, the first lowest: DdIndication

cdef struct DdStructure:        # the template dependency structure: what the short descriptors after it refer to
    uint8_t id_offset
    uint8_t template_count      # 0 = there is none yet
    uint8_t target_count
    uint8_t chain_count
    Layer targets[DD_TARGETS]   # the highest layers that belong to each
    DdTemplate templates[DD_TEMPLATES]

cdef struct DdFrame:            # one descriptor, read
    bint starts                 # first packet of the frame
    bint ends                   # last packet of the frame
    uint16_t number
    bint brings_structure
    bint says_active
    uint32_t active             # decode targets that are produced from here on, bits; when says_active or brings_structure
    Layer layer
    uint64_t indications        # as in DdTemplate
    uint8_t diff_count
    uint16_t diffs[DD_DIFFS]    # 1 to 4096

cdef struct DdRecent:
    int64_t number              # extended; -1 = nothing here
    uint32_t timestamp
    Layer layer

cdef struct DdState:            # of one received SSRC
    uint32_t ssrc               # of the packets below
    int64_t structure_at        # ext_seq of the packet that brought the structure
    uint32_t active             # decode targets produced, as last said
    int64_t newest              # highest frame number, extended; -1 = none
    uint32_t open               # targets that a decoder which has all lower layers may join at the next frame of the target
    DdRecent recent[DD_RECENT]
    DdStructure structure

# Reads one descriptor. `known` holds for it unless it brings a structure of its own, which then is in `fresh`.
# False: cut short, malformed, or of a template that is not known.
cdef bint dd_read_untrusted(
    const uint8_t* data, Py_ssize_t size, const DdStructure* known, DdStructure* fresh, DdFrame* frame) noexcept nogil

cdef void dd_init(DdState* state, uint32_t ssrc) noexcept nogil

# Takes the packet's descriptor into account and sets, of the view: layer, is_keyframe, is_frame_start, is_frame_end,
# is_switch_point, needs_lower, frame_number, active_targets and has_descriptor. Of one that rests on a
# structure which is not known, only frame_number is set. view.ext_seq must be set. A keyframe here is a frame that refers to none and brings a structure.
cdef void dd_describe_untrusted(DdState* state, const ExtElement* element, PacketView* view) noexcept nogil
