# Probing: short clusters of packets above the estimate, and what their arrival tells of the link. At the start, and while
# more is wanted than the estimate. draft-ietf-rmcat-gcc-02 names none; the checks are libwebrtc's published ones.

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t

cdef struct ProbeCluster:       # the one whose packets are on their way
    uint16_t id                 # 0 = none
    int64_t bps                 # to be sent at
    int32_t least_bytes         # to be sent
    int32_t least_packets
    bint taken                  # given to the sender
    int64_t planned_at          # ns; when it was taken, from then on
    int64_t first_number        # extended; -1 = nothing was sent
    int64_t last_number         # newest packet of it sent
    int64_t bytes               # sent
    int32_t packets
    int32_t arrived             # packets
    int32_t lost
    int64_t arrived_bytes
    int64_t first_sent          # ns, of what arrived
    int64_t last_sent
    int64_t first_arrived       # ns of the viewer's clock
    int64_t last_arrived
    uint32_t first_size         # bytes of the packet that arrived first
    uint32_t last_size          # and of the one sent last

cdef struct Prober:             # probe_init
    int64_t start_bps
    int64_t wanted              # bit/s
    int64_t most                # bit/s
    bint started                # the first probes were asked for
    uint16_t next_id
    ProbeCluster cluster
    int64_t next_at             # ns of the next probe while more, or more room, is wanted; -1 = none is planned
    int64_t interval            # ns, grows while probes find nothing
    bint content                # what is wanted can be sent: probes only look for room
    bint doubted                # the last one found a full link, as a short cluster may by mistake: one more was tried
    bint repeats                # the last one told little because it left late: the same is on its way again
    int64_t settled_at          # ns: the queue that the last one left is gone

cdef void probe_init(Prober* p, int64_t start_bps, int64_t most) noexcept nogil
cdef void probe_set_wanted(Prober* p, int64_t wanted, int64_t estimate, int64_t now) noexcept nogil
# Something can be sent, media or padding. Once.
cdef void probe_begin(Prober* p, int64_t estimate, int64_t now) noexcept nogil
# The estimate fell.
cdef void probe_dropped(Prober* p, int64_t now) noexcept nogil
# Time passes. `clear`: no queue builds up, so a probe may be planned.
cdef void probe_tick(Prober* p, int64_t estimate, bint clear, int64_t now) noexcept nogil
# What is wanted was not found, and a cluster follows that may find it.
cdef bint probe_goes_on(const Prober* p, int64_t estimate) noexcept nogil
# Packets of a probe are on their way, or what they left in the queue is.
cdef bint probe_disturbs(const Prober* p, int64_t now) noexcept nogil
cdef int64_t probe_due(const Prober* p) noexcept nogil      # ns; -1 = never
# What is to be sent from now on; NULL: nothing.
cdef const ProbeCluster* probe_take(Prober* p, int64_t now) noexcept nogil
# Any packet that was sent; and any that feedback tells of, arrived_at -1 when it is lost.
cdef void probe_sent(Prober* p, int64_t number, uint32_t size, uint16_t probe, int64_t now) noexcept nogil
cdef void probe_result(
    Prober* p, int64_t number, uint32_t size, int64_t sent_at, int64_t arrived_at, int64_t now
) noexcept nogil
# After all packets of a feedback message up to `newest`: the rate found, 0 when there is no result. `saturated`: the
# link was full, so this is its capacity. `least`: the least that a packet took lately, viewer's clock less ours, ns.
cdef int64_t probe_take_result(
    Prober* p, int64_t newest, int64_t least, int64_t estimate, bint* saturated, int64_t now
) noexcept nogil
