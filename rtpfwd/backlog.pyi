"""The face of the lane's backlog for tests."""

class BacklogProbe:
    """A backlog of its own: eight lines (sockets), datagrams of kind 0 (RTCP), 1 (audio) and 2 (video)."""

    slots: int
    def __init__(self) -> None: ...
    def push(self, line: int, kind: int, data: bytes) -> None:
        """A datagram to the end of a line."""

    def pop(self, line: int) -> bytes | None:
        """The first of a line."""

    def clear(self, line: int) -> None:
        """Drop a line."""

    def counts(self) -> tuple[int, dict[str, int]]:
        """How many datagrams wait, and how many were dropped, by "other", "audio" and "video"."""
