# Adding and removing: links, look-up entries, SRTP sessions, and the cascades. All under the plane's mutex, no GIL.
#
# add_* take over a struct that rtpfwd.convert made; when they refuse it, it stays the caller's. What was removed goes to
# PlaneState.dead_*, for rtpfwd.convert to free with the GIL and with the plane unlocked: Python references, and memory and SRTP
# state whose freeing takes long.

from libc.stdint cimport int64_t, uint32_t

from rtpfwd.srtp cimport SrtpKeys, SrtpReceiver, SrtpSession
from rtpfwd.state cimport Consumer, Encoding, PlaneState, Producer, StreamRef, Transport
from rtpfwd.tables cimport Endpoint

cdef enum Refusal:              # results of the functions below; 0 is success
    REFUSED_FULL = -1           # max_transports or max_streams
    REFUSED_SSRC = -2           # taken on this transport
    REFUSED_MID = -3            # taken on this transport, or MID with RID
    REFUSED_MEMORY = -4
    REFUSED_SRTP = -5           # libsrtp refused the keys
    REFUSED_ADDRESSES = -6      # too many addresses admitted
    REFUSED_SOCKET = -7         # taken by another transport
    REFUSED_MIRRORED = -8       # this plane has a mirror of it already

cdef int add_transport(PlaneState* s, Transport* t) noexcept nogil
# Takes over both sessions and gives back those of earlier keys, for the caller to close with the plane unlocked. Then nothing
# is sent until open_some_senders has returned False; the plane can be unlocked between its calls.
cdef void set_keys(PlaneState* s, Transport* t, SrtpReceiver** receiver, SrtpSession* control) noexcept nogil
cdef bint open_some_senders(PlaneState* s, Transport* t, const SrtpKeys* send_keys) noexcept nogil
cdef int admit(PlaneState* s, Transport* t, int socket, const Endpoint* address) noexcept nogil
cdef void dismiss(PlaneState* s, int socket, const Endpoint* address) noexcept nogil
cdef int admit_any(PlaneState* s, Transport* t, int socket, bint comedia) noexcept nogil
# As long as a removal takes more than this many consumers along, the plane can be unlocked in between: True: there are more.
cdef bint remove_some_consumers(PlaneState* s, Transport* t, Producer* p) noexcept nogil
cdef void remove_transport(PlaneState* s, Transport* t) noexcept nogil

# Everything of a producer that needs no plane but memory; before add_producer or add_mirror, outside the mutex. -1: no memory.
cdef int prepare_producer(PlaneState* s, Producer* p) noexcept nogil
cdef int add_producer(PlaneState* s, Transport* t, Producer* p) noexcept nogil
# A producer of another plane (p.origin_*), whose packets come through a ring.
cdef int add_mirror(PlaneState* s, Producer* p) noexcept nogil
cdef void remove_producer(PlaneState* s, Producer* p) noexcept nogil
# Binds an SSRC that was found by MID, RID or payload type. 0 or a Refusal.
cdef int learn_ssrc(PlaneState* s, Transport* t, Encoding* e, uint32_t ssrc, bint rtx, int64_t now) noexcept nogil
cdef StreamRef* find_stream(PlaneState* s, const Transport* t, int direction, uint32_t ssrc) noexcept nogil

cdef int add_consumer(PlaneState* s, Transport* t, Producer* p, Consumer* c) noexcept nogil
cdef void remove_consumer(PlaneState* s, Consumer* c) noexcept nogil
