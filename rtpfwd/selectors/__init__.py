"""Selectors that come with the plane. Importing this package registers them by name."""

from rtpfwd.selectors import passthrough

__all__ = ["passthrough"]
