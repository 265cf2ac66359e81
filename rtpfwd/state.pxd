# All forwarding state of one lane: plain structs under one mutex. Who changes what: objects (adding and removing),
# ingress (stage 1), fanout (stage 2), rtcp_in, ticks (timers and what they send), output (queues out of the plane).
# Over 400 lines, since the structs of a lane point to one another, and this is the one page that says what each holds.

from cpython.ref cimport PyObject
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from rtpfwd.codecs.dd cimport DdState
from rtpfwd.codecs.pictures cimport Pictures
from rtpfwd.congestion.controller cimport Congestion
from rtpfwd.header cimport HeaderPlan
from rtpfwd.layer_rates cimport LayerMeter
from rtpfwd.recv_stream cimport RecvStream
from rtpfwd.rewriter cimport Rewriter
from rtpfwd.rings cimport LinkGroup, Packet, PacketPool
from rtpfwd.send_stream cimport SendStream
from rtpfwd.slab cimport History, Slab
from rtpfwd.srtp cimport SrtpJob, SrtpKeys, SrtpReceiver, SrtpSender, SrtpSession
from rtpfwd.stun cimport RoutineCheck
from rtpfwd.sys_linux cimport pthread_mutex_t
from rtpfwd.tables cimport AddressTable, Endpoint, Pool, WordTable
from rtpfwd.twcc cimport TwccFeedback
from rtpfwd.types cimport DROP_REASON_COUNT, EXT_KIND_COUNT, Layer, MAX_MID

cdef enum:
    DATAGRAM_SIZE = 2048        # bytes of every buffer that holds one datagram
    PENDING_SLOTS = 256         # received packets between stage 1 and stage 2
    LINKED_PACKETS = 2048       # buffers of received packets of a plane that is linked; without, PENDING_SLOTS
    LANE_SLOTS = 64             # of them that ingest leaves to the lane: one batch of it
    OUT_SLOTS = 512             # datagrams of one output area
    OUT_FLUSH = 192             # of them after which the lane sends before the next consumer has its turn
    JOB_SLOTS = 64              # packets protected together
    LEVEL_BYTES = 16            # RTP padding that one packet may get to be as long as its neighbours
    FIFO_SLOTS = 4096           # datagrams waiting for poll_transmit
    HANDOFF_SLOTS = 512         # STUN and DTLS datagrams waiting for poll_handoff
    HANDOFF_STRANGERS = 256     # of them from sources that are admitted to no transport
    HANDOFF_EACH = 64           # of them from the sources of one transport
    EVENT_SLOTS = 1024          # events waiting for poll_event
    ANY_SOCKETS = 1024          # socket ids that admit_any can name
    MAX_ENCODINGS = 16          # of one producer
    MAX_CODECS = 32             # of one producer
    MAX_CNAME = 255             # bytes
    MAX_STRANGERS = 64          # SSRCs of one transport that authenticate but belong to no stream
    MAX_LEARNED = 256           # SSRCs that one transport may bind to streams by MID or RID
    MAX_ADDRESSES = 64          # admitted to one transport
    HISTORY_PACKETS = 1024      # kept for retransmission, per received SSRC
    SENT_PACKETS = 512          # of one sent SSRC that can be asked for again
    MAX_ANSWERS = 256           # packets sent again for one compound RTCP packet
    QUEUED_BYTES = 524288       # for one transport's TCP destination in the FIFO
    NO_PAYLOAD_TYPE = 255
    NO_GENERATION = 0x7fffffff  # larger than any that a slot has

cdef enum:
    MS = 1000000                # ns
    HISTORY_AGE_MS = 2000
    NACK_TICK_MS = 10           # NACKs go out at most this often
    REPORT_MS = 1000            # sender and receiver reports; each interval is 0.5 to 1.5 of it
    REPORT_TICK_MS = 10         # they are due at multiples of it, so that those of many viewers share a turn
    KEYFRAME_INTERVAL_MS = 500  # between two keyframe requests for one encoding
    KEYFRAME_SENDER_MS = 310    # between two for encodings of one producer
    KEYFRAME_REPEAT_MS = 1000   # while someone waits and none comes
    LAYERS_TELL_MS = 200        # between two LayersChanged of one consumer that tell of another temporal layer only
    SILENT_MS = 1000            # behind its siblings: then an encoding is not asked for keyframes

cdef inline int64_t on_report_tick(int64_t at) noexcept nogil:
    # The first time to report that is not before `at`.
    return (at + <int64_t>REPORT_TICK_MS * MS - 1) // (<int64_t>REPORT_TICK_MS * MS) * (<int64_t>REPORT_TICK_MS * MS)

cdef enum Direction:            # part of the key of the SSRC look-up
    RECEIVED = 0
    SENT = 1


cdef struct Admitted:           # datagrams from `address` on `socket` are the transport's
    int32_t socket
    Endpoint address


cdef struct Transport:
    uint32_t slot               # in PlaneState.transports
    bint srtp
    SrtpReceiver* receiver      # NULL: no keys yet, or srtp is False
    SrtpSession control         # RTCP under feedback_ssrc
    const SrtpKeys* send_keys   # senders of consumers are opened with them; NULL: no keys yet
    PyObject* policy_owner      # the two SrtpPolicy whose keys are in use; a reference is held
    # Where it sends and from where it receives.
    bint has_remote
    int32_t remote_socket
    Endpoint remote
    int32_t any_socket          # socket id whose every datagram is ours; -1: none
    bint comedia                # the first valid packet's source becomes the remote
    bint learned                # it did: nothing from elsewhere any more
    Admitted* admitted          # its addresses, MAX_ADDRESSES at most
    uint32_t addresses          # of them
    uint32_t address_room       # allocated
    RoutineCheck* routine       # of the remote; answered without Python. NULL: every check goes to Python
    # RTCP.
    uint32_t feedback_ssrc      # our own SSRC towards this remote
    int64_t next_report         # ns
    int64_t rtt                 # ns, from the newest report block; 0: unknown
    uint8_t fir_seq
    # Bounds on what an authenticated stranger can make grow.
    uint32_t strangers[MAX_STRANGERS]
    uint32_t stranger_count
    uint32_t learned_count
    uint32_t queued_bytes       # in the FIFO
    uint32_t handed             # datagrams in the handoff queue
    TwccFeedback twcc           # transport-wide feedback towards this remote
    uint32_t twcc_seq           # next transport-wide number sent to this remote
    Congestion* congestion      # of what is sent to it; NULL: not controlled
    void* pacer                 # its Pacer (rtpfwd.pacer); NULL: not controlled
    int64_t receive_limit       # bit/s that the remote may send us, told by REMB; -1: not told
    int64_t next_remb           # ns
    Producer* producers         # list
    Consumer* consumers         # list
    # Counts.
    uint64_t received_packets
    uint64_t received_bytes
    uint64_t sent_packets
    uint64_t sent_bytes
    uint64_t rtcp_received
    uint64_t rtcp_sent
    uint64_t dropped            # datagrams of this transport, any reason
    Transport* garbage          # next of those to be freed with the GIL


cdef struct CodecState:
    uint8_t payload_type
    uint8_t rtx_payload_type    # NO_PAYLOAD_TYPE: none
    int codec                   # Codec
    uint32_t clock_rate         # Hz
    bint nack
    bint pli
    bint fir


cdef struct StreamRef:          # what an SSRC of a transport leads to
    Encoding* encoding          # RECEIVED
    Consumer* consumer          # SENT; NULL: the transport's own feedback SSRC
    bint rtx


cdef struct Encoding:
    Producer* producer
    uint8_t index
    bint has_ssrc
    bint has_rtx_ssrc
    bint signalled              # its SSRC was told to us: never bound to another one
    uint32_t ssrc
    uint32_t rtx_ssrc
    uint8_t rid[MAX_MID]
    uint8_t rid_size            # 0: none
    bint announced              # StreamStarted was told
    int64_t heard               # ns when its newest packet arrived; 0: none did
    RecvStream stream
    LayerMeter layers           # what of each layer came lately
    History history
    bint has_history
    DdState* descriptor         # NULL: its packets have no dependency descriptor
    StreamRef ref
    StreamRef rtx_ref
    # Keyframe requests.
    bint keyframe_waiting       # one was asked for and none came yet
    bint keyframe_fresh         # asked for again since the last request was sent
    bint keyframe_asked         # a request was sent at keyframe_sent
    int64_t keyframe_sent       # ns
    int64_t keyframe_due        # ns
    uint64_t keyframe_requests  # sent
    uint64_t keyframes          # received
    uint64_t rtx_packets        # received, before unwrapping
    uint64_t byes


cdef struct Mirror:             # one plane that mirrors a producer, and as which of its producers
    uint32_t plane              # index in the group
    uint32_t slot
    uint32_t generation
    Mirror* next


cdef struct Producer:
    uint32_t slot
    Transport* transport
    bint video
    bint paused
    uint8_t mid[MAX_MID]
    uint8_t mid_size            # 0: none
    uint8_t extension_ids[EXT_KIND_COUNT]   # by ExtKind, as the sender numbers them; 0: not sent
    CodecState codecs[MAX_CODECS]
    uint8_t codec_count
    uint8_t codec_index[128]    # by payload type: index into codecs, or NO_PAYLOAD_TYPE
    uint8_t media_of_rtx[128]   # by RTX payload type: the media payload type, or NO_PAYLOAD_TYPE
    Encoding* encodings
    uint8_t encoding_count
    uint8_t cname[MAX_CNAME]
    uint8_t cname_size
    # Audio, since Plane.audio_levels asked last (RFC 6464).
    int16_t loudest             # -dBov; -1: no packet said
    bint voice
    # Packets between the stages: indexes into PlaneState.pending, linked by Pending.next; -1 ends.
    int32_t pending_first
    int32_t pending_last
    Consumer* consumers         # list
    # Over lanes. A mirror has the codecs and encodings of its origin, but of RecvStream only the SSRC and the sender reports.
    Mirror* mirrors             # list
    bint is_mirror
    uint32_t origin_plane       # of a mirror
    uint32_t origin_slot
    uint32_t origin_generation
    Producer* previous          # on its transport
    Producer* next
    uint32_t generation         # of its slot
    Producer* garbage           # next of those to be freed with the GIL


cdef struct Consumer:
    uint32_t slot
    Transport* transport
    Producer* producer
    bint paused
    SrtpSender sender           # of ssrc
    SrtpSender rtx_sender       # of rtx_ssrc
    const SrtpKeys* keyed       # under which both were opened, or refused
    PyObject* selector          # a Selector; a reference is held
    Rewriter rewriter
    Pictures pictures
    SendStream stream
    HeaderPlan plan
    uint8_t payload_types[128]      # producer's to consumer's, or NO_PAYLOAD_TYPE
    uint8_t rtx_payload_types[128]  # producer's media payload type to consumer's RTX one, or NO_PAYLOAD_TYPE
    uint8_t encoding            # that flowed last
    Layer told                  # what the last LayersChanged said
    int64_t told_at             # ns of it
    uint8_t cname[MAX_CNAME]
    uint8_t cname_size
    StreamRef ref
    StreamRef rtx_ref
    uint64_t drops              # packets not sent to it, any reason but the selector's and pause
    uint64_t selector_drops
    uint64_t keyframe_requests  # PLI and FIR received from the viewer
    uint32_t reported_seq       # highest_seq of its last report block
    Consumer* previous_of_producer
    Consumer* next_of_producer
    Consumer* previous_of_transport
    Consumer* next_of_transport
    Consumer* garbage


cdef struct Pending:
    Packet* packet              # a reference, given back when all of the batch are forwarded
    Encoding* encoding          # NULL: it went away
    int32_t next
    bint linked                 # the packet is in another plane's pool


cdef enum OutKind:              # what is dropped first when a socket takes no more
    OUT_OTHER = 0               # RTCP
    OUT_AUDIO = 1
    OUT_VIDEO = 2


cdef struct Outgoing:
    uint8_t* data
    int32_t size                # bytes; 0: nothing to send after all
    int32_t kind                # OutKind
    int32_t socket
    Endpoint to


cdef struct Queued:             # a datagram on its way to Python
    int32_t socket
    int32_t size
    Endpoint address
    uint32_t transport          # slot and generation of whose queued_bytes or handed it counts
    uint32_t generation         # NO_GENERATION: nobody's
    uint8_t* data


cdef struct Queue:              # ring of Queued
    Queued* items
    uint8_t* data
    uint32_t capacity
    uint32_t first
    uint32_t count


cdef enum EventKind:
    STREAM_STARTED = 1
    REMOTE_LEARNED = 2
    ESTIMATE_CHANGED = 3
    FEEDBACK_RECEIVED = 4
    LAYERS_CHANGED = 5
    KEYFRAME_ASKED = 6


cdef struct Event:
    int kind
    uint32_t slot               # of the producer (STREAM_STARTED, KEYFRAME_ASKED), consumer (LAYERS_CHANGED) or transport (others)
    uint32_t generation
    int64_t at                  # ns; not of the first two
    int32_t spatial             # LAYERS_CHANGED
    int32_t temporal
    void* body                  # FEEDBACK_RECEIVED: a FeedbackCopy (rtpfwd.pacer), freed by who takes the event
    uint32_t encoding
    uint32_t ssrc
    int32_t socket
    Endpoint address


cdef struct Counters:
    uint64_t received_packets       # datagrams of every kind
    uint64_t received_bytes
    uint64_t forwarded_packets      # media packets for consumers, retransmissions not counted
    uint64_t forwarded_bytes        # of RTP, before SRTP
    uint64_t sent_packets           # datagrams given to the output
    uint64_t sent_bytes
    uint64_t rtcp_received          # compound packets accepted
    uint64_t rtcp_sent
    uint64_t nacks_received         # packets asked for by viewers
    uint64_t nacks_sent             # packets asked for from publishers
    uint64_t retransmitted_packets
    uint64_t retransmissions_unanswered  # asked for, and not sent again
    uint64_t retransmissions_over_budget # of them: refused so that repairs don't eat the link
    uint64_t paced_packets          # media and retransmissions that waited for their time
    uint64_t probe_packets          # sent to find out what a path carries, nothing else in them
    uint64_t remb_sent
    uint64_t keyframe_requests_received
    uint64_t keyframe_requests_merged
    uint64_t keyframe_requests_sent
    uint64_t byes_received
    uint64_t handed_off             # STUN and DTLS datagrams put into the queue for Python
    uint64_t consent_checks_answered    # STUN that needed no Python
    uint64_t events_full            # events that waited because the queue was full
    uint64_t transport_feedback_sent
    uint64_t link_packets_sent      # given to other planes, each counted
    uint64_t link_packets_received  # taken from other planes
    uint64_t link_full              # entries of any kind that found a ring full


cdef struct PlaneState:
    pthread_mutex_t mutex       # of everything below
    pthread_mutex_t gate        # passed on the way to it, so that the lane can't take it again past a waiting command
    bint has_lane               # UDP output goes to the output area; without, everything to the FIFO
    bint attention              # something new waits for Python: the lane signals its handoff_fd
    uint64_t random             # state of next_random
    Pool transports
    Pool producers
    Pool consumers
    AddressTable addresses      # (socket, address) to transport slot
    WordTable streams           # (transport slot, Direction, SSRC) to StreamRef*
    int32_t any_sockets[ANY_SOCKETS]    # socket id to transport slot; -1: none
    uint32_t max_streams
    uint32_t stream_count       # encodings and consumers
    Slab slab
    int64_t now                 # ns, the latest time told: what rates in the stats are measured at
    int64_t due                 # ns of the next handle_timeout; -1: none
    int64_t* dues               # ns when each transport is to be looked at, by slot; INT64_MAX: never. One more for link_transport
    int64_t last_turn           # ns of the last handle_timeout that did something
    # Between the stages.
    PacketPool* packets         # buffers of what is received: own_packets, or the group's
    PacketPool own_packets
    Pending* pending
    int32_t pending_count
    int32_t shared_count        # of them levelled and given to the mirrors
    Producer* dirty[PENDING_SLOTS]      # producers with pending packets, in order; NULL: it went away
    int32_t dirty_count
    int32_t fan_index           # into dirty: the one that stage 2 is at
    int32_t fan_first           # its pending list, taken from it; -1: not begun
    Consumer* fan_consumer      # the next consumer of it
    # Out of the plane. The lane sends from one area while the other fills.
    Outgoing* areas[2]
    uint8_t* area_data          # OUT_SLOTS x DATAGRAM_SIZE bytes for each; datagrams lie in it without gaps
    uint8_t* out_at             # where the next one goes
    int area                    # the one that fills
    int32_t out_count
    SrtpJob jobs[JOB_SLOTS]     # media written to the area and not protected yet; none while the plane is unlocked
    int32_t job_out[JOB_SLOTS]  # where in the area
    int32_t job_count
    Queue fifo
    Queue handoff
    uint32_t handed_strangers   # datagrams in it from sources that are admitted to no transport
    Event events[EVENT_SLOTS]
    uint32_t event_first
    uint32_t event_count
    Counters counters
    uint64_t drops[DROP_REASON_COUNT]
    # Other planes.
    LinkGroup* group            # NULL: not linked
    uint32_t link_index         # in the group
    uint64_t link_wake          # planes that were given something and perhaps are asleep: bits by index
    int wake_fd                 # the lane's eventfd for them; -1: no lane
    Transport link_transport    # of the mirrors; in no table, without a remote
    Transport* dead_transports  # to be freed with the GIL
    Producer* dead_producers
    Consumer* dead_consumers


# NULL when there is no memory.
cdef PlaneState* plane_open(uint32_t max_transports, uint32_t max_streams, uint64_t seed) noexcept nogil
# Everything was removed and reaped before.
cdef void plane_close(PlaneState* s) noexcept nogil
cdef void plane_lock(PlaneState* s) noexcept nogil
cdef void plane_unlock(PlaneState* s) noexcept nogil
cdef uint32_t next_random(PlaneState* s) noexcept nogil

# pending[pending_count], filled by the caller but for `next`, becomes the last of its producer.
cdef void append_pending(PlaneState* s) noexcept nogil
# Every pending packet is forwarded: its buffers are given back.
cdef void clear_pending(PlaneState* s) noexcept nogil

# A datagram of this transport goes no further.
cdef void drop_from(PlaneState* s, Transport* t, int reason) noexcept nogil
# The transport is in use: its reports begin, at a random time so that they spread.
cdef void begin_reports(PlaneState* s, Transport* t, int64_t now) noexcept nogil

cdef inline uint64_t stream_key(uint32_t transport, int direction, uint32_t ssrc) noexcept nogil:
    return ((<uint64_t>transport * 2 + <uint64_t>direction) << 32) | ssrc

cdef inline bint has_viewers(const Producer* p) noexcept nogil:
    # Somebody is forwarded to, here or on another plane.
    return p.consumers != NULL or p.mirrors != NULL

cdef inline void drop(PlaneState* s, int reason) noexcept nogil:
    s.drops[reason] += 1

cdef inline void schedule(PlaneState* s, const Transport* t, int64_t at) noexcept nogil:
    # The transport is to be looked at by handle_timeout at this time, in ns, or earlier.
    s.dues[t.slot] = min(s.dues[t.slot], at)
    if s.due < 0 or at < s.due:
        s.due = at
