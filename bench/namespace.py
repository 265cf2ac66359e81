"""A network namespace of its own for a whole comparison: every server and the generator, under the same conditions.

Some servers refuse loopback addresses in ICE. So the bench starts itself again inside a namespace that has one more
interface, a veth pair whose one end holds ADDRESS. What is sent to an address of one's own never reaches an
interface: the kernel carries it over lo, whatever server sends it. As root `unshare --net` does it; for others a user
namespace beside it, where that is permitted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from bench.errors import BenchError

ADDRESS: Final = "10.11.12.1"  # private (RFC 1918), and seen by nobody outside the namespace
_MARK: Final = "SIGHTLINE_BENCH_NAMESPACE"
_WAYS: Final = (("--net",), ("--user", "--map-root-user", "--net"))
_INTERFACES: Final = (
    ("link", "set", "lo", "up"),
    ("link", "add", "bench0", "type", "veth", "peer", "name", "bench1"),
    ("address", "add", f"{ADDRESS}/24", "dev", "bench0"),
    ("link", "set", "bench1", "up"),
    ("link", "set", "bench0", "up"),
)


def inside() -> bool:
    """Whether this process was started by `enter`."""
    return os.environ.get(_MARK) == ADDRESS


def enter(arguments: Sequence[str]) -> NoReturn:
    """Become `sightline ARGUMENTS` inside a new namespace. BenchError when this user may not make one.

    The process keeps its id, its terminal and its working directory. Nothing before it is undone: call it first.
    """
    unshare = _program("unshare", "util-linux")
    _program("ip", "iproute2")
    for way in _WAYS:
        done = subprocess.run([unshare, *way, "true"], capture_output=True, check=False)
        if done.returncode == 0:
            command = [unshare, *way, sys.executable, "-m", "bench.namespace", *arguments]
            os.execv(unshare, command)
    raise BenchError(
        "comparing needs a network namespace of its own, which this user may not make. Run it as root, or permit user "
        "namespaces (sysctl kernel.unprivileged_userns_clone=1, or kernel.apparmor_restrict_unprivileged_userns=0)"
    )


def set_up() -> None:
    """The interfaces of a fresh namespace. BenchError with what `ip` said."""
    ip = _program("ip", "iproute2")
    for command in _INTERFACES:
        done = subprocess.run([ip, *command], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(f"`ip {' '.join(command)}` failed in the new network namespace: {done.stderr.strip()}")


def _program(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise BenchError(f"{name} is needed to make a network namespace. On Debian: sudo apt-get install {package}")
    return path


def main() -> None:
    """Inside: set up, then become the command line."""
    try:
        set_up()
    except BenchError as refused:
        print(f"Error: {refused}", file=sys.stderr)
        raise SystemExit(2) from None
    os.environ[_MARK] = ADDRESS
    os.execv(sys.executable, [sys.executable, "-m", "server", *sys.argv[1:]])


if __name__ == "__main__":
    main()
