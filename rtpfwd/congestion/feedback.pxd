# Transport-wide feedback read (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1). A message is looked at
# whole when it is opened, so what is read from it afterwards can't fail.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

cdef enum:
    FEEDBACK_UNIT = 250000      # ns of one receive delta
    FEEDBACK_STEP = 64000000    # ns of one step of the reference time

cdef struct FeedbackReader:
    uint16_t base               # transport-wide number of the first packet told of
    uint16_t count              # packets told of, 1 and up
    uint32_t reference          # 24 bits, steps of 64 ms; wraps
    uint8_t message             # counts the messages; wraps
    # The rest is feedback_next's own.
    const uint8_t* chunk        # next chunk
    const uint8_t* delta        # next receive delta
    uint16_t status             # the chunk being read
    int left                    # packets of it not yet read
    int given                   # packets read

# 0, or DROP_RTCP_MALFORMED.
cdef int feedback_open_untrusted(FeedbackReader* f, const uint8_t* body, int size) noexcept nogil
# The next packet in order of numbers. True: it arrived, `delta` ns (maybe negative) after the one that arrived before,
# or after the reference time. To be called `count` times.
cdef bint feedback_next(FeedbackReader* f, int64_t* delta) noexcept nogil

cdef struct FeedbackClock:      # all zero when new: the reference time without its wrap
    bint started
    int64_t steps               # of 64 ms

# ns of the viewer's clock at which the deltas begin. Messages may come out of order.
cdef int64_t feedback_reference(FeedbackClock* clock, uint32_t reference) noexcept nogil
