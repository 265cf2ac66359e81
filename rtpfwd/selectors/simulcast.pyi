"""One of several encodings of a video: to another one at its keyframe."""

from rtpfwd.selector import Selector

class Simulcast(Selector):
    """One of several encodings of a video, each with temporal layers."""
