"""Why the domain refuses a command. A refused command has changed nothing."""

from __future__ import annotations

from server.errors import LocalError


class InvalidArgument(LocalError):
    """The request can never succeed as written."""


class NotFound(LocalError):
    """No entity has that id, or it is closed."""


class AlreadyExists(LocalError):
    """The id that the caller chose is taken."""


class WrongState(LocalError):
    """The right request at the wrong time: connecting twice, producing before connecting."""


class Unsupported(LocalError):
    """Valid, but nothing here can do it: a codec that the router lacks."""


class LimitReached(LocalError):
    """A limit of this node is reached. The message names it."""


class Stopping(LocalError):
    """The node is stopping and takes nothing new."""


class Broken(Exception):
    """Our own fault while carrying out a command; what it touched has been closed, the traceback is in the log."""
