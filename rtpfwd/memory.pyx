"""What the structs of a plane occupy, summed as they were allocated. See memory.pyi.

SRTP sessions of libsrtp, SRTP's keys and Python's own objects are not in it: they belong to others.
"""

from libc.stdint cimport int32_t, uint8_t, uint32_t

from rtpfwd.congestion.controller cimport congestion_bytes
from rtpfwd.crypto.window cimport Window
from rtpfwd.pacer cimport pacer_bytes
from rtpfwd.plane cimport Plane
from rtpfwd.recv_stream cimport MAX_MISSING, Missing
from rtpfwd.rings cimport Packet
from rtpfwd.send_stream cimport Sent
from rtpfwd.slab cimport StoredPacket
from rtpfwd.srtp cimport srtp_receiver_bytes, srtp_session_bytes
from rtpfwd.state cimport (
    Admitted,
    Consumer,
    DATAGRAM_SIZE,
    Encoding,
    Mirror,
    OUT_SLOTS,
    Outgoing,
    PENDING_SLOTS,
    Pending,
    PlaneState,
    Producer,
    Queue,
    Queued,
    Transport,
    plane_lock,
    plane_unlock,
)
from rtpfwd.tables cimport AddressEntry, Pool, WordEntry
from rtpfwd.twcc cimport TWCC_WINDOW

cdef struct Sums:
    size_t transports
    size_t receivers        # the windows and indices of SRTP, by SSRC
    size_t feedback         # transport-wide arrivals
    size_t pacers           # queues, without the slots that lie in them
    size_t congestion       # estimates, with what is known of packets on their way
    size_t producers
    size_t encodings
    size_t missing
    size_t histories
    size_t consumers
    size_t sent
    size_t transport_count
    size_t producer_count
    size_t encoding_count
    size_t consumer_count


cdef size_t _queue(const Queue* queue) noexcept nogil:
    return queue.capacity * (sizeof(Queued) + DATAGRAM_SIZE)


cdef size_t _pool(const Pool* pool) noexcept nogil:
    return pool.capacity * (sizeof(void*) + 2 * sizeof(uint32_t))


cdef void _transport(const Transport* t, Sums* sums) noexcept nogil:
    sums.transport_count += 1
    sums.transports += sizeof(Transport) + t.address_room * sizeof(Admitted)
    sums.receivers += srtp_receiver_bytes(t.receiver) + srtp_session_bytes(t.control)
    if t.twcc.arrivals != NULL:
        sums.feedback += TWCC_WINDOW * 8
    sums.pacers += pacer_bytes(t)
    sums.congestion += congestion_bytes(t.congestion)


cdef void _producer(const Producer* p, Sums* sums) noexcept nogil:
    cdef int index
    cdef const Encoding* e
    cdef const Mirror* mirror = p.mirrors
    sums.producer_count += 1
    sums.producers += sizeof(Producer)
    while mirror != NULL:
        sums.producers += sizeof(Mirror)
        mirror = mirror.next
    for index in range(p.encoding_count):
        e = &p.encodings[index]
        sums.encoding_count += 1
        sums.encodings += sizeof(Encoding)
        if e.stream.missing != NULL:
            sums.missing += MAX_MISSING * sizeof(Missing)
        if e.has_history:
            sums.histories += (<size_t>e.history.mask + 1) * sizeof(StoredPacket)


cdef void _consumer(const Consumer* c, Sums* sums) noexcept nogil:
    sums.consumer_count += 1
    sums.consumers += sizeof(Consumer)
    if c.stream.sent != NULL:
        sums.sent += (<size_t>c.stream.mask + 1) * sizeof(Sent)


def memory_report(Plane plane not None):
    cdef PlaneState* s = plane.state
    cdef Sums sums = Sums(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    cdef size_t slab_bytes, slots, free_slots, tables, queues, areas, packets
    cdef uint32_t slot
    with nogil:
        # Under the lock for as long as it takes: for benches and tests, not for a node in use.
        plane_lock(s)
        for slot in range(s.transports.top):
            if s.transports.items[slot] != NULL:
                _transport(<const Transport*>s.transports.items[slot], &sums)
        for slot in range(s.producers.top):
            if s.producers.items[slot] != NULL:
                _producer(<const Producer*>s.producers.items[slot], &sums)
        for slot in range(s.consumers.top):
            if s.consumers.items[slot] != NULL:
                _consumer(<const Consumer*>s.consumers.items[slot], &sums)
        slots, free_slots = s.slab.slot_count, s.slab.free_count
        slab_bytes = slots * s.slab.slot_size + s.slab.max_slots * sizeof(int32_t)
        tables = (<size_t>s.addresses.mask + 1) * sizeof(AddressEntry) + 2 * <size_t>s.streams.size * sizeof(WordEntry)
        tables += _pool(&s.transports) + _pool(&s.producers) + _pool(&s.consumers)
        queues = _queue(&s.fifo) + _queue(&s.handoff)
        areas = 2 * OUT_SLOTS * (sizeof(Outgoing) + DATAGRAM_SIZE)
        packets = s.packets.count * (sizeof(Packet) + s.packets.packet_size) + PENDING_SLOTS * sizeof(Pending)
        plane_unlock(s)
    return {
        "fixed": {
            "state": sizeof(PlaneState), "tables": tables, "queues": queues, "output": areas, "packets": packets,
        },
        "history": {"bytes": slab_bytes, "slots": slots, "free": free_slots, "slot": s.slab.slot_size},
        "transports": {
            "count": sums.transport_count, "structs": sums.transports, "srtp_windows": sums.receivers,
            "feedback": sums.feedback, "pacers": sums.pacers, "congestion": sums.congestion,
        },
        "producers": {
            "count": sums.producer_count, "encodings": sums.encoding_count,
            "structs": sums.producers, "streams": sums.encodings, "missing": sums.missing, "history_rings": sums.histories,
        },
        "consumers": {"count": sums.consumer_count, "structs": sums.consumers, "sent_rings": sums.sent},
        "sizes": {
            "Transport": sizeof(Transport), "Producer": sizeof(Producer), "Encoding": sizeof(Encoding),
            "Consumer": sizeof(Consumer), "Sent": sizeof(Sent), "StoredPacket": sizeof(StoredPacket),
            "Window": sizeof(Window),
        },
    }
