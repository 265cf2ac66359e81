# What of each layer of one received stream came within the last second: a few adds per packet, in fixed memory.
# A LayerMeter is all zero when new. A payload that names no layer counts as layer 0.

from libc.stdint cimport int64_t, uint16_t, uint32_t

from rtpfwd.rate cimport RATE_SLOTS
from rtpfwd.types cimport PacketView

cdef enum:
    RATED_SPATIAL = 4           # layers told apart; higher ones count as the highest
    RATED_TEMPORAL = 4          # the same

cdef struct LayerSpan:          # of 125 ms
    uint32_t bytes[RATED_SPATIAL][RATED_TEMPORAL]   # of RTP
    uint16_t frames[RATED_SPATIAL][RATED_TEMPORAL]  # that began

cdef struct LayerMeter:
    LayerSpan spans[RATE_SLOTS] # a ring
    int64_t newest              # number of the newest span: its time in ns / 125 ms
    int64_t first               # of the span in which it began, or began again after a second of silence

cdef struct LayerFigures:       # of one layer by itself
    int64_t bps                 # RTP bytes
    double frames_per_second

cdef void layer_rates_add(LayerMeter* meter, const PacketView* view, int64_t now) noexcept nogil
# False: nothing of this layer came within the last second.
cdef bint layer_rates_read(
    LayerMeter* meter, int spatial, int temporal, int64_t now, LayerFigures* out) noexcept nogil
