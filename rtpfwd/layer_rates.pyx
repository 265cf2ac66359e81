"""What of each layer of one received stream came within the last second."""

from libc.stdint cimport int64_t
from libc.string cimport memset

cdef enum:
    SPAN = 125_000_000          # ns


cdef void _advance(LayerMeter* meter, int64_t span) noexcept nogil:
    if span - meter.newest >= RATE_SLOTS:
        memset(meter.spans, 0, sizeof(meter.spans))
        meter.newest = meter.first = span
    while meter.newest < span:
        meter.newest += 1
        memset(&meter.spans[meter.newest % RATE_SLOTS], 0, sizeof(LayerSpan))


cdef void layer_rates_add(LayerMeter* meter, const PacketView* view, int64_t now) noexcept nogil:
    cdef int spatial = min(max(view.layer.spatial, 0), RATED_SPATIAL - 1)
    cdef int temporal = min(max(view.layer.temporal, 0), RATED_TEMPORAL - 1)
    cdef LayerSpan* span
    _advance(meter, now / SPAN)
    span = &meter.spans[meter.newest % RATE_SLOTS]
    span.bytes[spatial][temporal] += view.size
    span.frames[spatial][temporal] += view.is_frame_start


cdef bint layer_rates_read(
    LayerMeter* meter, int spatial, int temporal, int64_t now, LayerFigures* out) noexcept nogil:
    # The newest span is still filling, so the figures cover the whole ones before it; until there is one, just that.
    cdef int64_t total = 0
    cdef int64_t frames = 0
    cdef int64_t whole, span
    if meter.newest == 0:
        return False
    _advance(meter, now / SPAN)
    whole = min(meter.newest - meter.first, <int64_t>RATE_SLOTS - 1)
    for span in range(meter.newest - whole, meter.newest + (whole == 0)):
        total += meter.spans[span % RATE_SLOTS].bytes[spatial][temporal]
        frames += meter.spans[span % RATE_SLOTS].frames[spatial][temporal]
    whole = max(whole, <int64_t>1)
    out.bps = total * 8 * 8 / whole
    out.frames_per_second = frames * 8.0 / <double>whole
    return total > 0
