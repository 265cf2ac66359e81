"""The dependency descriptor (RTP payload format for AV1, version 1.0, appendix A): read, and followed from frame to frame."""

from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from rtpfwd.cursor cimport load_u16
from rtpfwd.types cimport ExtElement, Layer, MAX_SPATIAL, MAX_TEMPORAL, PacketView

cdef enum:
    MANDATORY_SIZE = 3          # bytes of a descriptor without extended fields
    NEXT_TEMPORAL = 1           # next_layer_idc: 0 is the same layer again
    NEXT_SPATIAL = 2
    NO_MORE = 3


# Bits, most significant first. Past the end a read gives 0 and sets `failed`.

cdef struct Bits:
    const uint8_t* data
    int size                    # bits
    int at
    bint failed


cdef uint32_t _read(Bits* b, int count) noexcept nogil:
    cdef uint32_t value = 0
    cdef int taken, left
    if count > b.size - b.at:
        b.failed = True
        b.at = b.size
        return 0
    while count:
        left = 8 - (b.at & 7)
        taken = min(left, count)
        value = (value << taken) | ((b.data[b.at >> 3] >> (left - taken)) & ((1 << taken) - 1))
        b.at += taken
        count -= taken
    return value


cdef uint32_t _read_below(Bits* b, uint32_t limit) noexcept nogil:
    # ns(limit): 0 to limit - 1, where the first few take a bit less (section A.8.2 of the format).
    cdef int width = 0
    cdef uint32_t rest = limit
    cdef uint32_t value, short_ones
    while rest:
        rest >>= 1
        width += 1
    short_ones = (<uint32_t>1 << width) - limit
    value = _read(b, width - 1)
    if value < short_ones:
        return value
    return (value << 1) - short_ones + _read(b, 1)


cdef bint _read_layers(Bits* b, DdStructure* s) noexcept nogil:
    cdef int spatial = 0, temporal = 0
    cdef uint32_t step
    cdef DdTemplate* template
    s.template_count = 0
    while True:
        if s.template_count == DD_TEMPLATES or spatial >= MAX_SPATIAL or temporal >= MAX_TEMPORAL:
            return False
        template = &s.templates[s.template_count]
        template.layer.spatial = spatial
        template.layer.temporal = temporal
        s.template_count += 1
        step = _read(b, 2)
        if b.failed:
            return False
        if step == NEXT_TEMPORAL:
            temporal += 1
        elif step == NEXT_SPATIAL:
            temporal = 0
            spatial += 1
        elif step == NO_MORE:
            return True


cdef uint64_t _read_indications(Bits* b, int target_count) noexcept nogil:
    cdef uint64_t found = 0
    cdef int target
    for target in range(target_count):
        found |= <uint64_t>_read(b, 2) << (2 * target)
    return found


cdef inline uint32_t _indication(uint64_t indications, int target) noexcept nogil:
    return <uint32_t>(indications >> (2 * target)) & 3


cdef void _find_targets(DdStructure* s) noexcept nogil:
    # Decode target layers (appendix A, decode_target_layers): nothing of it is sent.
    cdef const DdTemplate* template
    cdef Layer* highest
    cdef int target, index
    for target in range(s.target_count):
        highest = &s.targets[target]
        highest.spatial = highest.temporal = 0
        for index in range(s.template_count):
            template = &s.templates[index]
            if _indication(template.indications, target) != DD_ABSENT:
                highest.spatial = max(highest.spatial, template.layer.spatial)
                highest.temporal = max(highest.temporal, template.layer.temporal)


cdef bint _read_structure(Bits* b, DdStructure* s) noexcept nogil:
    cdef DdTemplate* template
    cdef int index, other
    s.id_offset = <uint8_t>_read(b, 6)
    s.target_count = <uint8_t>(_read(b, 5) + 1)
    if not _read_layers(b, s):
        return False
    for index in range(s.template_count):
        s.templates[index].indications = _read_indications(b, s.target_count)
    for index in range(s.template_count):
        template = &s.templates[index]
        template.diff_count = 0
        while _read(b, 1):
            if template.diff_count == DD_DIFFS:
                return False
            template.diffs[template.diff_count] = <uint8_t>(_read(b, 4) + 1)
            template.diff_count += 1
    # Chains tell a receiver of losses that matter; which frames there are, and who needs them, they don't say.
    s.chain_count = <uint8_t>_read_below(b, s.target_count + 1)
    if s.chain_count:
        for index in range(s.target_count):
            _read_below(b, s.chain_count)
        for index in range(s.template_count):
            for other in range(s.chain_count):
                _read(b, 4)
    if _read(b, 1):             # width and height of each spatial layer
        for index in range(s.templates[s.template_count - 1].layer.spatial + 1):
            _read(b, 16)
            _read(b, 16)
    _find_targets(s)
    return not b.failed


cdef bint dd_read_untrusted(
    const uint8_t* data, Py_ssize_t size, const DdStructure* known, DdStructure* fresh, DdFrame* frame
) noexcept nogil:
    cdef Bits b
    cdef const DdTemplate* template
    cdef uint8_t template_id
    cdef bint own_indications = False, own_diffs = False, own_chains = False
    cdef int index
    cdef uint32_t width
    if size < MANDATORY_SIZE or size > 255:
        return False
    b.data = data
    b.size = <int>size * 8
    b.at = 0
    b.failed = False
    frame.starts = _read(&b, 1)
    frame.ends = _read(&b, 1)
    template_id = <uint8_t>_read(&b, 6)
    frame.number = <uint16_t>_read(&b, 16)
    frame.brings_structure = frame.says_active = False
    if size > MANDATORY_SIZE:
        frame.brings_structure = _read(&b, 1)
        frame.says_active = _read(&b, 1)
        own_indications = _read(&b, 1)
        own_diffs = _read(&b, 1)
        own_chains = _read(&b, 1)
        if frame.brings_structure:
            if not _read_structure(&b, fresh):
                return False
            known = fresh
            frame.active = <uint32_t>((<uint64_t>1 << fresh.target_count) - 1)
    if known.template_count == 0:
        return False
    if frame.says_active:
        frame.active = _read(&b, known.target_count)    # the first target is the lowest bit
    index = (template_id - known.id_offset) & 63
    if index >= known.template_count:
        return False
    template = &known.templates[index]
    frame.layer = template.layer
    frame.indications = _read_indications(&b, known.target_count) if own_indications else template.indications
    frame.diff_count = 0
    if own_diffs:
        width = _read(&b, 2)
        while width:
            if frame.diff_count == DD_DIFFS:
                return False
            frame.diffs[frame.diff_count] = <uint16_t>(_read(&b, 4 * width) + 1)
            frame.diff_count += 1
            width = _read(&b, 2)
    else:
        frame.diff_count = template.diff_count
        for index in range(template.diff_count):
            frame.diffs[index] = template.diffs[index]
    if own_chains:
        for index in range(known.chain_count):
            _read(&b, 8)
    return not b.failed


# From frame to frame.

cdef inline const DdRecent* _recent(const DdState* state, int64_t number) noexcept nogil:
    cdef const DdRecent* entry = &state.recent[number & (DD_RECENT - 1)]
    return entry if entry.number == number else NULL


cdef inline bint _is_below(Layer a, Layer b) noexcept nogil:
    # A decoder that has what `b` rests on, but not `b`, has `a`.
    return a.spatial <= b.spatial and a.temporal <= b.temporal and (a.spatial < b.spatial or a.temporal < b.temporal)


cdef inline bint _is_same(Layer a, Layer b) noexcept nogil:
    return a.spatial == b.spatial and a.temporal == b.temporal


cdef bint _refers_below_only(const DdState* state, const DdFrame* frame, int64_t number) noexcept nogil:
    cdef const DdRecent* other
    cdef int i
    for i in range(frame.diff_count):
        other = _recent(state, number - frame.diffs[i])
        if other == NULL or not _is_below(other.layer, frame.layer):
            return False
    return True


cdef bint _needs_lower(const DdState* state, const DdFrame* frame, int64_t number, uint32_t timestamp) noexcept nogil:
    # The frames of one picture have one timestamp. A frame that was not seen counts as of this picture, when there may be
    # so many in it.
    cdef const DdRecent* other
    cdef int i
    for i in range(frame.diff_count):
        if frame.diffs[i] <= frame.layer.spatial:
            other = _recent(state, number - frame.diffs[i])
            if other == NULL or other.timestamp == timestamp:
                return True
    return False


cdef bint _follow(DdState* state, const DdFrame* frame, int64_t number) noexcept nogil:
    """A frame newer than all before. Whether a decoder that has all lower layers may join its layer here."""
    cdef const DdStructure* s = &state.structure
    cdef bint joins = frame.diff_count == 0
    cdef bint below_only = _refers_below_only(state, frame, number)
    cdef uint32_t bit, indication
    cdef int target
    if state.newest >= 0 and number != state.newest + 1:
        state.open = 0          # what is missing may have been referred to
    for target in range(s.target_count):
        bit = <uint32_t>1 << target
        indication = _indication(frame.indications, target)
        if _is_same(s.targets[target], frame.layer):
            joins |= (state.open & bit) != 0 or (indication == DD_SWITCH and below_only)
            if indication == DD_SWITCH or indication == DD_REQUIRED:
                state.open &= ~bit
        elif indication == DD_SWITCH and _is_below(frame.layer, s.targets[target]):
            state.open |= bit
    return joins


cdef void dd_init(DdState* state, uint32_t ssrc) noexcept nogil:
    memset(state, 0, sizeof(DdState))
    state.ssrc = ssrc
    _forget_frames(state)


cdef void _forget_frames(DdState* state) noexcept nogil:
    cdef int i
    state.newest = -1
    state.open = 0
    for i in range(DD_RECENT):
        state.recent[i].number = -1


cdef inline int64_t _extended(const DdState* state, uint16_t number) noexcept nogil:
    if state.newest < 0:
        return 0x10000 + <int64_t>number            # so that nothing before it is negative
    return state.newest + <int16_t>(number - <uint16_t>state.newest)


cdef inline void _remember(DdState* state, int64_t number, const PacketView* view) noexcept nogil:
    cdef DdRecent* entry = &state.recent[number & (DD_RECENT - 1)]
    entry.number = number
    entry.timestamp = view.timestamp
    entry.layer = view.layer


cdef bint _take_structure(DdState* state, const DdStructure* fresh, const DdFrame* frame, int64_t ext_seq) noexcept nogil:
    """What holds for the packets from this one on. False: this packet is older than that, and rests on what is not kept."""
    if ext_seq < state.structure_at:
        return frame.brings_structure
    if frame.brings_structure:
        state.structure = fresh[0]
        state.structure_at = ext_seq
        state.open = 0
        if _extended(state, frame.number) <= state.newest - DD_RECENT:
            _forget_frames(state)                   # the encoder began anew
    if frame.brings_structure or frame.says_active:
        state.active = frame.active
    return True


cdef void dd_describe_untrusted(DdState* state, const ExtElement* element, PacketView* view) noexcept nogil:
    cdef DdStructure fresh
    cdef DdFrame frame
    cdef int64_t number
    if state.ssrc != view.ssrc:
        dd_init(state, view.ssrc)
    elif view.is_restart:
        _forget_frames(state)
    if element.size < MANDATORY_SIZE:
        return
    view.frame_number = load_u16(element.data + 1)
    if not dd_read_untrusted(element.data, element.size, &state.structure, &fresh, &frame):
        return
    if not _take_structure(state, &fresh, &frame, view.ext_seq):
        return
    number = _extended(state, frame.number)
    view.has_descriptor = True
    view.layer = frame.layer
    view.active_targets = state.active
    view.is_frame_start = frame.starts
    view.is_frame_end = frame.ends
    view.is_keyframe = frame.starts and frame.diff_count == 0 and frame.brings_structure
    view.is_switch_point = view.is_keyframe
    view.needs_lower = frame.layer.spatial > 0 and _needs_lower(state, &frame, number, view.timestamp)
    if number > state.newest:
        view.is_switch_point = _follow(state, &frame, number) and frame.starts
        state.newest = number
        _remember(state, number, view)
    elif number > state.newest - DD_RECENT:
        _remember(state, number, view)
