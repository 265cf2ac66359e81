"""Whose fault an error is, in its type."""

from __future__ import annotations


class LocalError(Exception):
    """Our caller asked for something impossible. The message says what, where and what to do."""


class RemoteError(Exception):
    """The remote party broke its protocol: costs that transport at most."""


class BadPacket(RemoteError):
    """Bytes from the network that are not what they claim to be. The only thing that `*_untrusted` functions raise."""

    def __init__(self, reason: str) -> None:
        """`reason`: a short constant, used as the label of a drop counter: never bytes or addresses."""
        super().__init__(reason)
        self.reason = reason
