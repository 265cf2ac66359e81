# Packets into groups, and groups into differences: how much later than the group before did this one leave, and how
# much later did it arrive (draft-ietf-rmcat-gcc-02 section 5.2). A burst of one GSO send is one group, a probe too.

from libc.stdint cimport int64_t, uint16_t

cdef struct PacketGroup:
    int64_t first_sent          # ns
    int64_t last_sent
    int64_t first_arrived       # ns of the viewer's clock
    int64_t last_arrived
    uint16_t probe              # 0 = none

cdef struct InterArrival:       # all zero when new
    bint started                # there is a current group
    bint has_previous
    PacketGroup current
    PacketGroup previous
    int reordered               # groups in a row that arrived before the one sent before them

cdef struct GroupDelta:
    int64_t sent                # ns between the last packets of two groups
    int64_t arrived             # ns between the arrivals of them
    int64_t arrived_at          # ns, of the later one

# One packet that arrived, in order of sending. True: two groups are complete and their difference is in `delta`.
cdef bint arrival_add(
    InterArrival* a, int64_t sent_at, int64_t arrived_at, uint16_t probe, GroupDelta* delta
) noexcept nogil
