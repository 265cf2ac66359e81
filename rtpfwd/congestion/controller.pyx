"""GCC of one transport: the boxes of this package put together (draft-ietf-rmcat-gcc-02, libwebrtc's published
behaviour, Carlucci et al. 2016). docs/congestion.md shows the way of a feedback message through them.

Over 400 lines, a few for each box: the order in which the boxes are asked is all that is here, and is read as one."""

from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from rtpfwd.congestion.acked_rate cimport (
    AckedRate, acked_add, acked_bps, acked_bytes, acked_close, acked_newest_bps, acked_open, acked_untold,
)
from rtpfwd.congestion.aimd cimport Aimd, aimd_fall, aimd_init, aimd_set, aimd_update
from rtpfwd.congestion.feedback cimport (
    FeedbackClock, FeedbackReader, feedback_next, feedback_open_untrusted, feedback_reference,
)
from rtpfwd.congestion.inter_arrival cimport GroupDelta, InterArrival, arrival_add
from rtpfwd.congestion.loss cimport LossBound, loss_init, loss_lift, loss_restart, loss_update
from rtpfwd.congestion.probe cimport (
    ProbeCluster, Prober, probe_begin, probe_disturbs, probe_dropped, probe_due, probe_goes_on, probe_init, probe_result,
    probe_sent, probe_set_wanted, probe_take, probe_take_result, probe_tick,
)
from rtpfwd.congestion.queue_delay cimport QueueDelay, queue_add, queue_begin, queue_least, queue_ns
from rtpfwd.congestion.remb cimport Remb, remb_bound, remb_set
from rtpfwd.congestion.sent_log cimport (
    BESIDE_MAX, BESIDE_UNIT, FATE_ARRIVED, FATE_LOST, FATE_UNKNOWN, LOG_MAX, SentLog, SentPacket, log_bytes, log_close,
    log_extend, log_find, log_open, log_sent, log_size,
)
from rtpfwd.congestion.silence cimport Silence, silence_cuts, silence_heard, silence_init, silence_sent
from rtpfwd.congestion.trendline cimport Trendline, trend_add, trend_init, trend_is_ready
from rtpfwd.rate cimport RateMeter, rate_add, rate_bps
from rtpfwd.types cimport DROP_NONE

cdef double FULL = 0.85             # of the estimate in use: more of it could be tested
cdef double REPORT_GROWTH = 1.08    # a second, from receiver reports without loss
cdef double REFUSED = 1.5            # times the estimate: a full link that carries less than this has not changed
cdef double RTT_WEIGHT = 0.125
cdef double PACING = 1.1            # times the estimate
cdef double DRAINING = 0.85         # times it, after a decrease, while the queue that caused it stands
cdef double COLLAPSED = 0.5         # of what is sent: less arrives only where a link breaks down

cdef enum:
    MS = 1000000
    SECOND = 1000000000
    FIRST_RESULTS = 64
    QUEUE_MS = 25                   # smoothed: loss may come from a full queue
    STANDING_MS = 12                # a growing delay below this is bursts and jitter, no queue
    FULL_PACKET_BITS = 6400
    PROBE_STANDING_MS = 40          # and below this it is a probe's, while one is on its way
    COLLAPSED_MS = 25               # and from here on a link that carries far less than is sent has become narrower,
    COLLAPSED_PACKETS = 3           # if so many packets of one message say it
    FIRST_STANDING_MS = 60          # a queue as long as this before the detector has its window is congestion
    BUSY_MS = 100                   # of arrivals, and twice that: what the link carries while a queue stands
    ROOM_MS = 100                   # after a decrease, until a full queue has room for what is sent then
    DRAIN_MS = 40                   # a queue, beside a packet's own time, that pacing lets run empty after a decrease
    REFUSED_S = 10
    REPORT_CUT_MS = 500             # between two cuts by receiver reports

cdef struct Congestion:
    CongestionConfig config
    SentLog log
    FeedbackClock clock
    InterArrival arrival
    Trendline trend
    Aimd aimd
    AckedRate acked
    LossBound loss
    QueueDelay queue
    Prober prober
    Silence silence
    Remb remb
    RateMeter sent                  # with and without number
    uint32_t beside                 # bytes sent without, since the newest number
    int64_t told                    # extended number after the newest that feedback told of; -1 = none
    int64_t sent_since              # ns of the first packet; -1 = none
    bint measured                   # a probe or a decrease has put the start rate right
    int64_t override_bps            # -1 = none
    int64_t reported_at             # ns of the newest receiver report that moved the rate
    bint watched                    # somebody wants the results
    PacketResult* results           # NULL: nobody did so far
    int results_count
    int results_room
    CongestionState state

cdef struct Tally:                  # of one feedback message
    uint32_t arrived
    uint32_t lost
    uint32_t answered               # arrived, of those sent ROOM_MS after the detector's last decrease, or later
    uint32_t answered_lost          # lost of them: the others were its reason
    int64_t newest                  # extended number of the last packet told of
    int64_t latest_sent             # ns: of the packet that arrived last
    int64_t latest_arrived
    int64_t first_sent              # and of the one that the message names first
    int64_t first_arrived
    int64_t first_bytes
    int64_t bytes                   # arrived


cdef Congestion* congestion_open(const CongestionConfig* config, int64_t now) noexcept nogil:
    cdef Congestion* c = <Congestion*>calloc(1, sizeof(Congestion))
    if c == NULL:
        return NULL
    c.config = config[0]
    if log_open(&c.log) or acked_open(&c.acked):
        congestion_close(c)
        return NULL
    trend_init(&c.trend)
    aimd_init(&c.aimd, config.start_bps)
    loss_init(&c.loss)
    probe_init(&c.prober, config.start_bps, config.max_bps)
    silence_init(&c.silence)
    c.sent_since = c.told = c.override_bps = c.reported_at = -1
    c.state.changed_at = now
    _conclude(c, CAUSE_START, now)
    return c


cdef void congestion_close(Congestion* c) noexcept nogil:
    if c == NULL:
        return
    log_close(&c.log)
    acked_close(&c.acked)
    free(c.results)
    free(c)


cdef void congestion_configure(Congestion* c, const CongestionConfig* config, int64_t now) noexcept nogil:
    c.config = config[0]
    c.prober.most = config.max_bps
    c.prober.start_bps = config.start_bps
    _conclude(c, CAUSE_HOLD, now)


cdef void congestion_begin(Congestion* c, int64_t now) noexcept nogil:
    probe_begin(&c.prober, c.state.estimate_bps, now)


cdef bint congestion_is_known(const Congestion* c) noexcept nogil:
    return c.measured or c.remb.bps > 0 or c.override_bps >= 0


cdef void congestion_sent(Congestion* c, uint16_t seq, uint32_t size, uint16_t probe, int64_t now) noexcept nogil:
    cdef uint32_t beside = min(c.beside // BESIDE_UNIT, <uint32_t>BESIDE_MAX)
    cdef int64_t number = log_sent(&c.log, seq, size, <uint8_t>beside, probe, now)
    c.beside = c.beside % BESIDE_UNIT
    if c.sent_since < 0:
        c.sent_since = now
        congestion_begin(c, now)
    rate_add(&c.sent, size, now)
    silence_sent(&c.silence, now)
    probe_sent(&c.prober, number, size, probe, now)


cdef void congestion_sent_beside(Congestion* c, uint32_t size, int64_t now) noexcept nogil:
    rate_add(&c.sent, size, now)
    c.beside = min(c.beside + size, <uint32_t>(BESIDE_MAX * BESIDE_UNIT))


cdef void _conclude(Congestion* c, int32_t cause, int64_t now) noexcept nogil:
    # The estimate out of its bounds. `cause`: what has just happened; kept as the reason if the estimate moved.
    cdef int64_t estimate
    c.aimd.bps = min(max(c.aimd.bps, c.config.min_bps), c.config.max_bps)
    estimate = c.aimd.bps
    if c.state.feedback_messages == 0 and c.remb.bps:
        estimate = c.remb.bps
    c.state.delay_bps = c.aimd.bps
    c.state.loss_bps = max(c.loss.bps, c.config.min_bps) if c.loss.bounds else c.config.max_bps
    c.state.remb_bps = c.remb.bps
    estimate = remb_bound(&c.remb, min(estimate, c.state.loss_bps))
    estimate = min(max(estimate, c.config.min_bps), c.config.max_bps)
    if c.override_bps >= 0:
        estimate = c.override_bps
        cause = CAUSE_SET
    if estimate != c.state.estimate_bps:
        c.state.estimate_bps = estimate
        c.state.changed_at = now
        c.state.cause = cause


cdef void congestion_watch(Congestion* c, bint on) noexcept nogil:
    c.watched = on
    if not on:
        free(c.results)
        c.results = NULL
        c.results_room = c.results_count = 0


cdef bint _results_fit(Congestion* c, int count) noexcept nogil:
    cdef PacketResult* more
    cdef int room = max(c.results_room, FIRST_RESULTS)
    if not c.watched or count <= c.results_room:
        return True
    while room < count:
        room *= 2
    more = <PacketResult*>realloc(c.results, room * sizeof(PacketResult))
    if more == NULL:
        return False
    c.results = more
    c.results_room = room
    return True


cdef void _result(Congestion* c, const SentPacket* packet, int64_t arrived_at) noexcept nogil:
    cdef PacketResult* result
    c.results_count += 1
    if not c.watched:
        return
    result = &c.results[c.results_count - 1]
    result.sent_at = packet.sent_at
    result.arrived_at = arrived_at
    result.size = packet.size
    result.probe = packet.probe


cdef void _arrived(Congestion* c, const SentPacket* packet, int64_t arrived_at, int64_t now) noexcept nogil:
    cdef GroupDelta delta
    acked_add(&c.acked, packet.sent_at, arrived_at, <uint32_t>log_size(packet))
    queue_add(&c.queue, packet.sent_at, arrived_at, now)
    if arrival_add(&c.arrival, packet.sent_at, arrived_at, packet.probe, &delta):
        trend_add(&c.trend, delta.sent, delta.arrived, delta.arrived_at, now)


cdef void _skip(Congestion* c, int64_t base) noexcept nogil:
    # A message was lost: nobody will tell of the packets between the last one and this.
    cdef SentPacket* packet
    cdef int64_t number
    if c.told >= 0:
        for number in range(max(c.told, base - LOG_MAX), base):
            packet = log_find(&c.log, number)
            if packet != NULL and packet.fate == FATE_UNKNOWN:
                acked_untold(&c.acked, log_size(packet))


cdef void _take(Congestion* c, FeedbackReader* reader, Tally* tally, int64_t now) noexcept nogil:
    # Every packet that the message tells of, in order. Told of before: nothing new, unless it was thought lost.
    cdef int64_t at = feedback_reference(&c.clock, reader.reference)
    cdef int64_t number = log_extend(&c.log, reader.base)
    cdef int64_t after = c.aimd.decreased_at + <int64_t>ROOM_MS * MS if c.aimd.decreased_at >= 0 else -1
    cdef int64_t delta
    cdef SentPacket* packet
    cdef bint received
    cdef int index
    _skip(c, number)
    c.told = max(c.told, number + reader.count)
    c.results_count = 0
    queue_begin(&c.queue)
    for index in range(reader.count):
        received = feedback_next(reader, &delta)
        at += delta
        packet = log_find(&c.log, number + index)
        if packet == NULL or packet.fate == FATE_ARRIVED or (packet.fate == FATE_LOST and not received):
            continue
        if c.results_count >= MAX_RESULTS or not _results_fit(c, c.results_count + 1):
            return
        tally.newest = number + index
        if not received:
            packet.fate = FATE_LOST
            tally.lost += 1
            tally.answered_lost += packet.sent_at >= after
            _result(c, packet, -1)
        else:
            if packet.fate == FATE_LOST and c.state.packets_lost > 0:
                c.state.packets_lost -= 1       # it was only late
            packet.fate = FATE_ARRIVED
            tally.arrived += 1
            tally.answered += packet.sent_at >= after
            tally.bytes += log_size(packet)
            if tally.first_arrived < 0:
                tally.first_arrived = at
                tally.first_sent = packet.sent_at
                tally.first_bytes = log_size(packet)
            if at >= tally.latest_arrived:
                tally.latest_arrived = at
                tally.latest_sent = packet.sent_at
            _result(c, packet, at)
            _arrived(c, packet, at, now)
        probe_result(&c.prober, number + index, packet.size, packet.sent_at, at if received else -1, now)


cdef bint _is_full(Congestion* c, int64_t now) noexcept nogil:
    # The meter needs its second first; until then what is sent is taken for as much as may be.
    return now - c.sent_since < SECOND or rate_bps(&c.sent, now) >= FULL * c.state.estimate_bps


cdef void _probed(Congestion* c, int64_t newest, int32_t usage, int64_t now) noexcept nogil:
    cdef bint saturated = False
    cdef int64_t found = probe_take_result(&c.prober, newest, queue_least(&c.queue), c.aimd.bps, &saturated, now)
    if found <= 0:
        return
    if saturated and c.aimd.decreased_at >= 0 and now - c.aimd.decreased_at < <int64_t>REFUSED_S * SECOND \
            and found < REFUSED * c.aimd.bps and _is_full(c, now):
        # The link refused more a moment ago. What a short cluster finds beyond that is somebody else's share.
        return
    if (found > c.aimd.bps and usage <= 0) or (saturated and not c.measured):
        aimd_set(&c.aimd, found, saturated, now)
        loss_lift(&c.loss, found)
        _conclude(c, CAUSE_PROBE, now)
    c.measured = c.measured or not probe_goes_on(&c.prober, c.aimd.bps)


cdef inline int64_t _packet_ms(const Congestion* c) noexcept nogil:
    # A full packet takes its time on a slow link: that is no queue.
    return FULL_PACKET_BITS * 1000 // max(c.state.estimate_bps, <int64_t>1)


cdef int64_t _collapsed_to(Congestion* c, const Tally* tally, int64_t now) noexcept nogil:
    # What arrives, bit/s, where a link has become far narrower, else 0: every packet of the message waited, longer than
    # before, they came further apart than they were sent (on a way that is merely longer they don't), and far less than
    # is sent. The detector takes two messages more to be sure, while a short queue overflows.
    cdef int64_t span = tally.latest_arrived - tally.first_arrived
    cdef int64_t bps
    if (
        c.queue.standing < (COLLAPSED_MS + _packet_ms(c)) * MS or c.queue.standing <= c.queue.stood
        or tally.arrived < COLLAPSED_PACKETS or 2 * span < 3 * (tally.latest_sent - tally.first_sent) or span <= 0
    ):
        return 0
    bps = 8 * (tally.bytes - tally.first_bytes) * SECOND // span
    return bps if bps < COLLAPSED * min(rate_bps(&c.sent, now), c.state.estimate_bps) else 0


cdef int32_t _usage(const Congestion* c, int64_t now) noexcept nogil:
    # The detector's word, unless some packet of the message found no queue: then what grew was a burst, or a probe.
    cdef int64_t least = (PROBE_STANDING_MS if probe_disturbs(&c.prober, now) else STANDING_MS) + _packet_ms(c)
    if not trend_is_ready(&c.trend):
        return c.queue.standing >= max((FIRST_STANDING_MS + _packet_ms(c)) * MS, c.queue.stood)
    if c.trend.usage > 0 and 0 <= c.queue.standing < least * MS:
        return 0
    return c.trend.usage


cdef int congestion_feedback_untrusted(Congestion* c, const uint8_t* body, int size, int64_t now) noexcept nogil:
    cdef FeedbackReader reader
    cdef Tally tally
    cdef int64_t acked, busy, collapsed_to, before = c.state.estimate_bps
    cdef int reason = feedback_open_untrusted(&reader, body, size)
    cdef int moved
    cdef int32_t usage
    if reason != DROP_NONE:
        return reason
    memset(&tally, 0, sizeof(tally))
    tally.newest = tally.latest_sent = tally.latest_arrived = tally.first_arrived = -1
    _take(c, &reader, &tally, now)
    c.state.feedback_messages += 1
    silence_heard(&c.silence, now)
    if tally.newest < 0:
        return DROP_NONE
    c.state.packets_acked += tally.arrived
    c.state.packets_lost += tally.lost
    if tally.latest_sent >= 0:
        c.state.rtt += <int64_t>((now - tally.latest_sent - c.state.rtt) * (RTT_WEIGHT if c.state.rtt else 1.0))
    acked = acked_bps(&c.acked)
    c.state.acked_bps = acked
    collapsed_to = _collapsed_to(c, &tally, now)
    usage = 1 if collapsed_to > 0 else _usage(c, now)
    _probed(c, tally.newest, usage, now)
    if collapsed_to > 0:
        acked = collapsed_to
        aimd_fall(&c.aimd, acked, now)
        moved = -1
    else:
        if usage > 0:
            busy = max(
                acked_newest_bps(&c.acked, <int64_t>BUSY_MS * MS), acked_newest_bps(&c.acked, 2 * <int64_t>BUSY_MS * MS)
            )
            acked = busy if busy > 0 else acked
        moved = aimd_update(&c.aimd, usage, acked, c.state.rtt, _is_full(c, now), now)
    if moved < 0:
        c.measured = True
        loss_restart(&c.loss, now)
    _conclude(c, CAUSE_OVERUSE if moved < 0 else CAUSE_INCREASE if moved > 0 else CAUSE_HOLD, now)
    if loss_update(
        &c.loss, tally.answered, tally.answered_lost, usage > 0 or queue_ns(&c.queue) > <int64_t>QUEUE_MS * MS,
        c.state.estimate_bps, acked, c.state.rtt, now,
    ):
        if c.loss.bounds and c.loss.cut_at < 0:
            c.aimd.bps = min(c.aimd.bps, c.loss.bps)    # a full queue says it: the other boxes begin there too
        _conclude(c, CAUSE_LOSS, now)
    c.state.loss = c.loss.loss
    c.state.inherent_loss = c.loss.inherent
    if c.state.estimate_bps < before * 0.95:
        probe_dropped(&c.prober, now)
    probe_tick(&c.prober, c.state.estimate_bps, usage <= 0, now)
    return DROP_NONE


cdef int congestion_results(const Congestion* c, const PacketResult** results) noexcept nogil:
    results[0] = c.results
    return c.results_count if c.results != NULL else 0


cdef void congestion_report(
    Congestion* c, uint8_t fraction_lost, uint32_t packets, int64_t rtt, int64_t now
) noexcept nogil:
    cdef double loss = fraction_lost / 256.0
    cdef double passed
    cdef int64_t before = c.aimd.bps
    silence_heard(&c.silence, now)
    if rtt > 0:
        c.state.rtt += <int64_t>((rtt - c.state.rtt) * (RTT_WEIGHT if c.state.rtt else 1.0))
    if c.state.feedback_messages > 0:
        return                      # which tells more, and sooner
    c.state.loss += (loss - c.state.loss) * 0.5
    if c.reported_at < 0:
        c.reported_at = now
        return
    passed = min(now - c.reported_at, SECOND) / <double>SECOND
    if loss > 0.10:
        if now - c.reported_at < <int64_t>REPORT_CUT_MS * MS:
            return
        c.aimd.bps = <int64_t>(c.aimd.bps * (1 - 0.5 * loss))
    elif loss <= 0.02 and _is_full(c, now):
        c.aimd.bps = <int64_t>(c.aimd.bps * (1 + (REPORT_GROWTH - 1) * passed))
    c.reported_at = now
    _conclude(c, CAUSE_LOSS if c.aimd.bps < before else CAUSE_INCREASE, now)


cdef void congestion_remb(Congestion* c, int64_t bps, int64_t now) noexcept nogil:
    silence_heard(&c.silence, now)
    remb_set(&c.remb, max(bps, c.config.min_bps))
    _conclude(c, CAUSE_REMB, now)


cdef void congestion_set_wanted(Congestion* c, int64_t bps, int64_t now) noexcept nogil:
    probe_set_wanted(&c.prober, bps, c.state.estimate_bps, now)


cdef void congestion_override(Congestion* c, int64_t bps, int64_t now) noexcept nogil:
    c.override_bps = bps
    _conclude(c, CAUSE_HOLD, now)


cdef void congestion_tick(Congestion* c, int64_t now) noexcept nogil:
    if silence_cuts(&c.silence, now):
        aimd_set(&c.aimd, c.aimd.bps // 2, False, now)
        if c.remb.bps:
            c.remb.bps = max(c.remb.bps // 2, c.config.min_bps)
        _conclude(c, CAUSE_SILENCE, now)
    probe_tick(&c.prober, c.state.estimate_bps, _usage(c, now) <= 0, now)


cdef int64_t congestion_due(const Congestion* c) noexcept nogil:
    cdef int64_t probe = probe_due(&c.prober)
    if c.silence.cut_at < 0 or (probe >= 0 and probe < c.silence.cut_at):
        return probe
    return c.silence.cut_at


cdef bint congestion_take_probe(Congestion* c, ProbePlan* plan, int64_t now) noexcept nogil:
    cdef const ProbeCluster* cluster = probe_take(&c.prober, now)
    if cluster == NULL:
        return False
    plan.id = cluster.id
    plan.bps = cluster.bps
    plan.bytes = cluster.least_bytes
    plan.packets = cluster.least_packets
    return True


cdef void congestion_state(const Congestion* c, CongestionState* state) noexcept nogil:
    state[0] = c.state
    state.trend = c.trend.slope
    state.usage = c.trend.usage


cdef int64_t congestion_pacing_bps(const Congestion* c) noexcept nogil:
    cdef bint drains = c.aimd.decreased_at >= 0 and c.queue.standing >= (DRAIN_MS + _packet_ms(c)) * MS
    return <int64_t>((DRAINING if drains and c.override_bps < 0 else PACING) * c.state.estimate_bps)


cdef size_t congestion_bytes(const Congestion* c) noexcept nogil:
    if c == NULL:
        return 0
    return sizeof(Congestion) + log_bytes(&c.log) + acked_bytes(&c.acked) + c.results_room * sizeof(PacketResult)
