"""Python face of the boxes of congestion control, for tests. Signatures and meaning: boxes.pyi."""

from libc.stdint cimport int64_t, uint8_t

from rtpfwd.congestion.acked_rate cimport AckedRate, acked_add, acked_bps, acked_newest_bps, acked_close, acked_open
from rtpfwd.congestion.aimd cimport Aimd, aimd_init, aimd_set, aimd_update
from rtpfwd.congestion.feedback cimport (
    FeedbackClock, FeedbackReader, feedback_next, feedback_open_untrusted, feedback_reference,
)
from rtpfwd.congestion.inter_arrival cimport GroupDelta, InterArrival, arrival_add
from rtpfwd.congestion.loss cimport LossBound, loss_init, loss_lift, loss_update
from rtpfwd.congestion.probe cimport (
    ProbeCluster, Prober, probe_begin, probe_dropped, probe_due, probe_init, probe_result, probe_sent,
    probe_set_wanted, probe_take, probe_take_result, probe_tick,
)
from rtpfwd.congestion.queue_delay cimport QueueDelay, queue_add, queue_ns
from rtpfwd.congestion.sent_log cimport (
    FATE_ARRIVED, FATE_LOST, SentLog, SentPacket, log_close, log_extend, log_find, log_open, log_sent,
)
from rtpfwd.congestion.silence cimport Silence, silence_cuts, silence_heard, silence_init, silence_sent
from rtpfwd.congestion.trendline cimport Trendline, trend_add, trend_init
from rtpfwd.cursor cimport Writer, writer_init, writer_size
from rtpfwd.twcc cimport TwccFeedback, twcc_close, twcc_init, twcc_open, twcc_receive, twcc_write

cdef enum:
    HEADERS = 12                # bytes of a feedback packet before its FCI


def parse_feedback(bytes body not None):
    cdef FeedbackReader reader
    cdef int64_t delta
    deltas = []
    if feedback_open_untrusted(&reader, body, <int>len(body)):
        return None
    for _ in range(reader.count):
        deltas.append(delta if feedback_next(&reader, &delta) else None)
    return reader.base, reader.reference, reader.message, deltas


cdef class FeedbackTimes:
    cdef FeedbackClock _clock

    def reference(self, unsigned int steps):
        return feedback_reference(&self._clock, steps)


cdef class FeedbackWriting:
    cdef TwccFeedback _feedback

    def __cinit__(self):
        twcc_init(&self._feedback)
        if twcc_open(&self._feedback):
            raise MemoryError

    def __dealloc__(self):
        twcc_close(&self._feedback)

    def receive(self, int seq, int64_t now):
        return bool(twcc_receive(&self._feedback, seq & 0xffff, now))

    def due(self):
        return None if self._feedback.due < 0 else self._feedback.due

    def write(self):
        cdef uint8_t data[1500]
        cdef Writer w
        writer_init(&w, data, sizeof(data))
        if twcc_write(&self._feedback, &w, 1, 2):
            return None
        return data[HEADERS:writer_size(&w)]


cdef class Log:
    cdef SentLog _log

    def __cinit__(self):
        if log_open(&self._log):
            raise MemoryError

    def __dealloc__(self):
        log_close(&self._log)

    def sent(self, int seq, unsigned int size, int64_t now):
        return log_sent(&self._log, seq & 0xffff, size, 0, 0, now)

    def extend(self, int seq):
        return log_extend(&self._log, seq & 0xffff)

    def find(self, int64_t number):
        cdef SentPacket* packet = log_find(&self._log, number)
        return None if packet == NULL else (packet.sent_at, packet.size)

    def acknowledge(self, int64_t number):
        log_find(&self._log, number).fate = FATE_ARRIVED

    def lose(self, int64_t number):
        log_find(&self._log, number).fate = FATE_LOST

    @property
    def capacity(self):
        return self._log.capacity


cdef class Groups:
    cdef InterArrival _groups

    def add(self, int64_t sent_at, int64_t arrived_at, int probe=0):
        cdef GroupDelta delta
        if not arrival_add(&self._groups, sent_at, arrived_at, probe, &delta):
            return None
        return delta.sent, delta.arrived, delta.arrived_at


cdef class Trend:
    cdef Trendline _trend

    def __cinit__(self):
        trend_init(&self._trend)

    def add(self, int64_t sent, int64_t arrived, int64_t arrived_at, int64_t now):
        trend_add(&self._trend, sent, arrived, arrived_at, now)
        return self._trend.usage, self._trend.slope, self._trend.threshold


cdef class Rates:
    cdef Aimd _aimd

    def __cinit__(self, int64_t bps):
        aimd_init(&self._aimd, bps)

    def update(self, int usage, int64_t acked, int64_t rtt, bint full, int64_t now):
        return aimd_update(&self._aimd, usage, acked, rtt, full, now)

    def set(self, int64_t bps, bint is_capacity, int64_t now):
        aimd_set(&self._aimd, bps, is_capacity, now)

    @property
    def bps(self):
        return self._aimd.bps

    @property
    def capacity(self):
        return self._aimd.capacity.mean


cdef class Acked:
    cdef AckedRate _acked

    def __cinit__(self):
        if acked_open(&self._acked):
            raise MemoryError

    def __dealloc__(self):
        acked_close(&self._acked)

    def add(self, int64_t sent_at, int64_t arrived_at, unsigned int size):
        acked_add(&self._acked, sent_at, arrived_at, size)

    @property
    def bps(self):
        return acked_bps(&self._acked)

    @property
    def busy_bps(self):
        return acked_newest_bps(&self._acked, 100_000_000)

    @property
    def places(self):
        return self._acked.places


cdef class Loss:
    cdef LossBound _loss

    def __cinit__(self):
        loss_init(&self._loss)

    def update(
        self, unsigned int arrived, unsigned int lost, bint queued, int64_t estimate, int64_t acked, int64_t rtt,
        int64_t now,
    ):
        return bool(loss_update(&self._loss, arrived, lost, queued, estimate, acked, rtt, now))

    def lift(self, int64_t bps):
        loss_lift(&self._loss, bps)

    @property
    def bound(self):
        return self._loss.bps if self._loss.bounds else None

    @property
    def inherent(self):
        return self._loss.inherent


cdef class Probing:
    cdef Prober _prober

    def __cinit__(self, int64_t start_bps, int64_t most):
        probe_init(&self._prober, start_bps, most)

    def set_wanted(self, int64_t wanted, int64_t estimate, int64_t now):
        probe_set_wanted(&self._prober, wanted, estimate, now)

    def begin(self, int64_t estimate, int64_t now):
        probe_begin(&self._prober, estimate, now)

    def dropped(self, int64_t now):
        probe_dropped(&self._prober, now)

    def tick(self, int64_t estimate, bint clear, int64_t now):
        probe_tick(&self._prober, estimate, clear, now)

    def due(self):
        cdef int64_t due = probe_due(&self._prober)
        return None if due < 0 else due

    def take(self, int64_t now):
        cdef const ProbeCluster* cluster = probe_take(&self._prober, now)
        if cluster == NULL:
            return None
        return cluster.id, cluster.bps, cluster.least_bytes, cluster.least_packets

    def sent(self, int64_t number, unsigned int size, int probe, int64_t now):
        probe_sent(&self._prober, number, size, probe, now)

    def result(self, int64_t number, unsigned int size, int64_t sent_at, arrived_at, int64_t now):
        probe_result(&self._prober, number, size, sent_at, -1 if arrived_at is None else arrived_at, now)

    def take_result(self, int64_t newest, int64_t least, int64_t estimate, int64_t now):
        cdef bint saturated = False
        cdef int64_t found = probe_take_result(&self._prober, newest, least, estimate, &saturated, now)
        return found, bool(saturated)


cdef class Quiet:
    cdef Silence _silence

    def __cinit__(self):
        silence_init(&self._silence)

    def heard(self, int64_t now):
        silence_heard(&self._silence, now)

    def sent(self, int64_t now):
        silence_sent(&self._silence, now)

    def cuts(self, int64_t now):
        return bool(silence_cuts(&self._silence, now))


cdef class Queue:
    cdef QueueDelay _queue

    def add(self, int64_t sent_at, int64_t arrived_at, int64_t now):
        queue_add(&self._queue, sent_at, arrived_at, now)
        return queue_ns(&self._queue)
