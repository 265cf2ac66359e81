"""The only class of the plane that Python uses. Its documented face is plane.pyi.

Every method is the same three steps: check and convert with the GIL, work under the plane's mutex without it, make the
result with it again. The mutex is never held while waiting for the GIL, so a busy Python can't hold up a lane.
(This file has over 400 lines because it is the whole face; each method is a few lines.)
"""

from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from libc.stdint cimport int8_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from rtpfwd import selector as _selector
from rtpfwd.convert cimport (
    address_of,
    consumer_from,
    endpoint_from,
    free_consumer,
    free_producer,
    free_transport,
    producer_from,
    routine_from,
)
from rtpfwd.congestion.controller cimport CAUSE_COUNT, CongestionConfig, PacketResult, congestion_watch
from rtpfwd.estimate cimport (
    Figures,
    estimate_figures,
    estimate_has_decided,
    estimate_open,
    estimate_override,
    estimate_taken,
    estimate_wanted,
)
from rtpfwd.events import (
    AudioLevel,
    CongestionFigures,
    EstimateChanged,
    FeedbackReceived,
    KeyframeAsked,
    LayerRate,
    LayersChanged,
    RemoteLearned,
    StreamStarted,
)
from rtpfwd.fanout cimport fan_out
from rtpfwd.ingress cimport plane_receive
from rtpfwd.header cimport header_plan_set_playout_delay
from rtpfwd.keyframes cimport request_keyframe_for
from rtpfwd.layer_rates cimport RATED_SPATIAL, RATED_TEMPORAL, LayerFigures, layer_rates_read
from rtpfwd.link cimport link_begin_anew, link_detach, link_facts, link_join, link_leave, link_reclaim
from rtpfwd.names import DROP_REASONS
from rtpfwd.objects cimport *
from rtpfwd.output cimport fifo_pop, handoff_pop, queue_front
from rtpfwd.pacer cimport FeedbackCopy, Pacer, pacer_displace, pacer_forget
from rtpfwd.rate cimport rate_bps
from rtpfwd.rings cimport MAX_LINKED
from rtpfwd.recv_stream cimport recv_stream_jitter, recv_stream_lost
from rtpfwd.selector cimport Selector
from rtpfwd import selectors as _selectors  # registers those that come with the plane
from rtpfwd.srtp cimport (
    SrtpPolicy,
    SrtpReceiver,
    SrtpSession,
    srtp_close,
    srtp_open,
    srtp_receiver_close,
    srtp_receiver_open,
)
from rtpfwd.state cimport *
from rtpfwd.stun cimport RoutineCheck, routine_check_free
from rtpfwd.sys_linux cimport getentropy
from rtpfwd.tables cimport Endpoint, Pool, pool_get, same_endpoint
from rtpfwd.ticks cimport plane_collect, plane_next_timeout, plane_take_links, plane_timeout
from rtpfwd.twcc cimport twcc_init
from rtpfwd.types cimport DROP_REASON_COUNT, DROP_TRANSMIT_FULL, MAX_SPATIAL

cdef enum:
    KIND_TRANSPORT = 1
    KIND_PRODUCER = 2
    KIND_CONSUMER = 3
    LEVELS_AT_ONCE = 256    # producer slots looked at under one lock by audio_levels
    INGEST_BATCH = 64       # datagrams between two turns of stage 2
    SET_ESTIMATE = 1        # of Plane._set
    SET_WANTED = 2
    SET_WATCH = 3
    SET_RECEIVE_LIMIT = 4
    REFUSED_GONE = -100     # of _copy_facts
    REFUSED_MIRROR = -101

MAX_BPS = 1 << 40

# By CongestionCause.
_CAUSES = ("start", "hold", "increase", "overuse", "loss", "probe", "remb", "silence", "set")
assert len(_CAUSES) == CAUSE_COUNT

_KINDS = {KIND_TRANSPORT: "transport", KIND_PRODUCER: "producer", KIND_CONSUMER: "consumer"}

_REFUSALS = {
    REFUSED_FULL: (RuntimeError, "this plane is full (max_transports or max_streams)"),
    REFUSED_SSRC: (ValueError, "an SSRC is taken on this transport"),
    REFUSED_MID: (ValueError, "the MID, or the MID with a RID, is taken on this transport"),
    REFUSED_MEMORY: (MemoryError, "no memory for a stream"),
    REFUSED_SRTP: (ValueError, "libsrtp refused the keys"),
    REFUSED_ADDRESSES: (RuntimeError, f"a transport admits at most {MAX_ADDRESSES} addresses, and the plane a bounded sum"),
    REFUSED_MIRRORED: (ValueError, "this plane mirrors that producer already"),
    REFUSED_SOCKET: (ValueError, "another transport takes every datagram of this socket"),
}


cdef struct Datagram:       # one of ingest's
    int socket
    int size
    Endpoint source
    const uint8_t* data


# A handle: generation, kind and slot in one positive 64-bit integer.

cdef uint64_t _handle(int kind, uint32_t slot, uint32_t generation) noexcept nogil:
    return (<uint64_t>generation << 34) | (<uint64_t>kind << 32) | slot


cdef uint64_t _number(object handle, int kind) except 0:
    """A handle that is of this kind at least."""
    if not isinstance(handle, int) or not 0 < handle < 1 << 62 or (handle >> 32 & 3) != kind:
        raise KeyError(f"no {_KINDS[kind]} has the handle {handle!r}")
    return handle


cdef void* _at(const Pool* pool, uint64_t handle) noexcept nogil:
    return pool_get(pool, <uint32_t>(handle & 0xffffffffULL), <uint32_t>(handle >> 34))


cdef int _check(bint found, int refusal, object handle, int kind) except -1:
    if not found:
        raise KeyError(f"no {_KINDS[kind]} has the handle {handle!r} any more")
    if refusal:
        error, text = _REFUSALS[refusal]
        raise error(text)
    return 0


cdef int _socket(object socket) except -1:
    if not isinstance(socket, int) or not 0 <= socket < 1 << 20:
        raise ValueError(f"a socket id is a small number, not {socket!r}")
    return socket


cdef int _layer(object number, str kind) except -2:
    if not isinstance(number, int) or not -1 <= number < MAX_SPATIAL:
        raise ValueError(f"a {kind} layer is 0 to {MAX_SPATIAL - 1}, or -1 for the best there is, not {number!r}")
    return number


cdef int64_t _time(object now) except -1:
    if not isinstance(now, int) or not 0 <= now < 1 << 62:
        raise ValueError(f"now is monotonic nanoseconds, not {now!r}")
    return now


def link_planes(planes):
    """See plane.pyi."""
    cdef PlaneState* states[MAX_LINKED]
    cdef Plane plane
    cdef int index
    cdef int count = len(planes)
    cdef int refused = 0
    if not 1 <= count <= MAX_LINKED or len({id(plane) for plane in planes}) != count:
        raise ValueError(f"link_planes joins 1 to {MAX_LINKED} different planes")
    for index in range(count):
        plane = planes[index]
        if plane.state.group != NULL:
            raise ValueError("a plane is linked once")
        if plane.state.pending_count:
            raise ValueError("planes are linked before a lane runs any of them")
        states[index] = plane.state
    with nogil:
        refused = link_join(states, count)
    if refused:
        raise MemoryError("no memory for the rings between planes")


cdef class Plane:
    def __cinit__(self, *, max_transports=4096, max_streams=65536, seed=None):
        cdef uint64_t number = 0
        if not 1 <= max_transports <= 1 << 16 or not 1 <= max_streams <= 1 << 20:
            raise ValueError("max_transports is 1 to 65536 and max_streams 1 to 1048576")
        if seed is not None:
            number = seed & ((1 << 64) - 1)
        elif getentropy(&number, sizeof(number)):
            raise OSError("the kernel gave no random bytes")
        self.state = plane_open(max_transports, max_streams, number)
        if self.state == NULL:
            raise MemoryError("no memory for the plane's tables and buffers")
        self._producers = {}

    def __dealloc__(self):
        cdef uint32_t slot
        if self.state == NULL:
            return
        for slot in range(self.state.transports.top):
            if self.state.transports.items[slot] != NULL:
                remove_transport(self.state, <Transport*>self.state.transports.items[slot])
        while self.state.link_transport.producers != NULL:
            remove_producer(self.state, self.state.link_transport.producers)
        link_leave(self.state)
        _free_dead(self.state, None)
        plane_close(self.state)

    cdef int reap(self) except -1:
        """Free what the last command removed."""
        _free_dead(self.state, self._producers)
        return 0

    # Transports.

    def add_transport(self, *, bint srtp):
        cdef Transport* t = <Transport*>calloc(1, sizeof(Transport))
        cdef int refusal
        cdef uint64_t handle = 0
        if t == NULL:
            raise MemoryError
        t.srtp = srtp
        twcc_init(&t.twcc)
        with nogil:
            plane_lock(self.state)
            refusal = add_transport(self.state, t)
            if refusal == 0:
                handle = _handle(KIND_TRANSPORT, t.slot, self.state.transports.generations[t.slot])
            plane_unlock(self.state)
        if refusal:
            free(t)
            _check(True, refusal, None, KIND_TRANSPORT)
        return handle

    def set_keys(self, transport, profile, send_key, recv_key):
        cdef uint64_t handle = _number(transport, KIND_TRANSPORT)
        cdef SrtpPolicy send = SrtpPolicy(profile, send_key, inbound=False)
        cdef SrtpPolicy receive = SrtpPolicy(profile, recv_key, inbound=True)
        cdef SrtpReceiver* receiver
        cdef SrtpSession control
        cdef PyObject* old = NULL
        cdef Transport* t
        cdef bint taken = False
        cdef bint plain = False
        cdef bint more = True
        policies = (send, receive)
        Py_INCREF(policies)     # the transport's, if it takes them
        with nogil:
            # Opened before the lock and closed after it: that is the slow part.
            receiver = srtp_receiver_open(&receive.keys)
            control = srtp_open(&send.keys)
            if receiver != NULL and control != NULL:
                plane_lock(self.state)
                t = <Transport*>_at(&self.state.transports, handle)
                plain = t != NULL and not t.srtp
                if t != NULL and not plain:
                    set_keys(self.state, t, &receiver, &control)
                    old = t.policy_owner
                    t.policy_owner = <PyObject*>policies
                    taken = True
                plane_unlock(self.state)
                while taken and more:
                    plane_lock(self.state)
                    t = <Transport*>_at(&self.state.transports, handle)
                    # Not if it was removed meanwhile, or got newer keys still.
                    more = t != NULL and t.policy_owner == <PyObject*>policies and open_some_senders(
                        self.state, t, &send.keys)
                    plane_unlock(self.state)
            srtp_receiver_close(receiver)
            srtp_close(control)
        if taken:
            Py_XDECREF(old)
            return
        Py_XDECREF(<PyObject*>policies)
        if plain:
            raise ValueError("this transport was added with srtp=False; it takes no keys")
        elif receiver == NULL or control == NULL:
            raise ValueError("libsrtp refused the keys")
        else:
            _check(False, 0, transport, KIND_TRANSPORT)

    def admit(self, transport, socket, address):
        cdef uint64_t handle = _number(transport, KIND_TRANSPORT)
        cdef int number = _socket(socket)
        cdef Endpoint endpoint
        cdef Transport* t
        cdef int refusal = 0
        endpoint_from(address, &endpoint)
        with nogil:
            plane_lock(self.state)
            t = <Transport*>_at(&self.state.transports, handle)
            if t != NULL:
                refusal = admit(self.state, t, number, &endpoint)
            plane_unlock(self.state)
        _check(t != NULL, refusal, transport, KIND_TRANSPORT)

    def dismiss(self, socket, address):
        cdef int number = _socket(socket)
        cdef Endpoint endpoint
        endpoint_from(address, &endpoint)
        with nogil:
            plane_lock(self.state)
            dismiss(self.state, number, &endpoint)
            plane_unlock(self.state)

    def admit_any(self, transport, socket, *, bint comedia):
        cdef uint64_t handle = _number(transport, KIND_TRANSPORT)
        cdef int number = _socket(socket)
        cdef Transport* t
        cdef int refusal = 0
        if number >= ANY_SOCKETS:
            raise ValueError(f"admit_any takes socket ids below {ANY_SOCKETS}")
        with nogil:
            plane_lock(self.state)
            t = <Transport*>_at(&self.state.transports, handle)
            if t != NULL:
                refusal = admit_any(self.state, t, number, comedia)
            plane_unlock(self.state)
        _check(t != NULL, refusal, transport, KIND_TRANSPORT)

    def set_remote(self, transport, socket, address):
        cdef uint64_t handle = _number(transport, KIND_TRANSPORT)
        cdef int number = _socket(socket)
        cdef bint known = address is not None
        cdef Endpoint endpoint
        cdef RoutineCheck* old = NULL
        cdef Transport* t
        if known:
            endpoint_from(address, &endpoint)
        with nogil:
            plane_lock(self.state)
            t = <Transport*>_at(&self.state.transports, handle)
            if t != NULL:
                if not (known and t.has_remote and t.remote_socket == number and same_endpoint(&t.remote, &endpoint)):
                    old = t.routine
                    t.routine = NULL
                t.has_remote = known
                if known:
                    t.remote = endpoint
                    t.remote_socket = number
            plane_unlock(self.state)
            routine_check_free(old)
        _check(t != NULL, 0, transport, KIND_TRANSPORT)

    def set_ice(self, transport, check):
        cdef uint64_t handle = _number(transport, KIND_TRANSPORT)
        cdef RoutineCheck* routine = routine_from(check) if check is not None else NULL
        cdef RoutineCheck* old
        cdef Transport* t
        with nogil:
            plane_lock(self.state)
            t = <Transport*>_at(&self.state.transports, handle)
            old = routine
            if t != NULL:
                old = t.routine
                t.routine = routine
            plane_unlock(self.state)
            routine_check_free(old)
        _check(t != NULL, 0, transport, KIND_TRANSPORT)

    def consent(self, transport):
        cdef uint64_t handle = _number(transport, KIND_TRANSPORT)
        cdef int64_t answered = 0
        cdef int64_t nominated = 0
        cdef Transport* t
        with nogil:
            plane_lock(self.state)
            t = <Transport*>_at(&self.state.transports, handle)
            if t != NULL and t.routine != NULL:
                answered = t.routine.answered_at
                nominated = t.routine.nominated_at
            plane_unlock(self.state)
        _check(t != NULL, 0, transport, KIND_TRANSPORT)
        return answered, nominated

    def remove_transport(self, transport):
        cdef uint64_t handle = _number(transport, KIND_TRANSPORT)
        cdef Transport* t
        cdef bint more = True
        with nogil:
            while more:
                plane_lock(self.state)
                t = <Transport*>_at(&self.state.transports, handle)
                more = t != NULL and remove_some_consumers(self.state, t, NULL)
                if t != NULL and not more:
                    remove_transport(self.state, t)
                plane_unlock(self.state)
        self.reap()
        _check(t != NULL, 0, transport, KIND_TRANSPORT)

    # Producers.

    def add_producer(self, transport, params):
        cdef uint64_t handle = _number(transport, KIND_TRANSPORT)
        cdef Producer* p = producer_from(params)
        cdef Transport* t
        cdef int refusal = 0
        cdef uint64_t made = 0
        if prepare_producer(self.state, p):
            free_producer(p)
            raise MemoryError
        with nogil:
            plane_lock(self.state)
            t = <Transport*>_at(&self.state.transports, handle)
            if t != NULL:
                refusal = add_producer(self.state, t, p)
                if refusal == 0:
                    made = _handle(KIND_PRODUCER, p.slot, p.generation)
            plane_unlock(self.state)
        if made == 0:
            free_producer(p)
        _check(t != NULL, refusal, transport, KIND_TRANSPORT)
        self._producers[made] = params
        return made

    def mirror_producer(self, Plane origin not None, producer, now):
        cdef uint64_t source = _number(producer, KIND_PRODUCER)
        cdef int64_t at = _time(now)
        cdef uint64_t made = 0
        cdef Producer* p
        cdef Mirror* mirror
        cdef int refusal = 0
        cdef bint found = True
        if origin is self or self.state.group == NULL or self.state.group != origin.state.group:
            raise ValueError("a plane mirrors the producers of another one that it was linked with (link_planes)")
        params = origin._producers.get(source)
        if params is None:
            raise KeyError(f"no producer has the handle {producer!r} any more")
        p = producer_from(params)
        p.paused = False
        p.is_mirror = True
        p.origin_plane = origin.state.link_index
        p.origin_slot = <uint32_t>(source & 0xffffffffULL)
        p.origin_generation = <uint32_t>(source >> 34)
        mirror = <Mirror*>calloc(1, sizeof(Mirror))
        if mirror == NULL or prepare_producer(self.state, p):
            free(mirror)
            free_producer(p)
            raise MemoryError
        with nogil:
            # One plane's mutex after the other's: what changes in between comes through the ring.
            refusal = _copy_facts(origin.state, p)
            if refusal == 0:
                plane_lock(self.state)
                refusal = add_mirror(self.state, p)
                if refusal == 0:
                    made = _handle(KIND_PRODUCER, p.slot, p.generation)
                    mirror.plane = self.state.link_index
                    mirror.slot = p.slot
                    mirror.generation = p.generation
                plane_unlock(self.state)
            else:
                found = refusal != REFUSED_GONE
            if made:
                found = _attach(origin.state, source, mirror, at)
                if not found:
                    plane_lock(self.state)
                    p = <Producer*>_at(&self.state.producers, made)
                    if p != NULL:
                        remove_producer(self.state, p)
                    plane_unlock(self.state)
        if made == 0:
            free_producer(p)
        if made == 0 or not found:
            free(mirror)
        self.reap()
        if found and refusal == REFUSED_MIRROR:
            raise ValueError("that producer is a mirror itself; mirror its original")
        _check(found, refusal, producer, KIND_PRODUCER)
        self._producers[made] = params
        return made

    def pause_producer(self, producer):
        cdef uint64_t handle = _number(producer, KIND_PRODUCER)
        cdef Producer* p
        with nogil:
            plane_lock(self.state)
            p = <Producer*>_at(&self.state.producers, handle)
            if p != NULL:
                p.paused = True
            plane_unlock(self.state)
        _check(p != NULL, 0, producer, KIND_PRODUCER)

    def resume_producer(self, producer, now):
        cdef uint64_t handle = _number(producer, KIND_PRODUCER)
        cdef int64_t at = _time(now)
        cdef Producer* p
        with nogil:
            plane_lock(self.state)
            p = <Producer*>_at(&self.state.producers, handle)
            if p != NULL and p.paused:
                _resume_producer(self.state, p, at)
            plane_unlock(self.state)
        _check(p != NULL, 0, producer, KIND_PRODUCER)

    def remove_producer(self, producer):
        cdef uint64_t handle = _number(producer, KIND_PRODUCER)
        cdef Producer* p
        cdef bint more = True
        cdef bint mirror = False
        cdef uint32_t plane = 0
        cdef uint32_t slot = 0
        cdef uint32_t generation = 0
        with nogil:
            while more:
                plane_lock(self.state)
                p = <Producer*>_at(&self.state.producers, handle)
                more = p != NULL and remove_some_consumers(self.state, NULL, p)
                if p != NULL and not more:
                    mirror = p.is_mirror
                    plane, slot, generation = p.origin_plane, p.origin_slot, p.origin_generation
                    remove_producer(self.state, p)
                plane_unlock(self.state)
            if mirror:
                link_detach(
                    self.state, plane, slot, generation, <uint32_t>(handle & 0xffffffffULL), <uint32_t>(handle >> 34))
        self.reap()
        _check(p != NULL, 0, producer, KIND_PRODUCER)

    # Consumers.

    def add_consumer(self, transport, producer, params, now):
        cdef uint64_t handle = _number(transport, KIND_TRANSPORT)
        cdef uint64_t source = _number(producer, KIND_PRODUCER)
        cdef int64_t at = _time(now)
        cdef uint64_t made = 0
        cdef uint32_t first
        cdef int refusal = 0
        cdef Transport* t
        cdef Producer* p
        cdef Consumer* c
        source_params = self._producers.get(source)
        if source_params is None:
            raise KeyError(f"no producer has the handle {producer!r} any more")
        chosen = _selector.create(params.selector, video=source_params.kind == "video")
        with nogil:
            plane_lock(self.state)
            first = next_random(self.state)
            plane_unlock(self.state)
        c = consumer_from(params, <Selector?>chosen, source_params, first)
        with nogil:
            plane_lock(self.state)
            t = <Transport*>_at(&self.state.transports, handle)
            p = <Producer*>_at(&self.state.producers, source)
            if t != NULL and p != NULL:
                refusal = add_consumer(self.state, t, p, c)
                if refusal == 0:
                    made = _handle(KIND_CONSUMER, c.slot, self.state.consumers.generations[c.slot])
                    if not c.paused:
                        request_keyframe_for(self.state, c, at)
            plane_unlock(self.state)
        if made == 0:
            free_consumer(c)
        _check(t != NULL, 0, transport, KIND_TRANSPORT)
        _check(p != NULL, refusal, producer, KIND_PRODUCER)
        return made

    def pause_consumer(self, consumer):
        cdef uint64_t handle = _number(consumer, KIND_CONSUMER)
        cdef Consumer* c
        with nogil:
            plane_lock(self.state)
            c = <Consumer*>_at(&self.state.consumers, handle)
            if c != NULL:
                c.paused = True
                pacer_forget(self.state, c.transport, c)
            plane_unlock(self.state)
        _check(c != NULL, 0, consumer, KIND_CONSUMER)

    def resume_consumer(self, consumer, now):
        cdef uint64_t handle = _number(consumer, KIND_CONSUMER)
        cdef int64_t at = _time(now)
        cdef Consumer* c
        with nogil:
            plane_lock(self.state)
            c = <Consumer*>_at(&self.state.consumers, handle)
            if c != NULL and c.paused:
                c.paused = False
                (<Selector>c.selector).reset()
                request_keyframe_for(self.state, c, at)
            plane_unlock(self.state)
        _check(c != NULL, 0, consumer, KIND_CONSUMER)

    def request_keyframe(self, consumer, now):
        cdef uint64_t handle = _number(consumer, KIND_CONSUMER)
        cdef int64_t at = _time(now)
        cdef Consumer* c
        with nogil:
            plane_lock(self.state)
            c = <Consumer*>_at(&self.state.consumers, handle)
            if c != NULL:
                request_keyframe_for(self.state, c, at)
            plane_unlock(self.state)
        _check(c != NULL, 0, consumer, KIND_CONSUMER)

    def remove_consumer(self, consumer):
        cdef uint64_t handle = _number(consumer, KIND_CONSUMER)
        cdef Consumer* c
        with nogil:
            plane_lock(self.state)
            c = <Consumer*>_at(&self.state.consumers, handle)
            if c != NULL:
                remove_consumer(self.state, c)
            plane_unlock(self.state)
        self.reap()
        _check(c != NULL, 0, consumer, KIND_CONSUMER)

    # Layers.

    def set_target(self, consumer, spatial, temporal, now):
        cdef uint64_t handle = _number(consumer, KIND_CONSUMER)
        cdef int64_t at = _time(now)
        cdef int8_t to_spatial = _layer(spatial, "spatial")
        cdef int8_t to_temporal = _layer(temporal, "temporal")
        cdef bint lowers
        cdef Consumer* c
        with nogil:
            plane_lock(self.state)
            c = <Consumer*>_at(&self.state.consumers, handle)
            if c != NULL:
                lowers = 0 <= to_spatial < (<Selector>c.selector).current.spatial
                (<Selector>c.selector).target.spatial = to_spatial
                (<Selector>c.selector).target.temporal = to_temporal
                estimate_has_decided(c.transport, at)
                if not c.paused and c.producer.video and (<Selector>c.selector).wants_keyframe():
                    if lowers and c.transport.pacer != NULL and pacer_displace(self.state, c.transport, c, at):
                        (<Selector>c.selector).reset()
                    request_keyframe_for(self.state, c, at)
            plane_unlock(self.state)
        _check(c != NULL, 0, consumer, KIND_CONSUMER)

    def set_playout_delay(self, consumer, int least_ms):
        cdef uint64_t handle = _number(consumer, KIND_CONSUMER)
        cdef Consumer* c
        if least_ms < 0:
            raise ValueError(f"a playout delay of {least_ms} ms: 0 or more")
        with nogil:
            plane_lock(self.state)
            c = <Consumer*>_at(&self.state.consumers, handle)
            if c != NULL:
                header_plan_set_playout_delay(&c.plan, (least_ms + 9) // 10)
            plane_unlock(self.state)
        _check(c != NULL, 0, consumer, KIND_CONSUMER)

    def set_forwarding(self, consumer, *, bint on):
        cdef uint64_t handle = _number(consumer, KIND_CONSUMER)
        cdef Consumer* c
        with nogil:
            plane_lock(self.state)
            c = <Consumer*>_at(&self.state.consumers, handle)
            if c != NULL:
                (<Selector>c.selector).held = not on
            plane_unlock(self.state)
        _check(c != NULL, 0, consumer, KIND_CONSUMER)

    def layer_rates(self, producer):
        cdef uint64_t handle = _number(producer, KIND_PRODUCER)
        cdef LayerFigures figures[MAX_ENCODINGS][RATED_SPATIAL][RATED_TEMPORAL]
        cdef bint heard[MAX_ENCODINGS][RATED_SPATIAL][RATED_TEMPORAL]
        cdef Encoding* e
        cdef Producer* p
        cdef int count = 0
        cdef int index, spatial, temporal
        with nogil:
            plane_lock(self.state)
            p = <Producer*>_at(&self.state.producers, handle)
            if p != NULL:
                count = p.encoding_count
                for index in range(count):
                    e = &p.encodings[index]
                    for spatial in range(RATED_SPATIAL):
                        for temporal in range(RATED_TEMPORAL):
                            heard[index][spatial][temporal] = layer_rates_read(
                                &e.layers, spatial, temporal, self.state.now, &figures[index][spatial][temporal])
            plane_unlock(self.state)
        _check(p != NULL, 0, producer, KIND_PRODUCER)
        found = {}
        for index in range(count):
            for spatial in range(RATED_SPATIAL):
                for temporal in range(RATED_TEMPORAL):
                    if heard[index][spatial][temporal]:
                        layer = (index if count > 1 else spatial, temporal)
                        bps, frames = found.get(layer, (0, 0.0))
                        found[layer] = (
                            bps + figures[index][spatial][temporal].bps,
                            # Of an encoding that has spatial layers besides, each of them has every frame.
                            max(frames, figures[index][spatial][temporal].frames_per_second),
                        )
        return [LayerRate(*layer, *found[layer]) for layer in sorted(found)]

    def audio_levels(self):
        cdef uint32_t slots[LEVELS_AT_ONCE]
        cdef uint32_t generations[LEVELS_AT_ONCE]
        cdef int levels[LEVELS_AT_ONCE]
        cdef bint voices[LEVELS_AT_ONCE]
        cdef uint32_t slot = 0
        cdef uint32_t top = 0
        cdef uint32_t end
        cdef Producer* p
        cdef int count, index
        found = []
        while True:
            count = 0
            with nogil:
                plane_lock(self.state)
                top = self.state.producers.top
                end = min(slot + LEVELS_AT_ONCE, top)
                while slot < end:
                    p = <Producer*>self.state.producers.items[slot]
                    if p != NULL and p.loudest >= 0:
                        slots[count] = slot
                        generations[count] = p.generation
                        levels[count] = p.loudest
                        voices[count] = p.voice
                        count += 1
                        p.loudest = -1
                        p.voice = False
                    slot += 1
                plane_unlock(self.state)
            for index in range(count):
                handle = _handle(KIND_PRODUCER, slots[index], generations[index])
                found.append(AudioLevel(handle, levels[index], bool(voices[index])))
            if slot >= top:
                return found

    # Congestion control of what a transport sends.

    def control_congestion(self, transport, params, now):
        cdef uint64_t handle = _number(transport, KIND_TRANSPORT)
        cdef int64_t at = _time(now)
        cdef CongestionConfig config
        cdef bint external = params.controller == "external"
        cdef int failed = 0
        cdef Transport* t
        if not external and params.controller != "gcc":
            raise ValueError(f"a controller is gcc or external, not {params.controller!r}")
        if not 0 < params.min_bps <= params.start_bps <= params.max_bps <= MAX_BPS:
            raise ValueError(f"0 < min_bps <= start_bps <= max_bps <= {MAX_BPS} must hold of {params!r}")
        config.min_bps = params.min_bps
        config.max_bps = params.max_bps
        config.start_bps = params.start_bps
        with nogil:
            plane_lock(self.state)
            t = <Transport*>_at(&self.state.transports, handle)
            if t != NULL:
                failed = estimate_open(self.state, t, &config, external, at)
            plane_unlock(self.state)
        _check(t != NULL, REFUSED_MEMORY if failed else 0, transport, KIND_TRANSPORT)

    def set_estimate(self, transport, bps, now):
        cdef int64_t number = -1 if bps is None else _rate(bps)
        _set(self.state, transport, SET_ESTIMATE, number, now)

    def set_wanted(self, transport, bps, now):
        _set(self.state, transport, SET_WANTED, _rate(bps), now)

    def watch_feedback(self, transport, *, bint on):
        _set(self.state, transport, SET_WATCH, on, 0)

    def set_receive_limit(self, transport, bps, now):
        cdef int64_t number = -1 if bps is None else _rate(bps)
        _set(self.state, transport, SET_RECEIVE_LIMIT, number, now)

    def congestion(self, transport):
        cdef uint64_t handle = _number(transport, KIND_TRANSPORT)
        cdef bint controlled = False
        cdef Figures figures
        cdef Transport* t
        with nogil:
            plane_lock(self.state)
            t = <Transport*>_at(&self.state.transports, handle)
            if t != NULL and t.congestion != NULL:
                controlled = True
                estimate_figures(t, &figures)
            plane_unlock(self.state)
        _check(t != NULL, 0, transport, KIND_TRANSPORT)
        return _figures(&figures) if controlled else None

    # Datagrams.

    def ingest(self, datagrams, now):
        cdef int64_t at = _time(now)
        cdef Py_ssize_t count = len(datagrams)
        cdef Py_ssize_t index = 0
        cdef bytes data
        cdef Datagram* batch = <Datagram*>calloc(count + 1, sizeof(Datagram))
        if batch == NULL:
            raise MemoryError
        try:
            kept = []  # so that the bytes outlive the work without the GIL
            for socket, source, data in datagrams:
                if index == count:
                    raise ValueError("datagrams grew while it was read")
                batch[index].socket = _socket(socket)
                endpoint_from(source, &batch[index].source)
                batch[index].data = <const uint8_t*><const char*>data
                batch[index].size = <int>min(len(data), 1 << 20)
                kept.append(data)
                index += 1
            with nogil:
                plane_lock(self.state)
                _ingest(self.state, batch, index, at)
                plane_unlock(self.state)
        finally:
            free(batch)

    def poll_transmit(self):
        return _poll(self.state, &self.state.fifo)

    def poll_handoff(self):
        return _poll(self.state, &self.state.handoff)

    def poll_event(self):
        cdef Event event
        cdef Figures figures
        cdef int64_t at = 0
        cdef bint found = False
        cdef bint alive
        while True:
            with nogil:
                plane_lock(self.state)
                found = self.state.event_count > 0
                alive = False
                if found:
                    event = self.state.events[self.state.event_first]
                    self.state.event_first = (self.state.event_first + 1) % EVENT_SLOTS
                    self.state.event_count -= 1
                    if event.kind == ESTIMATE_CHANGED or event.kind == FEEDBACK_RECEIVED:
                        alive = _take_path_event(self.state, &event, &figures, &at)
                    elif event.kind == LAYERS_CHANGED:
                        alive = pool_get(&self.state.consumers, event.slot, event.generation) != NULL
                    elif event.kind == STREAM_STARTED or event.kind == KEYFRAME_ASKED:
                        alive = pool_get(&self.state.producers, event.slot, event.generation) != NULL
                    else:
                        alive = pool_get(&self.state.transports, event.slot, event.generation) != NULL
                plane_unlock(self.state)
            if not found:
                return None
            if not alive:
                free(event.body)
                continue  # what it was about is removed already
            if event.kind == STREAM_STARTED:
                return StreamStarted(_handle(KIND_PRODUCER, event.slot, event.generation), event.encoding, event.ssrc)
            if event.kind == KEYFRAME_ASKED:
                return KeyframeAsked(_handle(KIND_PRODUCER, event.slot, event.generation), event.at, event.encoding)
            if event.kind == LAYERS_CHANGED:
                consumer = _handle(KIND_CONSUMER, event.slot, event.generation)
                return LayersChanged(consumer, event.at, event.spatial, event.temporal)
            transport = _handle(KIND_TRANSPORT, event.slot, event.generation)
            if event.kind == ESTIMATE_CHANGED:
                return EstimateChanged(transport, at, _figures(&figures))
            if event.kind == FEEDBACK_RECEIVED:
                try:
                    return FeedbackReceived(transport, event.at, _results(<const FeedbackCopy*>event.body))
                finally:
                    free(event.body)
            return RemoteLearned(transport, event.socket, address_of(&event.address))

    def next_timeout(self):
        cdef int64_t due
        with nogil:
            plane_lock(self.state)
            due = plane_next_timeout(self.state)
            plane_unlock(self.state)
        return None if due < 0 else due

    def handle_timeout(self, now):
        cdef int64_t at = _time(now)
        with nogil:
            plane_lock(self.state)
            if not self.state.has_lane:
                plane_take_links(self.state, at)
            plane_timeout(self.state, at)
            plane_unlock(self.state)

    # Figures.

    def counters(self):
        cdef Counters figures
        cdef uint64_t drops[DROP_REASON_COUNT]
        cdef uint32_t streams, slots, free_slots, buffers, free_buffers
        cdef uint64_t exhausted
        with nogil:
            plane_lock(self.state)
            figures = self.state.counters
            memcpy(drops, self.state.drops, sizeof(drops))
            streams = self.state.stream_count
            slots = self.state.slab.slot_count
            free_slots = self.state.slab.free_count
            exhausted = self.state.slab.exhausted
            link_reclaim(self.state)
            buffers = self.state.packets.count
            free_buffers = self.state.packets.free_count
            plane_unlock(self.state)
        found = dict(figures)
        found["streams"] = streams
        found["history_slots"] = slots
        found["history_slots_free"] = free_slots
        found["history_exhausted"] = exhausted
        found["buffers"] = buffers
        found["buffers_free"] = free_buffers
        for reason in range(1, DROP_REASON_COUNT):
            found[f"drop_{DROP_REASONS[reason]}"] = drops[reason]
        return found

    def transport_stats(self, transport):
        cdef uint64_t handle = _number(transport, KIND_TRANSPORT)
        cdef Transport copy
        cdef Transport* t
        memset(&copy, 0, sizeof(copy))
        with nogil:
            plane_lock(self.state)
            t = <Transport*>_at(&self.state.transports, handle)
            if t != NULL:
                copy = t[0]
            plane_unlock(self.state)
        _check(t != NULL, 0, transport, KIND_TRANSPORT)
        return {
            "received_packets": copy.received_packets,
            "received_bytes": copy.received_bytes,
            "sent_packets": copy.sent_packets,
            "sent_bytes": copy.sent_bytes,
            "rtcp_received": copy.rtcp_received,
            "rtcp_sent": copy.rtcp_sent,
            "dropped": copy.dropped,
            "queued_bytes": copy.queued_bytes,
            "rtt_ms": copy.rtt / 1e6,
        }

    def producer_stats(self, producer):
        cdef uint64_t handle = _number(producer, KIND_PRODUCER)
        cdef Encoding copies[MAX_ENCODINGS]
        cdef int64_t rates[MAX_ENCODINGS]
        cdef Producer* p
        cdef int index
        cdef int count = 0
        with nogil:
            plane_lock(self.state)
            p = <Producer*>_at(&self.state.producers, handle)
            if p != NULL:
                count = p.encoding_count
                for index in range(count):
                    copies[index] = p.encodings[index]
                    rates[index] = rate_bps(&p.encodings[index].stream.rate, self.state.now)
            plane_unlock(self.state)
        _check(p != NULL, 0, producer, KIND_PRODUCER)
        return [_encoding_stats(&copies[index], rates[index]) for index in range(count)]

    def consumer_stats(self, consumer):
        cdef uint64_t handle = _number(consumer, KIND_CONSUMER)
        cdef Consumer copy
        cdef Consumer* c
        cdef int64_t rate = 0
        cdef int spatial = -1
        cdef int temporal = -1
        memset(&copy, 0, sizeof(copy))
        with nogil:
            plane_lock(self.state)
            c = <Consumer*>_at(&self.state.consumers, handle)
            if c != NULL:
                copy = c[0]
                rate = rate_bps(&c.stream.rate, self.state.now)
                spatial = (<Selector>c.selector).current.spatial
                temporal = (<Selector>c.selector).current.temporal
            plane_unlock(self.state)
        _check(c != NULL, 0, consumer, KIND_CONSUMER)
        return {
            "ssrc": copy.stream.ssrc,
            "encoding": copy.encoding,
            "spatial": spatial,
            "temporal": temporal,
            "packets": copy.stream.packets,
            "bytes": copy.stream.bytes,
            "bitrate_bps": rate,
            "nacked": copy.stream.nacked,
            "retransmitted": copy.stream.retransmitted,
            "retransmitted_bytes": copy.stream.retransmitted_bytes,
            "not_found": copy.stream.not_found,
            "too_soon": copy.stream.too_soon,
            "fraction_lost": copy.stream.fraction_lost / 256.0,
            "lost": copy.stream.cumulative_lost,
            "jitter_ms": copy.stream.jitter * 1e3 / copy.stream.clock_rate,
            "rtt_ms": copy.stream.rtt / 1e6,
            "drops": copy.drops,
            "selector_drops": copy.selector_drops,
            "keyframe_requests": copy.keyframe_requests,
        }


cdef int _set(PlaneState* s, object transport, int what, int64_t value, object now) except -1:
    cdef uint64_t handle = _number(transport, KIND_TRANSPORT)
    cdef int64_t at = _time(now)
    cdef bint controlled = True
    cdef Transport* t
    with nogil:
        plane_lock(s)
        t = <Transport*>_at(&s.transports, handle)
        if t != NULL:
            controlled = t.congestion != NULL
            if what == SET_RECEIVE_LIMIT:
                _set_receive_limit(s, t, value, at)
            elif controlled and what == SET_ESTIMATE:
                estimate_override(s, t, value, at)
            elif controlled and what == SET_WANTED:
                estimate_wanted(s, t, value, at)
            elif controlled:
                (<Pacer*>t.pacer).watched = value != 0
                congestion_watch(t.congestion, value != 0)
        plane_unlock(s)
    _check(t != NULL, 0, transport, KIND_TRANSPORT)
    if not controlled and what != SET_RECEIVE_LIMIT:
        raise ValueError("this transport is not controlled; call control_congestion first")
    return 0


cdef bint _take_path_event(PlaneState* s, const Event* event, Figures* figures, int64_t* at) noexcept nogil:
    """Whether its transport is there still."""
    cdef Transport* t = <Transport*>pool_get(&s.transports, event.slot, event.generation)
    if t == NULL or t.congestion == NULL:
        return False
    if event.kind == ESTIMATE_CHANGED:
        estimate_taken(t, figures, at)
    else:
        (<Pacer*>t.pacer).feedbacks -= 1
    return True


cdef void _set_receive_limit(PlaneState* s, Transport* t, int64_t bps, int64_t now) noexcept nogil:
    # What is new is told at once: a viewer may wait for an encoding that the old limit has no room for.
    cdef bint soon = bps >= 0 and bps != t.receive_limit
    t.receive_limit = bps
    if soon:
        t.next_remb = now
        schedule(s, t, now)


cdef int64_t _rate(object bps) except -1:
    if not isinstance(bps, int) or not 0 <= bps <= MAX_BPS:
        raise ValueError(f"a rate is 0 to {MAX_BPS} bit/s, not {bps!r}")
    return bps


cdef _figures(const Figures* figures):
    return CongestionFigures(
        estimate_bps=figures.state.estimate_bps,
        delay_bps=figures.state.delay_bps,
        loss_bps=figures.state.loss_bps,
        remb_bps=figures.state.remb_bps,
        acked_bps=figures.state.acked_bps,
        pacing_bps=figures.pacing_bps,
        rtt_ms=figures.state.rtt / 1e6,
        loss=figures.state.loss,
        inherent_loss=figures.state.inherent_loss,
        trend=figures.state.trend,
        usage=figures.state.usage,
        cause=_CAUSES[figures.state.cause],
        queued_bytes=figures.queued_bytes,
        queued_ms=figures.queued_ms,
    )


cdef _results(const FeedbackCopy* body):
    cdef const PacketResult* result
    cdef int index
    found = []
    for index in range(body.count):
        result = &body.results[index]
        arrived = None if result.arrived_at < 0 else result.arrived_at
        found.append((result.sent_at, arrived, result.size, result.probe))
    return tuple(found)


cdef _encoding_stats(const Encoding* e, int64_t rate):
    return {
        "encoding": e.index,
        "ssrc": e.ssrc,
        "rtx_ssrc": e.rtx_ssrc,
        "rid": (<const char*>e.rid)[:e.rid_size].decode("utf-8", "replace"),
        "packets": e.stream.packets,
        "bytes": e.stream.bytes,
        "bitrate_bps": rate,
        "lost": recv_stream_lost(&e.stream),
        "jitter_ms": recv_stream_jitter(&e.stream) * 1e3 / e.stream.clock_rate,
        "duplicates": e.stream.duplicates,
        "recovered": e.stream.recovered,
        "restarts": e.stream.restarts,
        "nacked": e.stream.nacked,
        "given_up": e.stream.given_up,
        "rtx_packets": e.rtx_packets,
        "keyframes": e.keyframes,
        "keyframe_requests": e.keyframe_requests,
        "byes": e.byes,
    }


cdef void _resume_producer(PlaneState* s, Producer* p, int64_t now) noexcept nogil:
    """What was missed in the pause is not asked for, and every consumer joins again."""
    cdef Consumer* c = p.consumers
    cdef int index
    p.paused = False
    for index in range(p.encoding_count):
        p.encodings[index].stream.missing_count = 0
    while c != NULL:
        (<Selector>c.selector).reset()
        if not c.paused:
            request_keyframe_for(s, c, now)
        c = c.next_of_producer
    link_begin_anew(s, p, now)


cdef int _copy_facts(PlaneState* s, Producer* p) noexcept nogil:
    """What a mirror has to know of its original, on the plane `s`, before the first packet comes. 0 or a refusal."""
    cdef const Producer* origin
    cdef int refusal = 0
    cdef int index
    plane_lock(s)
    origin = <const Producer*>pool_get(&s.producers, p.origin_slot, p.origin_generation)
    if origin == NULL:
        refusal = REFUSED_GONE
    elif origin.is_mirror:
        refusal = REFUSED_MIRROR
    else:
        for index in range(p.encoding_count):
            p.encodings[index].has_ssrc = origin.encodings[index].has_ssrc
            p.encodings[index].ssrc = p.encodings[index].stream.ssrc = origin.encodings[index].ssrc
            p.encodings[index].heard = origin.encodings[index].heard
    plane_unlock(s)
    return refusal


cdef bint _attach(PlaneState* s, uint64_t handle, Mirror* mirror, int64_t now) noexcept nogil:
    """From here on the producer's packets go to the mirror too. False: it went meanwhile."""
    cdef Producer* p
    cdef int index
    plane_lock(s)
    p = <Producer*>_at(&s.producers, handle)
    if p != NULL:
        mirror.next = p.mirrors
        p.mirrors = mirror
        for index in range(p.encoding_count):
            link_facts(s, &p.encodings[index], now)
    plane_unlock(s)
    return p != NULL


cdef void _ingest(PlaneState* s, const Datagram* batch, Py_ssize_t count, int64_t now) noexcept nogil:
    """With a lane, the lane must be woken after this: it sends, and does what is left of stage 2."""
    cdef Outgoing* out
    cdef Py_ssize_t index
    for index in range(count):
        if s.has_lane and s.pending_count >= PENDING_SLOTS - LANE_SLOTS and not fan_out(s, now):
            # The output area is full as well. What the lane receives meanwhile must not pay for it.
            drop(s, DROP_TRANSMIT_FULL)
            continue
        plane_receive(s, batch[index].socket, &batch[index].source, batch[index].data, batch[index].size, now)
        if not s.has_lane and (index % INGEST_BATCH == INGEST_BATCH - 1 or index == count - 1):
            plane_collect(s, now, &out)


cdef object _poll(PlaneState* s, Queue* queue):
    """The front of one of the two queues to Python, or None."""
    cdef uint8_t data[DATAGRAM_SIZE]
    cdef Endpoint address
    cdef int socket = 0
    cdef int size = -1
    cdef Queued* item
    with nogil:
        plane_lock(s)
        item = queue_front(queue)
        if item != NULL:
            socket = item.socket
            size = item.size
            address = item.address
            memcpy(data, item.data, size)
            if queue == &s.fifo:
                fifo_pop(s)
            else:
                handoff_pop(s)
        plane_unlock(s)
    if size < 0:
        return None
    return socket, address_of(&address), (<const char*>data)[:size]


cdef _free_dead(PlaneState* s, dict producers):
    """Free what was removed. Its Python references make this the GIL's work."""
    cdef Transport* t
    cdef Transport* next_transport
    cdef Producer* p
    cdef Producer* next_producer
    cdef Consumer* c
    cdef Consumer* next_consumer
    with nogil:
        plane_lock(s)
        t = s.dead_transports
        p = s.dead_producers
        c = s.dead_consumers
        s.dead_transports = NULL
        s.dead_producers = NULL
        s.dead_consumers = NULL
        plane_unlock(s)
    while c != NULL:
        next_consumer = c.garbage
        free_consumer(c)
        c = next_consumer
    while p != NULL:
        next_producer = p.garbage
        if producers is not None:
            producers.pop(_handle(KIND_PRODUCER, p.slot, p.generation), None)
        free_producer(p)
        p = next_producer
    while t != NULL:
        next_transport = t.garbage
        free_transport(t)
        t = next_transport
