"""Other SFUs behind bench/target.py, to be compared with. bench/PEERS.md says how each is obtained and tuned.

Nothing is imported from here before a peer is asked for by name: each needs programs and packages of its own.
"""

from __future__ import annotations
