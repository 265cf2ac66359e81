"""The ways out of the plane, each with its bound."""

from libc.stdint cimport uint16_t
from libc.string cimport memcpy, memset

from rtpfwd.cursor cimport store_u16
from rtpfwd.srtp cimport SRTP_OK, SrtpJob, srtp_protect_jobs, srtp_protect_rtcp
from rtpfwd.state cimport (
    DATAGRAM_SIZE,
    EVENT_SLOTS,
    Event,
    HANDOFF_EACH,
    HANDOFF_STRANGERS,
    JOB_SLOTS,
    NO_GENERATION,
    OUT_OTHER,
    OUT_SLOTS,
    Outgoing,
    QUEUED_BYTES,
    REMOTE_LEARNED,
    STREAM_STARTED,
    drop,
)
from rtpfwd.tables cimport TCP, address_get, pool_get
from rtpfwd.types cimport DROP_HANDOFF_FULL, DROP_SRTP_PROTECT, DROP_TRANSMIT_FULL


cdef int out_room(PlaneState* s) noexcept nogil:
    return OUT_SLOTS - s.out_count


cdef uint8_t* out_slot(PlaneState* s) noexcept nogil:
    if s.out_count >= OUT_SLOTS:
        drop(s, DROP_TRANSMIT_FULL)
        return NULL
    return s.areas[s.area][s.out_count].data


cdef Queued* _queue_push(Queue* queue, int socket, const Endpoint* address, const uint8_t* data, int size) noexcept nogil:
    cdef Queued* item
    if queue.count >= queue.capacity or size > DATAGRAM_SIZE:
        return NULL
    item = &queue.items[(queue.first + queue.count) % queue.capacity]
    queue.count += 1
    item.socket = socket
    item.size = size
    item.address = address[0]
    memcpy(item.data, data, size)
    return item


cdef Queued* queue_front(Queue* queue) noexcept nogil:
    return &queue.items[queue.first] if queue.count else NULL


cdef void _queue_pop(Queue* queue) noexcept nogil:
    queue.first = (queue.first + 1) % queue.capacity
    queue.count -= 1


cdef bint _fifo_push(PlaneState* s, Transport* t, const uint8_t* data, int size) noexcept nogil:
    cdef Queued* item
    if t.remote.protocol == TCP and t.queued_bytes + size > QUEUED_BYTES:
        return False
    item = _queue_push(&s.fifo, t.remote_socket, &t.remote, data, size)
    if item == NULL:
        return False
    item.transport = t.slot
    item.generation = s.transports.generations[t.slot]
    t.queued_bytes += size
    s.attention = True
    return True


cdef void fifo_pop(PlaneState* s) noexcept nogil:
    cdef Queued* item = queue_front(&s.fifo)
    cdef Transport* t = <Transport*>pool_get(&s.transports, item.transport, item.generation)
    if t != NULL:
        t.queued_bytes -= item.size
    _queue_pop(&s.fifo)


cdef bint can_send(const Transport* t) noexcept nogil:
    return t.has_remote and (not t.srtp or t.send_keys != NULL)


cdef void finish_header(Transport* t, uint8_t* packet, const HeaderMarks* marks) noexcept nogil:
    if marks.transport_cc:
        store_u16(packet + marks.transport_cc, <uint16_t>t.twcc_seq)
        t.twcc_seq += 1


cdef bint out_commit(PlaneState* s, Transport* t, int size, int kind) noexcept nogil:
    cdef Outgoing* out = &s.areas[s.area][s.out_count]
    if t.remote.protocol == TCP or not s.has_lane:
        if not _fifo_push(s, t, out.data, size):
            drop(s, DROP_TRANSMIT_FULL)
            return False
    else:
        out.size = size
        out.kind = kind
        out.socket = t.remote_socket
        out.to = t.remote
        s.out_count += 1
    s.counters.sent_packets += 1
    s.counters.sent_bytes += size
    t.sent_packets += 1
    t.sent_bytes += size
    return True


cdef int out_commit_media(
    PlaneState* s, Transport* t, SrtpSender* sender, int kind, int header_size, const uint8_t* payload, int payload_size,
) noexcept nogil:
    cdef uint8_t* packet = s.areas[s.area][s.out_count].data
    cdef SrtpJob* job = &s.jobs[s.job_count]
    cdef int size = header_size + payload_size
    if not t.srtp:
        memcpy(packet + header_size, payload, payload_size)
    else:
        if sender.keys == NULL:
            return DROP_SRTP_PROTECT
        job.sender = sender
        job.payload = payload
        job.packet = packet
        job.header_size = header_size
        job.payload_size = payload_size
        size += sender.keys.tag_size
        if t.remote.protocol == TCP or not s.has_lane:
            # It is copied to the FIFO at once.
            srtp_protect_jobs(job, 1)
            if job.status != SRTP_OK:
                return DROP_SRTP_PROTECT
        else:
            s.job_out[s.job_count] = s.out_count
            s.job_count += 1
    if not out_commit(s, t, size, kind):
        return OUT_COUNTED
    if s.job_count == JOB_SLOTS:
        out_protect(s)
    return 0


cdef void out_protect(PlaneState* s) noexcept nogil:
    cdef int index
    srtp_protect_jobs(s.jobs, s.job_count)
    for index in range(s.job_count):
        if s.jobs[index].status != SRTP_OK:
            # Counted as sent already; its number is used up all the same.
            s.areas[s.area][s.job_out[index]].size = 0
            drop(s, DROP_SRTP_PROTECT)
    s.job_count = 0


cdef bint out_commit_rtcp(PlaneState* s, Transport* t, SrtpSession session, int size) noexcept nogil:
    cdef uint8_t* data = s.areas[s.area][s.out_count].data
    if t.srtp and srtp_protect_rtcp(session, data, &size) != SRTP_OK:
        drop(s, DROP_SRTP_PROTECT)
        return False
    if not out_commit(s, t, size, OUT_OTHER):
        return False
    s.counters.rtcp_sent += 1
    t.rtcp_sent += 1
    return True


cdef void hand_off(PlaneState* s, int socket, const Endpoint* source, const uint8_t* data, int size) noexcept nogil:
    cdef int slot = address_get(&s.addresses, socket, source)
    cdef Transport* t = <Transport*>s.transports.items[slot] if slot >= 0 else NULL
    cdef bint full = s.handed_strangers >= HANDOFF_STRANGERS if t == NULL else t.handed >= HANDOFF_EACH
    cdef Queued* item = NULL if full else _queue_push(&s.handoff, socket, source, data, size)
    if item == NULL:
        drop(s, DROP_HANDOFF_FULL)
        return
    if t == NULL:
        s.handed_strangers += 1
        item.generation = NO_GENERATION
    else:
        t.handed += 1
        item.transport = t.slot
        item.generation = s.transports.generations[t.slot]
    s.counters.handed_off += 1
    s.attention = True


cdef void handoff_pop(PlaneState* s) noexcept nogil:
    cdef Queued* item = queue_front(&s.handoff)
    cdef Transport* t
    if item.generation == NO_GENERATION:
        s.handed_strangers -= 1
    else:
        t = <Transport*>pool_get(&s.transports, item.transport, item.generation)
        if t != NULL:
            t.handed -= 1
    _queue_pop(&s.handoff)


cdef Event* _event(PlaneState* s, int kind) noexcept nogil:
    cdef Event* event
    if s.event_count >= EVENT_SLOTS:
        s.counters.events_full += 1
        return NULL
    event = &s.events[(s.event_first + s.event_count) % EVENT_SLOTS]
    s.event_count += 1
    memset(event, 0, sizeof(Event))
    event.kind = kind
    s.attention = True
    return event


cdef int tell_stream_started(PlaneState* s, uint32_t producer, uint32_t encoding, uint32_t ssrc) noexcept nogil:
    cdef Event* event = _event(s, STREAM_STARTED)
    if event == NULL:
        return -1
    event.slot = producer
    event.generation = s.producers.generations[producer]
    event.encoding = encoding
    event.ssrc = ssrc
    return 0


cdef int tell_remote_learned(PlaneState* s, const Transport* t) noexcept nogil:
    cdef Event* event = _event(s, REMOTE_LEARNED)
    if event == NULL:
        return -1
    event.slot = t.slot
    event.generation = s.transports.generations[t.slot]
    event.socket = t.remote_socket
    event.address = t.remote
    return 0
