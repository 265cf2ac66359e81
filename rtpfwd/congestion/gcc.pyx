"""Python face of the congestion controller: for shadow policies, the simulator and tests. Signatures: gcc.pyi."""

from libc.stdint cimport int64_t

from rtpfwd.congestion.controller cimport (
    Congestion, CongestionConfig, CongestionState, PacketResult, ProbePlan, congestion_close, congestion_configure,
    congestion_due, congestion_feedback_untrusted, congestion_open, congestion_override, congestion_pacing_bps,
    congestion_remb, congestion_report, congestion_results, congestion_sent, congestion_sent_beside, congestion_set_wanted,
    congestion_state, congestion_take_probe, congestion_tick, congestion_watch,
)

CAUSES = ("start", "hold", "increase", "overuse", "loss", "probe", "remb", "silence", "set")


cdef class Gcc:
    cdef Congestion* _congestion

    def __cinit__(
        self, *, int64_t start_bps=600_000, int64_t min_bps=30_000, int64_t max_bps=100_000_000, int64_t now=0
    ):
        cdef CongestionConfig config = _config(start_bps, min_bps, max_bps)
        self._congestion = congestion_open(&config, now)
        if self._congestion == NULL:
            raise MemoryError
        congestion_watch(self._congestion, True)

    def __dealloc__(self):
        congestion_close(self._congestion)

    def configure(self, *, int64_t start_bps, int64_t min_bps, int64_t max_bps, int64_t now):
        cdef CongestionConfig config = _config(start_bps, min_bps, max_bps)
        congestion_configure(self._congestion, &config, now)

    def sent(self, int seq, unsigned int size, int probe, int64_t now):
        congestion_sent(self._congestion, seq & 0xffff, size, probe, now)

    def sent_beside(self, unsigned int size, int64_t now):
        congestion_sent_beside(self._congestion, size, now)

    def feedback(self, bytes body not None, int64_t now):
        return congestion_feedback_untrusted(self._congestion, body, <int>len(body), now) == 0

    def results(self):
        cdef const PacketResult* found
        cdef int count = congestion_results(self._congestion, &found)
        return tuple([
            (found[i].sent_at, found[i].arrived_at if found[i].arrived_at >= 0 else None, found[i].size, found[i].probe)
            for i in range(count)
        ])

    def report(self, int fraction_lost, unsigned int packets, int64_t rtt, int64_t now):
        congestion_report(self._congestion, fraction_lost, packets, rtt, now)

    def remb(self, int64_t bps, int64_t now):
        congestion_remb(self._congestion, bps, now)

    def set_wanted(self, int64_t bps, int64_t now):
        congestion_set_wanted(self._congestion, bps, now)

    def override(self, bps, int64_t now):
        congestion_override(self._congestion, -1 if bps is None else bps, now)

    def tick(self, int64_t now):
        congestion_tick(self._congestion, now)

    def due(self):
        cdef int64_t due = congestion_due(self._congestion)
        return None if due < 0 else due

    def take_probe(self, int64_t now):
        cdef ProbePlan plan
        if not congestion_take_probe(self._congestion, &plan, now):
            return None
        return plan.id, plan.bps, plan.bytes, plan.packets

    @property
    def estimate_bps(self):
        cdef CongestionState state
        congestion_state(self._congestion, &state)
        return state.estimate_bps

    @property
    def pacing_bps(self):
        return congestion_pacing_bps(self._congestion)

    def state(self):
        cdef CongestionState state
        congestion_state(self._congestion, &state)
        found = state
        return {**found, "cause": CAUSES[state.cause], "pacing_bps": congestion_pacing_bps(self._congestion)}


cdef CongestionConfig _config(int64_t start_bps, int64_t min_bps, int64_t max_bps) except *:
    cdef CongestionConfig config
    if not 0 < min_bps <= start_bps <= max_bps:
        raise ValueError(f"rates must be 0 < min {min_bps} <= start {start_bps} <= max {max_bps} bit/s")
    config.start_bps = start_bps
    config.min_bps = min_bps
    config.max_bps = max_bps
    return config
