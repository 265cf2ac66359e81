# What a remote end says: media, RTCP, consent checks.

from libc.stdint cimport int64_t, uint8_t, uint64_t

from bench.playout cimport Sent
from bench.state cimport End, Loop

# Do everything that is due for it; the caller schedules it anew.
cdef void end_timeout(Loop* loop, int number, int64_t now) noexcept nogil
# One datagram as it is.
cdef void end_send(Loop* loop, End* end, const uint8_t* data, int size) noexcept nogil
# Answer a NACK for one sequence number.
cdef void resend(Loop* loop, End* end, Sent* sent, int seq) noexcept nogil
cdef int64_t consent_interval(Loop* loop) noexcept nogil    # ns, random
cdef uint64_t next_random(Loop* loop) noexcept nogil
