"""The per-packet choice for one consumer, and the selectors known by name."""

from collections.abc import Callable

class Selector:
    """Base of every selector; by itself it drops everything. Subclassed in Cython through rtpfwd/selector.pxd."""

    def __init__(self, *, video: bool) -> None: ...
    @property
    def video(self) -> bool:
        """A viewer can begin at a keyframe only."""

def register(name: str, factory: Callable[..., Selector]) -> None:
    """Make `factory(*, video: bool) -> Selector` known as `name`. ValueError when the name is taken by another one."""

def create(name: str, *, video: bool) -> Selector:
    """A new selector of this name. ValueError when none is registered under it."""
