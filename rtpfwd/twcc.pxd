# Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01): what a publisher's
# send-side estimate needs. One recorder per transport that receives the extension.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from rtpfwd.cursor cimport Writer

cdef enum:
    TWCC_WINDOW = 512           # packets of one feedback message at most, received or missing between
    TWCC_INTERVAL_MS = 80       # between two feedback messages


cdef struct TwccFeedback:
    bint started                # a numbered packet was received since the last clear
    int64_t base                # extended number of the first packet of the next message
    int64_t newest              # highest extended number received
    uint32_t received           # packets recorded for the next message
    int64_t* arrivals           # ns + 1, by number % TWCC_WINDOW; 0: not received. NULL until twcc_open
    uint8_t count               # feedback message count
    int64_t due                 # ns; -1: nothing to report


cdef void twcc_init(TwccFeedback* f) noexcept nogil
# Before the first packet that is recorded: most transports receive none. Opened twice does no harm. -1: no memory.
cdef int twcc_open(TwccFeedback* f) noexcept nogil
cdef void twcc_close(TwccFeedback* f) noexcept nogil
# One packet with transport-wide number `seq`. True: a message is full and should be written now.
cdef bint twcc_receive(TwccFeedback* f, uint16_t seq, int64_t now) noexcept nogil
# Appends one feedback message over what was received and begins the next. 0; -1 nothing to report or it does not fit.
cdef int twcc_write(TwccFeedback* f, Writer* w, uint32_t sender, uint32_t media) noexcept nogil
