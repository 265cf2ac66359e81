"""Selectors that come with the plane. Importing this package registers them by name."""

from rtpfwd.selectors import audio, passthrough, simulcast, svc

__all__ = ["audio", "passthrough", "simulcast", "svc"]
