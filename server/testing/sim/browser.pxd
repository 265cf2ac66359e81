# The types with which browser.py is compiled. Times are nanoseconds, sizes bytes, transport-wide numbers unwrapped.

cimport cython

from server.testing.sim.player cimport Receiver, VideoPlayer, number_in, unwrap
from server.testing.sim.rate_control cimport DelayAimd
from server.testing.sim.sources cimport Camera, Microphone, Outgoing

cdef long long _MS
cdef long long _SECOND
cdef long long _NEVER
cdef int _FORGOTTEN


cdef class Browser:
    cdef readonly str name
    cdef readonly object server
    cdef readonly long long own_ssrc
    cdef readonly list output
    cdef readonly list cameras
    cdef readonly list microphones
    cdef readonly dict players
    cdef readonly long long rtt_ns
    cdef readonly bint connected
    cdef readonly long long unclaimed
    cdef readonly long long received_bytes
    cdef readonly DelayAimd control
    cdef object _rng
    cdef str _fragment
    cdef str _password
    cdef tuple _remote
    cdef object _tie_breaker
    cdef long long _check_at
    cdef dict _checks
    cdef dict _streams
    cdef dict _repairs
    cdef list _watched
    cdef object _paced  # deque
    cdef long long _pace_at
    cdef long long _number
    cdef dict _sent
    cdef dict _arrivals
    cdef long long _arrived_bytes
    cdef long long _newest
    cdef long long _told
    cdef long long _feedback_at
    cdef long long _feedback_since
    cdef long long _feedbacks
    cdef long long _report_at

    @cython.locals(first=int)
    cpdef void receive(self, bytes data, long long at) except *

    @cython.locals(soonest="long long", camera=Camera, microphone=Microphone, player=VideoPlayer)
    cpdef long long next_timeout(self) except -1

    @cython.locals(camera=Camera, microphone=Microphone, player=VideoPlayer)
    cpdef void handle_timeout(self, long long now) except *

    @cython.locals(rate="long long", packet=Outgoing)
    cdef void _pace(self, long long now) except *

    @cython.locals(number="long long", data=bytes)
    cdef void _send(self, Outgoing packet, long long now) except *

    @cython.locals(
        first=int, kind=int, seq=int, timestamp="long long", ssrc="long long", start=Py_ssize_t, end=Py_ssize_t,
        words=int, place=Py_ssize_t, mark=int, player=Receiver, repaired=VideoPlayer,
    )
    cdef void _receive_rtp(self, bytes data, long long at) except *

    @cython.locals(number="long long")
    cdef void _arrived(self, int short, Py_ssize_t size, long long at) except *

    @cython.locals(results=list, short=int, number="long long", sent=tuple)
    cdef void _take_feedback(self, bytes body, long long now) except *

    @cython.locals(arrivals=list, rate="long long", pause="long long")
    cdef void _send_feedback(self, long long now) except *
