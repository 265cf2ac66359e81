"""The ways out of the plane, each with its bound."""

from libc.string cimport memcpy, memset

from rtpfwd.congestion.controller cimport congestion_sent, congestion_sent_beside
from rtpfwd.cursor cimport store_u16, store_u24
from rtpfwd.header cimport abs_send_time
from rtpfwd.pacer cimport PACER_GOES, pacer_hold, pacer_run_waits, pacer_spend
from rtpfwd.srtp cimport SRTP_OK, SrtpJob, srtp_protect, srtp_protect_jobs, srtp_protect_rtcp
from rtpfwd.state cimport (
    DATAGRAM_SIZE,
    ESTIMATE_CHANGED,
    EVENT_SLOTS,
    Event,
    FEEDBACK_RECEIVED,
    HANDOFF_EACH,
    HANDOFF_STRANGERS,
    JOB_SLOTS,
    KEYFRAME_ASKED,
    LAYERS_CHANGED,
    NO_GENERATION,
    OUT_AUDIO,
    OUT_OTHER,
    OUT_VIDEO,
    Outgoing,
    QUEUED_BYTES,
    REMOTE_LEARNED,
    STREAM_STARTED,
    drop,
)
from rtpfwd.tables cimport TCP, address_get, pool_get
from rtpfwd.types cimport DROP_HANDOFF_FULL, DROP_NO_REMOTE, DROP_SRTP_PROTECT, DROP_TRANSMIT_FULL


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


cdef inline bint _to_area(const PlaneState* s, const Transport* t) noexcept nogil:
    return s.has_lane and t.remote.protocol != TCP


cdef inline void _add_to_area(PlaneState* s, const Transport* t, int size, OutKind kind) noexcept nogil:
    cdef Outgoing* out = &s.areas[s.area][s.out_count]
    out.data = s.out_at
    out.size = size
    out.kind = kind
    out.socket = t.remote_socket
    out.to = t.remote
    s.out_count += 1
    s.out_at += size


cdef bint out_commit(PlaneState* s, Transport* t, int size, int kind) noexcept nogil:
    if _to_area(s, t):
        _add_to_area(s, t, size, <OutKind>kind)
    elif not _fifo_push(s, t, s.out_at, size):
        drop(s, DROP_TRANSMIT_FULL)
        return False
    s.counters.sent_packets += 1
    s.counters.sent_bytes += size
    t.sent_packets += 1
    t.sent_bytes += size
    return True


cdef void run_begin(PlaneState* s, MediaRun* run, Consumer* c, int32_t first, int64_t now) noexcept nogil:
    cdef Transport* t = c.transport
    cdef SrtpSender* sender = &c.sender
    run.transport = t
    run.consumer = c
    run.sender = sender
    run.kind = OUT_VIDEO if c.producer.video else OUT_AUDIO
    run.to_area = _to_area(s, t)
    # Audio waits behind nothing.
    run.paced = t.pacer != NULL and c.producer.video and pacer_run_waits(s, t, first, now)
    run.now = now
    run.trailer = 0
    run.reason = 0
    run.packets = 0
    run.bytes = 0
    if not can_send(t):
        run.reason = DROP_NO_REMOTE
    elif t.srtp and sender.keys != NULL:
        run.trailer = sender.keys.tag_size


cdef inline void _number(
    Transport* t, uint8_t* packet, const HeaderMarks* marks, int size, uint16_t probe, int64_t now
) noexcept nogil:
    """Fills what the header writer left open: the transport-wide sequence number. `size` of the datagram, protected."""
    store_u16(packet + marks.transport_cc, <uint16_t>t.twcc_seq)
    if t.congestion != NULL:
        congestion_sent(t.congestion, <uint16_t>t.twcc_seq, wire_size(t, size), probe, now)
    t.twcc_seq += 1


cdef int out_commit_media(
    PlaneState* s, MediaRun* run, int header_size, const uint8_t* payload, int payload_size, const HeaderMarks* marks
) noexcept nogil:
    cdef SrtpJob* job
    cdef int size = header_size + payload_size + run.trailer
    cdef int reason
    if run.paced:
        reason = pacer_hold(s, run.consumer, False, header_size, payload, payload_size, marks, run.now)
        if reason != PACER_GOES:
            return reason
        pacer_spend(run.transport, wire_size(run.transport, size), run.now)
    if marks.transport_cc:
        _number(run.transport, s.out_at, marks, size, 0, run.now)
    elif run.transport.congestion != NULL:
        congestion_sent_beside(run.transport.congestion, wire_size(run.transport, size), run.now)
    if run.trailer:
        job = &s.jobs[s.job_count]
        job.sender = run.sender
        job.payload = payload
        job.packet = s.out_at
        job.header_size = header_size
        job.payload_size = payload_size
        if run.to_area:
            s.job_out[s.job_count] = s.out_count
            s.job_count += 1
        else:
            # It is copied to the FIFO at once.
            srtp_protect_jobs(job, 1)
            if job.status != SRTP_OK:
                return DROP_SRTP_PROTECT
    elif run.transport.srtp:
        return DROP_SRTP_PROTECT
    elif payload != s.out_at + header_size:
        memcpy(s.out_at + header_size, payload, payload_size)
    if run.to_area:
        _add_to_area(s, run.transport, size, run.kind)
        if s.job_count == JOB_SLOTS:
            out_protect(s)
    elif not _fifo_push(s, run.transport, s.out_at, size):
        drop(s, DROP_TRANSMIT_FULL)
        return OUT_COUNTED
    run.packets += 1
    run.bytes += size
    return 0


cdef void run_end(PlaneState* s, const MediaRun* run) noexcept nogil:
    s.counters.sent_packets += run.packets
    s.counters.sent_bytes += run.bytes
    run.transport.sent_packets += run.packets
    run.transport.sent_bytes += run.bytes
    if run.transport.pacer != NULL and not run.paced:
        pacer_spend(run.transport, run.bytes + run.packets * wire_size(run.transport, 0), run.now)


cdef void out_protect(PlaneState* s) noexcept nogil:
    cdef int index
    srtp_protect_jobs(s.jobs, s.job_count)
    for index in range(s.job_count):
        if s.jobs[index].status != SRTP_OK:
            # Counted as sent already; its number is used up all the same.
            s.areas[s.area][s.job_out[index]].size = 0
            drop(s, DROP_SRTP_PROTECT)
    s.job_count = 0


cdef bint out_commit_rtx(PlaneState* s, Consumer* c, int size, const HeaderMarks* marks, int64_t now) noexcept nogil:
    cdef int reason = PACER_GOES
    if c.transport.pacer != NULL:
        reason = pacer_hold(s, c, True, size, NULL, 0, marks, now)
    if reason == PACER_GOES:
        return out_send(s, c, True, size, marks, 0, now)
    if reason:
        drop(s, reason)
    return reason == 0


cdef bint out_send(
    PlaneState* s, Consumer* c, bint rtx, int size, const HeaderMarks* marks, uint16_t probe, int64_t now
) noexcept nogil:
    cdef Transport* t = c.transport
    cdef SrtpSender* sender = &c.rtx_sender if rtx else &c.sender
    cdef uint8_t* out = s.out_at
    cdef int trailer = sender.keys.tag_size if t.srtp and sender.keys != NULL else 0
    if marks.abs_send_time:
        store_u24(out + marks.abs_send_time, abs_send_time(now))
    if marks.transport_cc:
        _number(t, out, marks, size + trailer, probe, now)
    elif t.congestion != NULL:
        congestion_sent_beside(t.congestion, wire_size(t, size + trailer), now)
    if t.srtp and (sender.keys == NULL or srtp_protect(sender, out, &size) != SRTP_OK):
        drop(s, DROP_SRTP_PROTECT)
        return False
    if not out_commit(s, t, size, OUT_VIDEO if c.producer.video else OUT_AUDIO):
        return False
    if t.pacer != NULL:
        pacer_spend(t, wire_size(t, size), now)
    return True


cdef bint out_commit_rtcp(PlaneState* s, Transport* t, SrtpSession session, int size) noexcept nogil:
    if t.srtp and srtp_protect_rtcp(session, s.out_at, &size) != SRTP_OK:
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


cdef int tell_estimate(PlaneState* s, const Transport* t, int64_t now) noexcept nogil:
    return 0 if _tell_of(s, t, ESTIMATE_CHANGED, now) != NULL else -1


cdef int tell_feedback(PlaneState* s, const Transport* t, void* body, int64_t now) noexcept nogil:
    cdef Event* event = _tell_of(s, t, FEEDBACK_RECEIVED, now)
    if event == NULL:
        return -1
    event.body = body
    return 0


cdef Event* _tell_of(PlaneState* s, const Transport* t, int kind, int64_t now) noexcept nogil:
    cdef Event* event = _event(s, kind)
    if event != NULL:
        event.slot = t.slot
        event.generation = s.transports.generations[t.slot]
        event.at = now
    return event


cdef int tell_layers_changed(PlaneState* s, Consumer* c, const Layer* current, int64_t now) noexcept nogil:
    cdef Event* event = _event(s, LAYERS_CHANGED)
    if event == NULL:
        return -1
    event.slot = c.slot
    event.generation = s.consumers.generations[c.slot]
    event.at = now
    event.spatial = current.spatial
    event.temporal = current.temporal
    c.told = current[0]
    c.told_at = now
    return 0


cdef int tell_keyframe_asked(PlaneState* s, const Encoding* e, int64_t now) noexcept nogil:
    cdef Event* event = _event(s, KEYFRAME_ASKED)
    if event == NULL:
        return -1
    event.slot = e.producer.slot
    event.generation = s.producers.generations[e.producer.slot]
    event.at = now
    event.encoding = e.index
    return 0
