"""How long a viewer on a lossy path should keep frames back, so that what was lost is repaired in time. Pure.

A lost packet is missed with the next one, asked for, and there again a round trip later. Browsers keep frames back for
their jitter only; then the repair comes after the next frame was shown, and upper temporal layers are lost for good.
"""

from __future__ import annotations

import math

LOSSY = 0.01  # of packets, lost by the path's nature: from here on
CLEAN = 0.003  # until here again
MISSED_MS = 40  # until the next frame shows that the end of one was lost: 25 frames a second
STEP_MS = 30  # less is no reason for a change


def least_delay(before: int, inherent_loss: float, rtt_ms: float, most: int) -> int:
    """Milliseconds, of tens; 0: no more than the browser finds right. `before`: the answer of the last time.

    `rtt_ms` as feedback shows it: with the viewer's wait before it sends some. Where repairs take longer than `most`,
    nobody waits for them.
    """
    if inherent_loss < (CLEAN if before else LOSSY) or not rtt_ms:
        return 0
    wanted = math.ceil((rtt_ms + MISSED_MS) / 10) * 10
    if wanted > most:
        return 0
    return before if before and abs(wanted - before) < STEP_MS else wanted
