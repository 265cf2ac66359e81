"""The typed face of the lane: with egress the only part of rtpfwd that makes system calls and reads the clock."""

from rtpfwd.params import Address
from rtpfwd.plane import Plane

class Lane:
    """One forwarding thread over one plane. Its clock is CLOCK_MONOTONIC, the same as time.monotonic_ns()."""

    def __init__(self, plane: Plane, *, index: int = 0, cpu: int = -1, coalesce_us: int = 0) -> None:
        """`index` names the thread of run(): sl-lane-<index>. `cpu`: the one it stays on; -1: any. `coalesce_us`, 0 to
        200: how long a lane that was idle waits for the rest of a burst before it forwards; 0: not at all."""

    @property
    def index(self) -> int: ...
    @property
    def handoff_fd(self) -> int:
        """An eventfd: readable when the plane has something for Python to poll. Clear it by reading 8 bytes."""

    def add_socket(self, fd: int) -> int:
        """Serve a bound, non-blocking UDP socket (borrowed: the caller closes it, after remove_socket). IPv4, IPv6
        or dual-stack. Returns its socket id; the first one is 0."""

    def remove_socket(self, socket: int) -> None: ...
    def send(self, socket: int, address: Address, data: bytes) -> None:
        """Send one datagram of Python's (STUN, DTLS) now. What the kernel refuses is counted, not raised."""

    def run(self) -> None:
        """Forward until stop(). Call it in a thread of its own; it holds no GIL. OSError when the CPU is refused. The
        thread's name and CPUs are its own again afterwards."""

    def stop(self) -> None:
        """Make run() return soon. Safe from any thread, before and after run()."""

    def wake(self) -> None:
        """Make the loop look at the plane's next timeout and output again, after a command changed them."""

    def counters(self) -> dict[str, int]:
        """wakeups, receive_calls, send_calls, send_errors, …: docs/forwarding.md names and explains all."""
