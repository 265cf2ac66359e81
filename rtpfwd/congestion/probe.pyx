"""When to probe, how fast, and what came of it.

One cluster at a time: the next, faster one goes only when the last came through, so that a narrow link is asked once.
A cluster that our own timers sent late, or that came before the viewer could hear it, tells nothing of the link and is
sent again at once.
Media packets sent between the cluster's own count as part of it: they took the link's time too.
"""

from libc.string cimport memset

cdef double FIRST = 4.0                 # times the start rate: more than 720 lines take, though timers be late by a quarter
cdef double SECOND_STEP = 2.0           # times what came through before
cdef double MORE = 2.0                  # times the estimate, while more is wanted
cdef double WANTED = 1.15               # of what is wanted: with less, more is asked for again and again
cdef double ROOM = 2.0                  # of it: with so much, frames need not be paced, so it is asked for seldom
cdef double FURTHEST = 2.3              # of it: as far as a probe goes
cdef double WORTH = 1.05                # of the estimate: less is not worth a probe
cdef double ENOUGH = 0.7                # of a probe's rate found: a faster one may follow
cdef double UNSATURATED = 0.9           # received this much as fast as sent: the link has more
cdef double UTILISED = 0.95             # of a full link's capacity, taken as the estimate
cdef double RECEIVED = 0.8              # of packets and bytes, for a result
cdef double LOSSY = 0.2                 # of a cluster's packets
cdef double INVALID = 2.0               # received so much faster than sent: clumped on the way

cdef enum:
    MS = 1000000
    CLUSTER_MS = 15
    CLUSTER_PACKETS = 5
    LEAST_ARRIVED = 3
    DRAIN_MS = 100                      # at the estimate, a cluster takes no longer than this
    PACKET_BYTES = 200                  # of the smallest that is of use
    INTERVAL_MS = 2000
    INTERVAL_MOST_MS = 4000             # while more is wanted
    ROOM_MS = 30000                     # while only room is
    ROOM_MOST_MS = 60000
    AFTER_DROP_MS = 2000
    SETTLE_MS = 100
    EXPIRES_MS = 1500                   # sent or not, and whether feedback came or not


cdef void probe_init(Prober* p, int64_t start_bps, int64_t most) noexcept nogil:
    memset(p, 0, sizeof(Prober))
    p.start_bps = start_bps
    p.most = most
    p.next_id = 1
    p.next_at = -1
    p.interval = <int64_t>INTERVAL_MS * MS
    p.cluster.first_number = -1


cdef inline bint _reaches(const Prober* p, int64_t estimate, double share) noexcept nogil:
    # So much of what is wanted, or as good as that.
    return min(p.most, <int64_t>(share * p.wanted)) < WORTH * estimate


cdef bint _plan(Prober* p, double rate, int64_t estimate, int64_t now) noexcept nogil:
    cdef ProbeCluster* c = &p.cluster
    cdef int64_t bps = min(<int64_t>rate, min(p.most, <int64_t>(FURTHEST * p.wanted)))
    cdef int64_t bytes
    if bps < WORTH * estimate or c.id != 0:
        return False
    memset(c, 0, sizeof(ProbeCluster))
    bytes = bps * CLUSTER_MS // 8000
    bytes = min(bytes, max(estimate, p.start_bps // 2) * DRAIN_MS // 8000)
    c.id = p.next_id
    c.bps = bps
    c.least_bytes = <int32_t>max(bytes, CLUSTER_PACKETS * PACKET_BYTES)
    c.least_packets = CLUSTER_PACKETS
    c.first_number = -1
    c.planned_at = now
    p.next_id = 1 if p.next_id == 0xffff else p.next_id + 1
    return True


cdef void probe_set_wanted(Prober* p, int64_t wanted, int64_t estimate, int64_t now) noexcept nogil:
    cdef bint more = _reaches(p, estimate, WANTED)
    cdef bint room = _reaches(p, estimate, ROOM)
    p.wanted = wanted
    if not p.started:
        return
    if _reaches(p, estimate, ROOM):
        p.next_at = -1
    elif not _reaches(p, estimate, WANTED) and (more or p.next_at < 0):
        # Something new is wanted, somebody waits for it.
        p.content = False
        p.interval = <int64_t>INTERVAL_MS * MS
        p.next_at = max(now, p.settled_at)
    elif room:
        # Probes came as far as they were to go; now there is further to go.
        p.content = True
        p.interval = <int64_t>ROOM_MS * MS
        p.next_at = max(now, p.settled_at)


cdef void probe_begin(Prober* p, int64_t estimate, int64_t now) noexcept nogil:
    if p.started:
        return
    p.started = True
    p.next_at = now + p.interval
    if not _plan(p, FIRST * p.start_bps, estimate, now) and _reaches(p, estimate, ROOM):
        p.next_at = -1


cdef void probe_dropped(Prober* p, int64_t now) noexcept nogil:
    if p.cluster.id != 0 and not p.cluster.taken:
        p.cluster.id = 0           # the link is full as it is
    p.content = False
    p.interval = <int64_t>INTERVAL_MS * MS
    p.next_at = now + <int64_t>AFTER_DROP_MS * MS


cdef void probe_tick(Prober* p, int64_t estimate, bint clear, int64_t now) noexcept nogil:
    cdef bint content = _reaches(p, estimate, WANTED)
    cdef int64_t most = ROOM_MOST_MS if content else INTERVAL_MOST_MS
    if p.cluster.id != 0 and now - p.cluster.planned_at >= <int64_t>EXPIRES_MS * MS:
        p.cluster.id = 0
    if not p.started:
        return
    if _reaches(p, estimate, ROOM):
        p.next_at = -1
        return
    if p.next_at < 0 or content != p.content:
        if content != p.content:
            p.interval = <int64_t>(ROOM_MS if content else INTERVAL_MS) * MS
        p.content = content
        p.next_at = now + p.interval
    if now < p.next_at or p.cluster.id != 0:
        return
    if not clear:
        p.next_at = now + <int64_t>SETTLE_MS * MS
        return
    # The first one of all asks for much.
    _plan(p, max(MORE * estimate, FIRST * p.start_bps if p.next_id == 1 else 0), estimate, now)
    p.next_at = now + p.interval
    p.interval = min(p.interval * 3 // 2, most * MS)


cdef bint probe_goes_on(const Prober* p, int64_t estimate) noexcept nogil:
    return p.cluster.id != 0 and not _reaches(p, estimate, 1.0)


cdef bint probe_disturbs(const Prober* p, int64_t now) noexcept nogil:
    return now < p.settled_at or (p.cluster.id != 0 and p.cluster.first_number >= 0)


cdef int64_t probe_due(const Prober* p) noexcept nogil:
    cdef int64_t expires
    if p.cluster.id == 0:
        return p.next_at
    expires = p.cluster.planned_at + <int64_t>EXPIRES_MS * MS
    return expires


cdef const ProbeCluster* probe_take(Prober* p, int64_t now) noexcept nogil:
    if p.cluster.id == 0 or p.cluster.taken:
        return NULL
    p.cluster.taken = True
    p.cluster.planned_at = now
    return &p.cluster


cdef void probe_sent(Prober* p, int64_t number, uint32_t size, uint16_t probe, int64_t now) noexcept nogil:
    cdef ProbeCluster* c = &p.cluster
    if probe == 0 or probe != c.id:
        return
    if c.first_number < 0:
        c.first_number = number
    c.last_number = number
    c.bytes += size
    c.packets += 1


cdef void probe_result(
    Prober* p, int64_t number, uint32_t size, int64_t sent_at, int64_t arrived_at, int64_t now
) noexcept nogil:
    cdef ProbeCluster* c = &p.cluster
    if c.id == 0 or c.first_number < 0 or number < c.first_number or number > c.last_number:
        return
    if arrived_at < 0:
        c.lost += 1
        return
    if c.arrived == 0 or arrived_at < c.first_arrived:
        c.first_arrived = arrived_at
        c.first_size = size
    if c.arrived == 0 or sent_at < c.first_sent:
        c.first_sent = sent_at
    if c.arrived == 0 or sent_at >= c.last_sent:
        c.last_sent = sent_at
        c.last_size = size
    if c.arrived == 0 or arrived_at > c.last_arrived:
        c.last_arrived = arrived_at
    c.arrived += 1
    c.arrived_bytes += size


cdef int64_t _rate(const ProbeCluster* c, int64_t least, bint* saturated) noexcept nogil:
    # 0: the arrivals tell nothing.
    cdef int64_t sent = c.last_sent - c.first_sent
    cdef int64_t arrived = c.last_arrived - c.first_arrived
    cdef double send_bps, receive_bps
    saturated[0] = False
    if c.lost > LOSSY * (c.arrived + c.lost) and c.arrived >= LEAST_ARRIVED and arrived > 0:
        # More was lost than any link does by nature: it was full, and what came through is what it carries.
        saturated[0] = True
        return min(c.bps, <int64_t>(UTILISED * (c.arrived_bytes - c.first_size) * 8e9 / arrived))
    if c.arrived < RECEIVED * c.least_packets or c.arrived_bytes < RECEIVED * c.least_bytes or arrived <= 0:
        return 0
    # Sent in one burst, the sending took no time: then the plan's rate is as much as can be believed.
    send_bps = c.bps
    if sent > 0:
        send_bps = min(send_bps, (c.arrived_bytes - c.last_size) * 8e9 / sent)
    receive_bps = (c.arrived_bytes - c.first_size) * 8e9 / arrived
    if receive_bps > INVALID * send_bps:
        # Its first packets waited behind something. The whole way tells the least that the link carries.
        arrived = c.last_arrived - c.first_sent - least
        if arrived <= 0:
            return 0
        receive_bps = min(receive_bps, c.arrived_bytes * 8e9 / arrived)
    if receive_bps < UNSATURATED * send_bps:
        saturated[0] = True
        return <int64_t>(UTILISED * receive_bps)
    return <int64_t>min(send_bps, receive_bps)


cdef int64_t probe_take_result(
    Prober* p, int64_t newest, int64_t least, int64_t estimate, bint* saturated, int64_t now
) noexcept nogil:
    cdef ProbeCluster* c = &p.cluster
    cdef int64_t found, probed
    cdef bint doubts, unheard
    saturated[0] = False
    if c.id == 0 or c.first_number < 0 or newest < c.last_number:
        return 0
    if c.bytes < c.least_bytes or c.packets < c.least_packets:
        return 0                        # still being sent
    found = _rate(c, least, saturated)
    probed = c.bps
    unheard = c.arrived + c.lost == 0
    c.id = 0
    p.settled_at = now + <int64_t>SETTLE_MS * MS
    if found > WORTH * estimate:
        p.interval = <int64_t>INTERVAL_MS * MS
    doubts, p.doubted = p.doubted, saturated[0]
    if not saturated[0] and found < ENOUGH * probed and (found > 0 or unheard) \
            and (not p.repeats or found > WORTH * estimate):
        p.repeats = _plan(p, probed, max(found, estimate), now)
        return found
    p.repeats = False
    if found >= ENOUGH * probed and not (saturated[0] and doubts):
        if _plan(p, SECOND_STEP * found, found, now):
            p.next_at = now + p.interval
    return found
