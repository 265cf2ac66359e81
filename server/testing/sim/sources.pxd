# The types with which sources.py is compiled. Times are nanoseconds, sizes bytes, rates bit/s.

cimport cython


cdef class Outgoing:
    cdef readonly bytes head
    cdef readonly bytes tail
    cdef readonly long long size


cdef class SendStream:
    cdef readonly long long ssrc
    cdef readonly long long rtx_ssrc
    cdef readonly long long sent  # packets
    cdef readonly long long sent_bytes  # of their payloads
    cdef readonly long long retransmitted
    cdef readonly long long last_timestamp
    cdef int _payload_type
    cdef int _rtx_payload_type
    cdef int _seq
    cdef int _rtx_seq
    cdef list _history
    cdef bytes _prefix
    cdef bytes _rtx_prefix
    cdef bytes _level_prefix
    cdef bytes _number
    cdef bytes _pad

    @cython.locals(seq=int, head=bytes)
    cpdef Outgoing packet(self, bytes payload, long long timestamp, bint marker)


cdef class Encoder:
    cdef readonly object encoding
    cdef readonly SendStream stream
    cdef readonly bint active
    cdef readonly long long target
    cdef public bint keyframe_wanted
    cdef readonly long long keyframes
    cdef readonly long long frames
    cdef object _rng
    cdef int _fps
    cdef tuple _pattern
    cdef int _place
    cdef int _picture_id
    cdef int _tl0
    cdef double _debt
    cdef int _slide_in
    cdef int _refining
    cdef long long _number

    @cython.locals(average=double, size=double, wanted=double)
    cdef long long _size(self, double share, bint keyframe) except -1

    @cython.locals(
        first=bytes, lead=bytes, payload=bytes, count=int, index=int, length=int, flags=int, layer=int, part="long long"
    )
    cdef list _packets(
        self, long long size, long long timestamp, long long now, bint keyframe, int temporal, bint sync
    )


cdef class Camera:
    cdef readonly list encoders
    cdef readonly bint screen
    cdef public long long next_frame
    cdef long long _period
    cdef long long _base

    @cython.locals(timestamp="long long", encoder=Encoder)
    cpdef list frames(self, long long now)


cdef class Microphone:
    cdef readonly SendStream stream
    cdef public long long next_frame
    cdef object _rng
    cdef double _talks
    cdef bint _talking
    cdef long long _turn_at
    cdef long long _base
    cdef long long _number

    cpdef list frames(self, long long now)
