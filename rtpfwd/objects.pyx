"""Adding and removing transports, producers and consumers, with everything that hangs on them.

(Over 400 lines, because each removal undoes an addition, and the cascades go from one kind of object to the next.)
"""

from libc.stdlib cimport realloc
from libc.string cimport memcmp

from rtpfwd.estimate cimport estimate_close
from rtpfwd.link cimport link_begin_anew
from rtpfwd.pacer cimport pacer_forget
from rtpfwd.recv_stream cimport recv_stream_free, recv_stream_init
from rtpfwd.selector cimport Selector
from rtpfwd.slab cimport history_clear, history_init, slab_grow, slab_wants_growth
from libc.stdint cimport int64_t, uint64_t
from rtpfwd.srtp cimport srtp_sender_close, srtp_sender_open
from rtpfwd.state cimport (
    Admitted,
    HISTORY_AGE_MS,
    HISTORY_PACKETS,
    MAX_ADDRESSES,
    MAX_LEARNED,
    MS,
    RECEIVED,
    SENT,
    next_random,
    stream_key,
)
from rtpfwd.tables cimport (
    address_get,
    address_put,
    address_remove,
    pool_add,
    pool_remove,
    same_endpoint,
    word_get,
    word_put,
    word_remove,
)
from rtpfwd.twcc cimport twcc_open
from rtpfwd.types cimport EXT_TRANSPORT_CC

cdef enum:
    REMOVED_AT_ONCE = 32    # consumers, with the plane locked
    OPENED_AT_ONCE = 2      # consumers that get senders, with the plane locked


cdef StreamRef* find_stream(PlaneState* s, const Transport* t, int direction, uint32_t ssrc) noexcept nogil:
    return <StreamRef*>word_get(&s.streams, stream_key(t.slot, direction, ssrc))


cdef bint _taken(PlaneState* s, Transport* t, int direction, uint32_t ssrc) noexcept nogil:
    return word_get(&s.streams, stream_key(t.slot, direction, ssrc)) != NULL


cdef Transport* _at(PlaneState* s, int slot) noexcept nogil:
    return <Transport*>s.transports.items[slot]


# Transports.

cdef int add_transport(PlaneState* s, Transport* t) noexcept nogil:
    cdef int slot = pool_add(&s.transports, t)
    if slot < 0:
        return REFUSED_FULL
    t.slot = slot
    t.any_socket = -1
    t.receive_limit = -1
    while t.feedback_ssrc == 0:
        t.feedback_ssrc = next_random(s)
    return 0


cdef void set_keys(
    PlaneState* s, Transport* t, SrtpReceiver** receiver, SrtpSession* control
) noexcept nogil:
    cdef SrtpReceiver* old_receiver = t.receiver
    cdef SrtpSession old_control = t.control
    cdef Consumer* c = t.consumers
    t.receiver = receiver[0]
    t.control = control[0]
    receiver[0] = old_receiver
    control[0] = old_control
    t.send_keys = NULL
    t.stranger_count = 0
    while c != NULL:
        srtp_sender_close(&c.sender)
        srtp_sender_close(&c.rtx_sender)
        c.keyed = NULL
        c = c.next_of_transport


cdef bint open_some_senders(PlaneState* s, Transport* t, const SrtpKeys* send_keys) noexcept nogil:
    cdef Consumer* c = t.consumers
    cdef int opened = 0
    while c != NULL:
        if c.keyed != send_keys:
            if opened == OPENED_AT_ONCE:
                return True
            # A sender that is refused has no keys: its packets are counted as not protected, the others flow.
            _open_senders(c, send_keys)
            opened += 1
        c = c.next_of_transport
    t.send_keys = send_keys
    return False


cdef int _open_senders(Consumer* c, const SrtpKeys* send_keys) noexcept nogil:
    c.keyed = send_keys
    if srtp_sender_open(&c.sender, send_keys, c.stream.ssrc):
        return -1
    return srtp_sender_open(&c.rtx_sender, send_keys, c.stream.rtx_ssrc) if c.stream.rtx_ssrc else 0


cdef int admit(PlaneState* s, Transport* t, int socket, const Endpoint* address) noexcept nogil:
    cdef int owner = address_get(&s.addresses, socket, address)
    if owner == <int>t.slot:
        return 0
    if t.addresses >= MAX_ADDRESSES:
        return REFUSED_ADDRESSES
    if t.addresses == t.address_room and _more_addresses(t):
        return REFUSED_MEMORY
    if address_put(&s.addresses, socket, address, t.slot):
        return REFUSED_ADDRESSES
    if owner >= 0:
        _forget_address(_at(s, owner), socket, address)
    t.admitted[t.addresses].socket = socket
    t.admitted[t.addresses].address = address[0]
    t.addresses += 1
    return 0


cdef int _more_addresses(Transport* t) noexcept nogil:
    cdef uint32_t room = 2 * t.address_room if t.address_room else 2
    cdef void* grown = realloc(t.admitted, room * sizeof(Admitted))
    if grown == NULL:
        return -1
    t.admitted = <Admitted*>grown
    t.address_room = room
    return 0


cdef void _forget_address(Transport* t, int socket, const Endpoint* address) noexcept nogil:
    cdef uint32_t index
    for index in range(t.addresses):
        if t.admitted[index].socket == socket and same_endpoint(&t.admitted[index].address, address):
            t.addresses -= 1
            t.admitted[index] = t.admitted[t.addresses]
            return


cdef void dismiss(PlaneState* s, int socket, const Endpoint* address) noexcept nogil:
    cdef int owner = address_remove(&s.addresses, socket, address)
    if owner >= 0:
        _forget_address(_at(s, owner), socket, address)


cdef int admit_any(PlaneState* s, Transport* t, int socket, bint comedia) noexcept nogil:
    if s.any_sockets[socket] != -1 and s.any_sockets[socket] != <int>t.slot:
        return REFUSED_SOCKET
    if t.any_socket >= 0:
        s.any_sockets[t.any_socket] = -1
    s.any_sockets[socket] = t.slot
    t.any_socket = socket
    t.comedia = comedia
    t.learned = False
    return 0


cdef bint remove_some_consumers(PlaneState* s, Transport* t, Producer* p) noexcept nogil:
    cdef int count
    if p == NULL and t != NULL:
        p = t.producers
        while p != NULL and p.consumers == NULL:
            p = p.next
    for count in range(REMOVED_AT_ONCE):
        if p != NULL and p.consumers != NULL:
            remove_consumer(s, p.consumers)
        elif t != NULL and t.consumers != NULL:
            remove_consumer(s, t.consumers)
        else:
            return False
    return True


cdef void remove_transport(PlaneState* s, Transport* t) noexcept nogil:
    cdef uint32_t index
    while t.producers != NULL:
        remove_producer(s, t.producers)
    while t.consumers != NULL:
        remove_consumer(s, t.consumers)
    for index in range(t.addresses):
        address_remove(&s.addresses, t.admitted[index].socket, &t.admitted[index].address)
    t.addresses = 0
    estimate_close(s, t)
    if t.any_socket >= 0:
        s.any_sockets[t.any_socket] = -1
    pool_remove(&s.transports, t.slot)
    t.garbage = s.dead_transports
    s.dead_transports = t


# Producers.

cdef int _check_producer(PlaneState* s, Transport* t, Producer* p) noexcept nogil:
    cdef Producer* other = t.producers
    cdef Encoding* e
    cdef int index
    if s.stream_count + p.encoding_count > s.max_streams:
        return REFUSED_FULL
    for index in range(p.encoding_count):
        e = &p.encodings[index]
        if e.has_ssrc and _taken(s, t, RECEIVED, e.ssrc):
            return REFUSED_SSRC
        if e.has_rtx_ssrc and _taken(s, t, RECEIVED, e.rtx_ssrc):
            return REFUSED_SSRC
    while other != NULL:
        # A MID names one media section; two producers may share it only as different RIDs of it.
        if p.mid_size and other.mid_size == p.mid_size and memcmp(p.mid, other.mid, p.mid_size) == 0:
            if _same_rids(p, other):
                return REFUSED_MID
        other = other.next
    return 0


cdef bint _same_rids(Producer* a, Producer* b) noexcept nogil:
    """Whether a packet with their MID could belong to both."""
    cdef int i, k
    cdef Encoding* one
    cdef Encoding* two
    for i in range(a.encoding_count):
        for k in range(b.encoding_count):
            one = &a.encodings[i]
            two = &b.encodings[k]
            if one.rid_size == two.rid_size and memcmp(one.rid, two.rid, one.rid_size) == 0:
                return True
    return False


cdef int _bind_encoding(PlaneState* s, Transport* t, Encoding* e) noexcept nogil:
    if e.has_ssrc and word_put(&s.streams, stream_key(t.slot, RECEIVED, e.ssrc), &e.ref):
        return -1
    if e.has_rtx_ssrc and word_put(&s.streams, stream_key(t.slot, RECEIVED, e.rtx_ssrc), &e.rtx_ref):
        return -1
    return 0


cdef void _unbind_encodings(PlaneState* s, Transport* t, Producer* p) noexcept nogil:
    cdef Encoding* e
    cdef int index
    for index in range(p.encoding_count):
        e = &p.encodings[index]
        # An entry is removed only if it is this encoding's: a refused producer may name another's SSRC.
        if e.has_ssrc and find_stream(s, t, RECEIVED, e.ssrc) == &e.ref:
            word_remove(&s.streams, stream_key(t.slot, RECEIVED, e.ssrc))
        if e.has_rtx_ssrc and find_stream(s, t, RECEIVED, e.rtx_ssrc) == &e.rtx_ref:
            word_remove(&s.streams, stream_key(t.slot, RECEIVED, e.rtx_ssrc))
        if e.has_history:
            history_clear(&e.history)


cdef int prepare_producer(PlaneState* s, Producer* p) noexcept nogil:
    cdef Encoding* e
    cdef int index
    for index in range(p.encoding_count):
        e = &p.encodings[index]
        e.producer = p
        e.index = index
        e.signalled = e.has_ssrc
        e.ref.encoding = e
        e.rtx_ref.encoding = e
        e.rtx_ref.rtx = True
        # What a mirror's viewers miss is asked of the plane that receives it.
        if recv_stream_init(&e.stream, e.ssrc, p.codecs[0].clock_rate, p.codecs[0].nack and not p.is_mirror):
            return -1
        if (p.video or p.codecs[0].nack) and not p.is_mirror:
            if history_init(&e.history, &s.slab, HISTORY_PACKETS, <int64_t>HISTORY_AGE_MS * MS):
                return -1
            e.has_history = True
    return 0


cdef int _place_producer(PlaneState* s, Transport* t, Producer* p) noexcept nogil:
    cdef int slot = pool_add(&s.producers, p)
    if slot < 0:
        return REFUSED_FULL
    p.slot = slot
    p.generation = s.producers.generations[slot]
    p.transport = t
    p.pending_first = p.pending_last = -1
    p.next = t.producers
    if t.producers != NULL:
        t.producers.previous = p
    t.producers = p
    s.stream_count += p.encoding_count
    return 0


cdef int add_mirror(PlaneState* s, Producer* p) noexcept nogil:
    cdef Producer* other = s.link_transport.producers
    if s.stream_count + p.encoding_count > s.max_streams:
        return REFUSED_FULL
    while other != NULL:
        if (
            other.origin_plane == p.origin_plane and other.origin_slot == p.origin_slot
            and other.origin_generation == p.origin_generation
        ):
            return REFUSED_MIRRORED
        other = other.next
    return _place_producer(s, &s.link_transport, p)


cdef int add_producer(PlaneState* s, Transport* t, Producer* p) noexcept nogil:
    cdef int refusal = _check_producer(s, t, p)
    cdef int index
    if refusal:
        return refusal
    if p.extension_ids[<int>EXT_TRANSPORT_CC] and twcc_open(&t.twcc):
        return REFUSED_MEMORY
    for index in range(p.encoding_count):
        if _bind_encoding(s, t, &p.encodings[index]):
            refusal = REFUSED_FULL
    if refusal == 0:
        refusal = _place_producer(s, t, p)
    if refusal:
        _unbind_encodings(s, t, p)
        return refusal
    if slab_wants_growth(&s.slab):
        slab_grow(&s.slab)
    return 0


cdef void _forget_pending(PlaneState* s, Producer* p) noexcept nogil:
    cdef int index
    for index in range(s.pending_count):
        if s.pending[index].encoding != NULL and s.pending[index].encoding.producer == p:
            s.pending[index].encoding = NULL
    for index in range(s.dirty_count):
        if s.dirty[index] == p:
            s.dirty[index] = NULL
            if index == s.fan_index:
                s.fan_first = -1
                s.fan_consumer = NULL


cdef void remove_producer(PlaneState* s, Producer* p) noexcept nogil:
    cdef Transport* t = p.transport
    while p.consumers != NULL:
        remove_consumer(s, p.consumers)
    _forget_pending(s, p)
    _unbind_encodings(s, t, p)
    s.stream_count -= p.encoding_count
    pool_remove(&s.producers, p.slot)
    if p.previous != NULL:
        p.previous.next = p.next
    else:
        t.producers = p.next
    if p.next != NULL:
        p.next.previous = p.previous
    p.garbage = s.dead_producers
    s.dead_producers = p


cdef void _begin_anew(Producer* p) noexcept nogil:
    """Every consumer joins again, at the next packet where a viewer can."""
    cdef Consumer* c = p.consumers
    while c != NULL:
        (<Selector>c.selector).reset()
        c = c.next_of_producer


cdef int learn_ssrc(PlaneState* s, Transport* t, Encoding* e, uint32_t ssrc, bint rtx, int64_t now) noexcept nogil:
    cdef uint64_t key = stream_key(t.slot, RECEIVED, ssrc)
    if t.learned_count >= MAX_LEARNED:
        return REFUSED_FULL
    if rtx:
        if e.has_rtx_ssrc:
            word_remove(&s.streams, stream_key(t.slot, RECEIVED, e.rtx_ssrc))
            e.has_rtx_ssrc = False
        if word_put(&s.streams, key, &e.rtx_ref):
            return REFUSED_FULL
        e.rtx_ssrc = ssrc
        e.has_rtx_ssrc = True
    else:
        if e.has_ssrc:
            # The sender began anew under another SSRC: other numbering, so nothing kept is of use.
            word_remove(&s.streams, stream_key(t.slot, RECEIVED, e.ssrc))
            e.has_ssrc = False
            recv_stream_free(&e.stream)
            if recv_stream_init(&e.stream, ssrc, e.producer.codecs[0].clock_rate, e.producer.codecs[0].nack):
                return REFUSED_MEMORY
            if e.has_history:
                history_clear(&e.history)
            _begin_anew(e.producer)
            link_begin_anew(s, e.producer, now)
        if word_put(&s.streams, key, &e.ref):
            return REFUSED_FULL
        e.ssrc = ssrc
        e.stream.ssrc = ssrc
        e.has_ssrc = True
    t.learned_count += 1
    return 0


# Consumers.

cdef int _check_consumer(PlaneState* s, Transport* t, Consumer* c) noexcept nogil:
    cdef uint32_t ssrc = c.stream.ssrc
    cdef uint32_t rtx = c.stream.rtx_ssrc
    if s.stream_count + 1 > s.max_streams:
        return REFUSED_FULL
    if _taken(s, t, SENT, ssrc) or ssrc == t.feedback_ssrc:
        return REFUSED_SSRC
    if rtx and (_taken(s, t, SENT, rtx) or rtx == t.feedback_ssrc or rtx == ssrc):
        return REFUSED_SSRC
    return 0


cdef void _unbind_consumer(PlaneState* s, Transport* t, Consumer* c) noexcept nogil:
    word_remove(&s.streams, stream_key(t.slot, SENT, c.stream.ssrc))
    if c.stream.rtx_ssrc:
        word_remove(&s.streams, stream_key(t.slot, SENT, c.stream.rtx_ssrc))


cdef int add_consumer(PlaneState* s, Transport* t, Producer* p, Consumer* c) noexcept nogil:
    cdef int refusal = _check_consumer(s, t, c)
    cdef int slot
    if refusal:
        return refusal
    c.ref.consumer = c
    c.rtx_ref.consumer = c
    c.rtx_ref.rtx = True
    if word_put(&s.streams, stream_key(t.slot, SENT, c.stream.ssrc), &c.ref):
        return REFUSED_FULL
    if c.stream.rtx_ssrc and word_put(&s.streams, stream_key(t.slot, SENT, c.stream.rtx_ssrc), &c.rtx_ref):
        refusal = REFUSED_FULL
    if t.srtp and t.send_keys != NULL and refusal == 0 and _open_senders(c, t.send_keys):
        refusal = REFUSED_SRTP
    slot = pool_add(&s.consumers, c) if refusal == 0 else -1
    if slot < 0:
        _unbind_consumer(s, t, c)
        return refusal if refusal else REFUSED_FULL
    c.slot = slot
    c.transport = t
    c.producer = p
    c.next_of_producer = p.consumers
    if p.consumers != NULL:
        p.consumers.previous_of_producer = c
    p.consumers = c
    c.next_of_transport = t.consumers
    if t.consumers != NULL:
        t.consumers.previous_of_transport = c
    t.consumers = c
    s.stream_count += 1
    return 0


cdef void remove_consumer(PlaneState* s, Consumer* c) noexcept nogil:
    cdef Transport* t = c.transport
    if s.fan_consumer == c:
        s.fan_consumer = c.next_of_producer
    pacer_forget(s, t, c)
    _unbind_consumer(s, t, c)
    if c.previous_of_producer != NULL:
        c.previous_of_producer.next_of_producer = c.next_of_producer
    else:
        c.producer.consumers = c.next_of_producer
    if c.next_of_producer != NULL:
        c.next_of_producer.previous_of_producer = c.previous_of_producer
    if c.previous_of_transport != NULL:
        c.previous_of_transport.next_of_transport = c.next_of_transport
    else:
        t.consumers = c.next_of_transport
    if c.next_of_transport != NULL:
        c.next_of_transport.previous_of_transport = c.previous_of_transport
    s.stream_count -= 1
    pool_remove(&s.consumers, c.slot)
    c.garbage = s.dead_consumers
    s.dead_consumers = c
