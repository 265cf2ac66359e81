# What waits until its path takes it, per controlled transport: retransmissions first, then video; audio never waits.
#
# A packet that waits is a copy in the clear in a slot of the plane's slab, so nothing received is held and nothing can
# vanish under it. Its transport-wide number and its send time are written when it really leaves. Within one consumer the
# order never changes. Where nothing waits and there is room, a packet takes the direct way (rtpfwd.output).

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t

from rtpfwd.congestion.controller cimport CongestionState, PacketResult, ProbePlan
from rtpfwd.header cimport HeaderMarks
from rtpfwd.rate cimport RateMeter
from rtpfwd.state cimport Consumer, PlaneState, Transport

cdef enum:
    PACER_GOES = -100           # of pacer_hold: it may leave at once
    BURST_MS = 5                # of media that leave together
    GOOD_BURST_MS = 20          # at most, while the path has room for twice what is sent: then a run stays whole
    RUN_BYTES = 12500           # of such a run: ten packets
    QUEUE_MS = 500              # of media at the estimate that may wait
    QUEUE_PACKETS = 512
    KEYFRAME_WAITS_MS = 100     # of media that wait: with more, a keyframe would be dropped or drop them, and none ever be whole
    OVERTAKEN_MS = 50           # of media that may wait before a keyframe at which the consumer switches; more is dropped
    DISPLACED_MS = 20           # and when a lower encoding is chosen: with more of the old one waiting it is dropped and stops
    DISPLACED_SHARE = 150       # so it is when what was sent lately is more than this, in percent of what may be sent now
    REPAIR_PACKETS = 128        # retransmissions that may wait
    REPAIR_MIN_BPS = 100000     # that repairs may always have
    REPAIR_SHARE = 4            # of the estimate, one in so many, beyond that
    FEEDBACKS_WAITING = 16      # FeedbackReceived events of one transport that wait for Python

cdef struct Waiting:            # one packet
    int32_t slot                # of the slab; -1: its consumer went or paused
    uint16_t size               # bytes
    uint16_t transport_cc       # HeaderMarks
    uint16_t abs_send_time
    bint rtx
    uint32_t consumer           # slot and generation
    uint32_t generation

cdef struct Line:               # ring, grown as it fills
    Waiting* items
    uint32_t room               # a power of two; 0: nothing ever waited
    uint32_t first
    uint32_t count
    int64_t bytes

cdef struct FeedbackCopy:       # body of a FEEDBACK_RECEIVED event
    int32_t count
    PacketResult results[1]     # so many

cdef struct Pacer:
    Line repairs
    Line media
    int64_t estimate            # bit/s, of the last look
    int64_t pacing              # bit/s
    int64_t awaited_until       # ns: until then a first keyframe waits for what a probe finds; 0: none was wanted yet
    bint decides                # something is known now: Python chooses
    int64_t clear_at            # ns when all that was sent has left at the pacing rate
    RateMeter sent              # bytes on the wire
    RateMeter repaired          # of them: retransmissions that were asked for
    # The probe that is being sent.
    bint probing
    ProbePlan probe
    int64_t probe_at            # ns of its next packet
    int32_t probe_bytes         # sent of it
    int32_t probe_packets
    # What Python was told.
    CongestionState told
    bint told_once
    bint telling                # an ESTIMATE_CHANGED event of this transport waits
    int64_t told_at             # ns
    bint watched                # FeedbackReceived events are wanted
    uint32_t feedbacks          # of them that wait

# Not all of the pending packets from `first` on may leave now.
cdef bint pacer_run_waits(const PlaneState* s, const Transport* t, int32_t first, int64_t now) noexcept nogil
# A clear packet: `header_size` bytes in out_slot, and the payload. PACER_GOES: send it. 0: it waits. Else a DropReason.
cdef int pacer_hold(
    PlaneState* s, Consumer* c, bint rtx, int header_size, const uint8_t* payload, int payload_size,
    const HeaderMarks* marks, int64_t now) noexcept nogil
# Whether the next frame should not be begun, or nothing more fits.
cdef bint pacer_is_full(const Transport* t, bint begins_frame) noexcept nogil
# Whether so much waits that the next keyframe should be asked for later.
cdef bint pacer_is_behind(const Transport* t) noexcept nogil
# The consumer goes over to another encoding. What waits of the old one, if it is more than `most_ms` of media, would only
# make its keyframe late.
cdef void pacer_overtake(PlaneState* s, Transport* t, Consumer* c, int64_t most_ms) noexcept nogil
# The consumer is to go over to a lower encoding. Whether the old one stops at once, because the path is far too narrow for
# it: then nothing of it waits any more or is sent again, since it would only stand in the way of the keyframe.
cdef bint pacer_displace(PlaneState* s, Transport* t, Consumer* c, int64_t now) noexcept nogil
# So many bytes left for the transport, on the wire.
cdef void pacer_spend(Transport* t, int64_t size, int64_t now) noexcept nogil
# Whether a retransmission that is asked for may be sent at all. Counts it when it may.
cdef bint pacer_allows_repair(Transport* t, int64_t size, int64_t now) noexcept nogil
# Sends what may leave. ns when it wants to be called again; -1: nothing waits.
cdef int64_t pacer_send(PlaneState* s, Transport* t, int64_t now) noexcept nogil
# The next packet that waits, out of turn, if it is of `most` bytes on the wire or less. Its bytes there, 0: none was sent.
cdef int pacer_send_one(PlaneState* s, Transport* t, int64_t most, uint16_t probe, int64_t now) noexcept nogil
cdef void pacer_forget(PlaneState* s, Transport* t, const Consumer* c) noexcept nogil   # what waits for it
cdef void pacer_close(PlaneState* s, Transport* t) noexcept nogil
cdef size_t pacer_bytes(const Transport* t) noexcept nogil                              # of memory, slots not counted
