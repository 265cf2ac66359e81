"""The rings between planes by themselves, for tests of their memory ordering."""

class RingProbe:
    """A pool of `packets` buffers and one ring. write() and read() hold no GIL: they are for two threads at once."""

    def __init__(self, packets: int) -> None: ...
    def write(self, count: int) -> int:
        """Write so many numbered packets, into buffers that the reader is done with. A sum over what was written."""

    def read(self, count: int, batch: int) -> tuple[int, int]:
        """Read so many, giving them back in batches. A sum over what was read, and how much of it was wrong."""

    def free(self) -> int:
        """Buffers that nobody refers to."""
