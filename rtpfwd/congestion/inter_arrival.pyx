"""Grouping as libwebrtc's published behaviour has it: 5 ms of sending are one group, and what arrives closer together
than it was sent belongs to the burst before, because a link that was busy or asleep let both go at once."""

from libc.string cimport memset

cdef enum:
    SPAN_MS = 5                 # sending time of one group
    BURST_MS = 5                # arrivals closer than this may belong to one burst,
    BURST_MAX_MS = 100          # which is never longer than this
    REORDERED_MAX = 3           # groups in a row out of order before all begins anew
    JUMP_MS = 3000              # the viewer's clock jumped, or it slept
    MS = 1000000


cdef inline bint _belongs(const PacketGroup* g, int64_t sent_at, int64_t arrived_at, uint16_t probe) noexcept nogil:
    cdef int64_t sent, arrived
    if g.probe or probe:
        return g.probe == probe
    if sent_at - g.first_sent <= <int64_t>SPAN_MS * MS:
        return True
    sent = sent_at - g.last_sent
    arrived = arrived_at - g.last_arrived
    return (
        arrived - sent < 0
        and arrived <= <int64_t>BURST_MS * MS
        and arrived_at - g.first_arrived < <int64_t>BURST_MAX_MS * MS
    )


cdef inline void _begin(PacketGroup* g, int64_t sent_at, int64_t arrived_at, uint16_t probe) noexcept nogil:
    g.first_sent = g.last_sent = sent_at
    g.first_arrived = g.last_arrived = arrived_at
    g.probe = probe


cdef bint _difference(InterArrival* a, GroupDelta* delta) noexcept nogil:
    delta.sent = a.current.last_sent - a.previous.last_sent
    delta.arrived = a.current.last_arrived - a.previous.last_arrived
    delta.arrived_at = a.current.last_arrived
    if delta.arrived - delta.sent > <int64_t>JUMP_MS * MS:
        memset(a, 0, sizeof(InterArrival))
        return False
    if delta.arrived < 0:
        a.reordered += 1
        if a.reordered >= REORDERED_MAX:
            memset(a, 0, sizeof(InterArrival))
        return False
    a.reordered = 0
    return True


cdef bint arrival_add(
    InterArrival* a, int64_t sent_at, int64_t arrived_at, uint16_t probe, GroupDelta* delta
) noexcept nogil:
    cdef bint complete = False
    if not a.started:
        a.started = True
        _begin(&a.current, sent_at, arrived_at, probe)
        return False
    if sent_at < a.current.first_sent:
        return False            # of a group that is complete: told of late
    if _belongs(&a.current, sent_at, arrived_at, probe):
        if sent_at > a.current.last_sent:
            a.current.last_sent = sent_at
        if arrived_at > a.current.last_arrived:
            a.current.last_arrived = arrived_at
        return False
    if a.has_previous:
        complete = _difference(a, delta)
    a.previous = a.current
    a.has_previous = a.started  # nothing was before, when all begins anew
    a.started = True
    _begin(&a.current, sent_at, arrived_at, probe)
    return complete
