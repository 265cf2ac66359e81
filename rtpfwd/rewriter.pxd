# One consumer's numbering: sequence numbers and timestamps that stay continuous over drops and switches.
#
# Between two switches: output number = input number + offset - declared drops before it. So a real loss stays a gap
# that the viewer can ask for, a declared drop leaves none, and a reordered packet finds its own place. A packet that
# was there already is refused, because sending a number twice with other bytes would reuse the SRTP keystream.

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t

from rtpfwd.types cimport DROP_NONE, PacketView

cdef enum:
    REWRITE_WINDOW = 1024       # input packets behind the newest that still find their place

cdef struct Rewriter:
    uint32_t clock_rate         # Hz
    bint started
    uint32_t source             # SSRC of the encoding in force
    int64_t base                # ext_seq at the last switch: what is older is dropped
    int64_t newest              # highest ext_seq given, forwarded or dropped
    int64_t next_out            # extended output number that newest + 1 would get
    int64_t last_out            # highest extended output number sent; a switch continues after it
    uint64_t used[16]           # REWRITE_WINDOW bits: bit ext_seq % REWRITE_WINDOW = given already
    uint64_t dropped[16]        # the same: was a declared drop when it was the newest
    uint32_t timestamp_offset   # output timestamp = input timestamp + this
    uint32_t last_timestamp     # highest output timestamp
    int64_t last_at             # ns when last_timestamp was first sent

cdef struct Rewritten:
    uint16_t seq
    uint32_t timestamp          # RTP clock units

# first_seq: the first output number. Nothing is allocated, nothing to free.
cdef void rewriter_init(Rewriter* r, uint32_t clock_rate, uint16_t first_seq) noexcept nogil
# A packet to forward; is_switch: the verdict was SWITCH. 0, or DROP_DUPLICATE, DROP_STALE, DROP_BEFORE_SWITCH.
# The first packet ever must be a switch, else DROP_BEFORE_SWITCH. Duplicates are refused since the last switch only:
# RecvStream keeps them away before.
cdef inline int rewriter_forward(
    Rewriter* r, const PacketView* view, bint is_switch, int64_t now, Rewritten* out
) noexcept nogil:
    cdef int64_t seq = view.ext_seq
    cdef uint64_t bit = <uint64_t>1 << (seq & 63)
    cdef int word = <int>(seq >> 6) & (REWRITE_WINDOW // 64 - 1)
    if is_switch or seq != r.newest + 1 or view.ssrc != r.source or not r.started:
        return rewriter_forward_other(r, view, is_switch, now, out)
    # The next one in order, as nearly all are.
    r.newest = seq
    r.used[word] |= bit
    r.dropped[word] &= ~bit
    r.last_out = r.next_out
    r.next_out += 1
    out.seq = <uint16_t>r.last_out
    out.timestamp = view.timestamp + r.timestamp_offset
    if <int32_t>(out.timestamp - r.last_timestamp) > 0:
        r.last_timestamp = out.timestamp
        r.last_at = now
    return DROP_NONE

# What rewriter_forward leaves: switches, gaps, reordered packets, refusals.
cdef int rewriter_forward_other(
    Rewriter* r, const PacketView* view, bint is_switch, int64_t now, Rewritten* out) noexcept nogil
# A packet of the encoding in force that the selector dropped: its number closes up. Of another encoding: nothing.
cdef void rewriter_drop(Rewriter* r, const PacketView* view) noexcept nogil
