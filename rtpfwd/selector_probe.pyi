"""Python face of a selector with its rewriter, for tests. No production code imports it."""

from rtpfwd.selector import Selector

class Choosing:
    """What the plane does with the packets for one consumer, up to the numbers they get."""

    def __init__(self, selector: Selector) -> None: ...
    def take(
        self,
        *,
        ext_seq: int,
        now: int,
        timestamp: int = 0,
        encoding: int = 0,
        spatial: int = -1,
        temporal: int = -1,
        keyframe: bool = False,
        start: bool = False,
        end: bool = False,
        marker: bool = False,
        switch_point: bool = False,
        needs_lower: bool = False,
        has_descriptor: bool = False,
        active_targets: int = 0,
        restart: bool = False,
    ) -> tuple[str, int, int, bool] | None:
        """One packet: (verdict, sequence number, timestamp, marker) of what is sent; None: nothing is."""

    def set_target(self, spatial: int, temporal: int) -> None: ...
    def set_forwarding(self, *, on: bool) -> None: ...
    def reset(self) -> None: ...
    @property
    def current(self) -> tuple[int, int]: ...
    @property
    def wants_keyframe(self) -> bool: ...
    @property
    def wanted_encoding(self) -> int: ...
