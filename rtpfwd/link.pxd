# Producers that are forwarded to other planes: what goes into the rings and what is made of it at the other end.
#
# A plane writes to its rings and reads the others' under its own mutex; nothing here takes two planes' mutexes. An entry names
# its producer or consumer by slot and generation, so one about something removed meanwhile is passed over.

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from rtpfwd.rings cimport Packet
from rtpfwd.state cimport Consumer, Encoding, PlaneState, Producer

# Joins planes. None is linked already (the caller saw to it). -1: no memory; then nothing changed.
cdef int link_join(PlaneState** planes, int count) noexcept nogil
# The plane closes: it reads and writes nothing any more. Its buffers live on until the last plane of the group closes.
cdef void link_leave(PlaneState* s) noexcept nogil
# What a plane does for one of another plane: `detach` takes a mirror off its origin's list. Not under a plane's mutex.
cdef void link_detach(PlaneState* s, uint32_t plane, uint32_t slot, uint32_t generation, uint32_t mirror_slot,
                      uint32_t mirror_generation) noexcept nogil

# At the plane that receives the producer.
cdef void link_packet(PlaneState* s, const Encoding* e, Packet* packet, int64_t now) noexcept nogil
cdef void link_facts(PlaneState* s, const Encoding* e, int64_t now) noexcept nogil
cdef void link_begin_anew(PlaneState* s, const Producer* p, int64_t now) noexcept nogil
# At the plane that mirrors it. False: no room.
cdef bint link_keyframe(PlaneState* s, const Encoding* e, int64_t now) noexcept nogil
cdef bint link_resend(
    PlaneState* s, const Consumer* c, const Encoding* e, uint32_t in_seq, uint16_t seq, int64_t now) noexcept nogil

# Takes what the other planes wrote, as much as there is room for. True: something was taken; then stage 2 is next, which also
# gives it back.
cdef bint link_receive(PlaneState* s, int64_t now) noexcept nogil
cdef int64_t link_waiting(const PlaneState* s) noexcept nogil      # ns when the oldest thing not taken was written; -1: none
# Gives back every buffer that the other planes are done with.
cdef void link_reclaim(PlaneState* s) noexcept nogil
# A buffer for a received packet, or NULL: all are in use.
cdef Packet* link_packet_take(PlaneState* s) noexcept nogil

# Waking, for the lane. link_sleep before the last look at link_waiting; then whoever writes wakes this plane's wake_fd.
cdef void link_sleep(PlaneState* s) noexcept nogil
cdef void link_awake(PlaneState* s) noexcept nogil
# The planes that were given something and sleep: bits by index. Each has to be woken by the caller.
cdef uint64_t link_sleepers(PlaneState* s) noexcept nogil
# The eventfd that wakes the plane with this index, or -1. It stays open until link_wake_end.
cdef int link_wake_begin(PlaneState* s, uint32_t index) noexcept nogil
cdef void link_wake_end(PlaneState* s, uint32_t index) noexcept nogil
# The lane's eventfd; -1 before it is closed.
cdef void link_set_wake(PlaneState* s, int fd) noexcept nogil
