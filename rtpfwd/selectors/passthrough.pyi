"""One encoding as it is: video from the first keyframe on, audio at once."""

from rtpfwd.selector import Selector

class Passthrough(Selector):
    """Forwards everything after it began. A source that restarts begins anew."""
