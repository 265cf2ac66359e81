"""How long a test waits for what must come before it is called a failure.

Not for what is promised within a time, such as a stop within two seconds: that is the same everywhere.
"""

from __future__ import annotations

import os

# CI's machines are shared, and stall for seconds now and then. A wait that ends early costs nothing.
_STARVED = 4.0


def patience(seconds: float) -> float:
    """`seconds`: what is enough on a quiet machine; there it is the bound, in CI it is multiplied."""
    return seconds * _STARVED if os.environ.get("CI") == "true" else seconds
