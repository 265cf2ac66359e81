"""Audio, as it is and at once. What is held leaves no gap in the numbering, so going on needs no new beginning."""

from rtpfwd.selector import Selector

class Audio(Selector):
    """Forwards everything at once, but for what is held. A source that restarts begins anew."""
