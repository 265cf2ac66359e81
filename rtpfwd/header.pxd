# The RTP header (RFC 3550 section 5.1) with its extension (RFC 8285), and the RTX payload format (RFC 4588).

from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint32_t

from rtpfwd.types cimport ExtElement, PacketView, MAX_MID

cdef inline bint is_rtcp(const uint8_t* data, Py_ssize_t size) noexcept nogil:
    # Which of the two a datagram of RFC 7983's range 128-191 is (RFC 5761 section 4).
    return size >= 2 and 192 <= data[1] <= 223

cdef inline const ExtElement* find_extension(const PacketView* view, uint8_t id) noexcept nogil:
    # The first element with this id, or NULL. 0 finds nothing.
    cdef int i
    if id != 0:
        for i in range(view.extension_count):
            if view.extensions[i].id == id:
                return &view.extensions[i]
    return NULL

# Fills the fields that PacketView groups under "bytes" and "header", and clears the rest. 0 or a DropReason; then the
# view must not be used. `size` may be anything. Keeps pointers into `data`, writes nothing to it.
cdef int rtp_parse_untrusted(uint8_t* data, Py_ssize_t size, PacketView* view) noexcept nogil

# Turns a parsed RTX packet into the packet it repeats, in place (the header moves up by two bytes), and sets
# is_recovered. 0 or a DropReason; then nothing was changed.
cdef int rtx_unwrap(PacketView* view, uint32_t media_ssrc, uint8_t media_payload_type) noexcept nogil

cdef enum:
    OWN_SIZE = 28               # bytes of the elements that we write ourselves, in the one-byte form

cdef struct HeaderPlan:         # how one consumer's headers are written; but for the playout delay fixed once it is added
    # What follows from the rest; every header_plan_* keeps it.
    uint8_t own[OWN_SIZE]       # the elements that we write ourselves, in the one-byte form, to be copied as they are
    uint8_t own_size            # bytes of them
    uint8_t own_abs_send_time   # where in them the time goes; 0 = nowhere
    uint8_t own_transport_cc    # the same for the transport-wide number
    bint own_fits               # the one-byte form can hold them
    bint copies                 # some extension is copied
    uint8_t descriptor_id       # incoming id of the dependency descriptor when it is copied; 0 = it is not
    uint8_t extension_ids[256]  # incoming id to outgoing id, 0 = strip. Extensions below are never copied: keep them 0
    uint8_t mid_id              # outgoing id of the consumer's own MID; 0 = not sent
    uint8_t mid_size            # bytes of mid
    uint8_t mid[MAX_MID]
    uint8_t abs_send_time_id    # outgoing id; written anew from the clock; 0 = not sent
    uint8_t transport_cc_id     # outgoing id; two bytes are left for the number; 0 = not sent
    uint8_t playout_delay_id    # outgoing id; 0 = not sent
    uint8_t playout_delay_in    # incoming id; 0 = the producer does not send it
    int16_t playout_delay       # the least, in steps of 10 ms; -1 = we say nothing, and copy what the producer says

cdef struct HeaderMarks:        # where the writer left room, as offsets from the first byte of the header; 0 = nowhere
    uint16_t transport_cc       # 2 bytes: transport-wide sequence number
    uint16_t abs_send_time      # 3 bytes: for who sends later than `now`
    uint16_t frame_number       # 2 bytes: of the dependency descriptor, as it came

cdef void header_plan_init(HeaderPlan* plan) noexcept nogil             # strips everything, sends nothing of its own

# Says what becomes of one extension. `kind` (an ExtKind) decides: EXT_MID, EXT_ABS_SEND_TIME and EXT_TRANSPORT_CC are
# written by us under out_id, EXT_RID and EXT_RRID always stripped, the rest copied from in_id to out_id. in_id 0: the
# producer does not send it; out_id 0: the consumer does not want it.
cdef void header_plan_map(HeaderPlan* plan, int kind, uint8_t in_id, uint8_t out_id) noexcept nogil
# Has the viewer wait at least so many steps of 10 ms (0 to 1000) before it shows a frame, whatever the producer says, by the
# playout-delay extension. Nothing where that was not negotiated.
cdef void header_plan_set_playout_delay(HeaderPlan* plan, int steps) noexcept nogil
# -1 when it is longer than MAX_MID.
cdef int header_plan_set_mid(HeaderPlan* plan, const uint8_t* mid, Py_ssize_t size) noexcept nogil

# Writes the header of an outgoing packet: marker and CSRCs of `view`, no padding, extensions after `plan`. One-byte
# form when every outgoing id is at most 14 and every element 1 to 16 bytes long, else two-byte. Returns the header's
# size in bytes, or -1 when it does not fit. `marks` may not be NULL.
cdef int rtp_write_header(
    const HeaderPlan* plan, const PacketView* view, uint8_t payload_type, uint16_t seq, uint32_t timestamp,
    uint32_t ssrc, int64_t now, uint8_t* out, Py_ssize_t capacity, HeaderMarks* marks,
) noexcept nogil

# The same and the payload behind it: one whole clear packet without padding. Size in bytes, or -1.
cdef int rtp_write_packet(
    const HeaderPlan* plan, const PacketView* view, uint8_t payload_type, uint16_t seq, uint32_t timestamp,
    uint32_t ssrc, int64_t now, uint8_t* out, Py_ssize_t capacity, HeaderMarks* marks,
) noexcept nogil

# The same as an RTX packet: the original sequence number, then the payload (RFC 4588 section 4). Size in bytes, or -1.
cdef int rtx_write_packet(
    const HeaderPlan* plan, const PacketView* view, uint8_t rtx_payload_type, uint16_t rtx_seq, uint32_t timestamp,
    uint32_t rtx_ssrc, uint16_t original_seq, int64_t now, uint8_t* out, Py_ssize_t capacity, HeaderMarks* marks,
) noexcept nogil

# 24 bits, 6.18 fixed-point seconds (the abs-send-time extension).
cdef uint32_t abs_send_time(int64_t now) noexcept nogil
