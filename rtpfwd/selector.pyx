"""The per-packet choice for one consumer, and the selectors known by name."""

from rtpfwd.types cimport DROP, PacketView, Verdict

_factories = {}


cdef class Selector:
    """Base of every selector; by itself it drops everything. `video`: a viewer can begin at a keyframe only."""

    def __init__(self, *, bint video):
        self.video = video
        self.held = False
        self.target.spatial = -1
        self.target.temporal = -1
        self.current.spatial = -1
        self.current.temporal = -1

    cdef Verdict select(self, const PacketView* view) noexcept nogil:
        return DROP

    cdef bint wants_keyframe(self) noexcept nogil:
        return False

    cdef int wanted_encoding(self) noexcept nogil:
        return -1

    cdef void reset(self) noexcept nogil:
        self.current.spatial = -1
        self.current.temporal = -1


def register(name, factory):
    """Make `factory(*, video: bool) -> Selector` known as `name`. ValueError when the name is taken by another one."""
    if _factories.setdefault(name, factory) is not factory:
        raise ValueError(f"a selector named {name!r} is registered already; choose another name")


def create(name, *, video):
    """A new selector of this name. ValueError when none is registered under it."""
    factory = _factories.get(name)
    if factory is None:
        raise ValueError(f"no selector is named {name!r}; registered: {', '.join(sorted(_factories)) or 'none'}")
    return factory(video=video)
