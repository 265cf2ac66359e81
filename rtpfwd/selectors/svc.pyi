"""Layers within one stream. Up at a keyframe or where the higher layer can be joined, down at the next picture."""

from rtpfwd.selector import Selector

class Svc(Selector):
    """Spatial and temporal layers within one stream."""
