# The types with which feedback.py is compiled. An arrival is None when there was none.

cimport cython

cdef long long _TICK
cdef long long _REFERENCE
cdef int _MISSING
cdef int _SMALL
cdef int _LARGE
cdef int _RUN
cdef int _VECTOR

@cython.locals(
    base="long long", reference="long long", clock="long long", symbols=list, deltas=bytearray, taken=Py_ssize_t,
    number="long long", delta="long long",
)
cdef tuple _one_message(long long own_ssrc, long long ssrc, int count, list arrivals)

@cython.locals(at=Py_ssize_t, end=Py_ssize_t, word=int, symbol=int, place=int)
cdef bytes _chunks(list symbols)

@cython.locals(
    base=int, total=int, reference="long long", symbols=list, at=Py_ssize_t, word=int, results=list,
    clock="long long", place=int, symbol=int, delta="long long", number=int,
)
cdef list _read_transport_feedback(bytes body)
