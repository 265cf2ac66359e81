# The types with which player.py is compiled. Times are nanoseconds; numbers of packets, pictures and TL0PICIDX unwrapped.

cimport cython


cdef long long _SECOND
cdef long long _NEVER
cdef int _NONE
cdef int _CLOCK_BYTES
cdef long long _WAIT_FOR_KEYFRAME
cdef long long _WAIT_FOR_FRAME
cdef long long _LEAST_OF
cdef long long _LEAST_DELAY
cdef long long _MOST_DELAY

cpdef long long unwrap(long long value, long long last, long long span) except? -1

@cython.locals(value="unsigned long long", at=Py_ssize_t)
cpdef long long number_in(bytes data, Py_ssize_t start, Py_ssize_t end) except? -1


cdef class _Frame:
    cdef long long timestamp
    cdef long long first
    cdef long long last
    cdef long long packets
    cdef long long stamp
    cdef bint keyframe
    cdef int height
    cdef long long picture
    cdef long long tl0
    cdef int temporal
    cdef bint sync


cdef class StreamFigures:
    cdef public long long packets
    cdef public long long bytes
    cdef public long long duplicates
    cdef public long long missing
    cdef public long long repaired
    cdef public long long nacks
    cdef public long long keyframe_requests
    cdef public long long keyframes
    cdef public long long undecodable
    cdef public list transit


cdef class Receiver:
    cdef readonly long long ssrc
    cdef readonly long long clock_rate
    cdef readonly StreamFigures figures
    cdef readonly long long highest
    cdef long long _first
    cdef long long _received
    cdef tuple _reported
    cdef double _jitter
    cdef long long _last_transit
    cdef tuple _sr

    cpdef void receive(
        self, long long seq, long long timestamp, int marker, bytes data, Py_ssize_t start, Py_ssize_t end, long long at
    ) except *

    @cython.locals(transit="long long")
    cdef void _count(self, long long timestamp, long long at) except *


cdef class AudioPlayer(Receiver):
    @cython.locals(number="long long", figures=StreamFigures)
    cpdef void receive(
        self, long long seq, long long timestamp, int marker, bytes data, Py_ssize_t start, Py_ssize_t end, long long at
    ) except *


cdef class VideoPlayer(Receiver):
    cdef readonly list shown
    cdef readonly object output
    cdef public long long rtt_ns
    cdef readonly long long delay_ns  # of the jitter buffer
    cdef public long long least_delay_ns
    cdef long long _held_until
    cdef long long _own_ssrc
    cdef dict _frames
    cdef dict _waiting
    cdef dict _missing
    cdef long long _ask_at
    cdef dict _groups
    cdef long long _picture
    cdef long long _tl0
    cdef bint _needs_keyframe
    cdef long long _keyframe_at
    cdef int _height  # lines
    cdef long long _timestamp
    cdef long long _least
    cdef long long _least_before
    cdef long long _least_since

    cpdef void receive(
        self, long long seq, long long timestamp, int marker, bytes data, Py_ssize_t start, Py_ssize_t end, long long at
    ) except *

    @cython.locals(seq="long long")
    cpdef void receive_again(
        self, long long timestamp, int marker, bytes data, Py_ssize_t start, Py_ssize_t end, long long at
    ) except *
    cpdef long long next_timeout(self) except? -1

    @cython.locals(figures=StreamFigures, highest="long long", number="long long", frame=_Frame)
    cdef void _take(
        self,
        long long seq,
        long long timestamp,
        int marker,
        bytes data,
        Py_ssize_t start,
        Py_ssize_t end,
        long long at,
        bint again,
    ) except *

    @cython.locals(extended=int, at=Py_ssize_t, flags=int)
    cdef void _describe(self, _Frame frame, bytes data, Py_ssize_t start) except *
    cdef void _complete(self, _Frame frame, long long at) except *

    @cython.locals(follower=_Frame)
    cdef void _decode_followers(self, long long at) except *

    @cython.locals(due="long long", number="long long")
    cdef bint _lets_pass(self, _Frame frame, long long at) except *
    cdef long long _captured(self, _Frame frame) except? -1
    cdef long long _unwrapped(self, _Frame frame) except? -1

    @cython.locals(decoded=int)
    cdef bint _decodable(self, _Frame frame) except *
    cdef void _decode(self, _Frame frame, long long at) except *

    cdef void _begin_anew(self, _Frame frame) except *

    @cython.locals(transit="long long", late="long long", step="long long", due="long long")
    cdef void _show(self, _Frame frame, long long at) except *
