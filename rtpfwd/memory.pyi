"""What a plane's structs occupy: exact sums over what it holds now, in bytes."""

from rtpfwd.plane import Plane

def memory_report(plane: Plane) -> dict[str, dict[str, int]]:
    """By what it is for:

    fixed: state, queues, output, packets: from the constructor on, whatever is added; tables: that of streams grows.
    history: bytes, and slots of `slot` bytes, free ones among them.
    transports: count, structs (with their addresses), srtp_windows (by SSRC received; RTCP's indices too), feedback.
    producers: count, encodings, structs, streams (of the encodings), missing, history_rings.
    consumers: count, structs, sent_rings (what can be asked for again).
    sizes: of one struct each.

    libsrtp's sessions, SRTP's keys and Python's objects are not in it. The lock is held for as long as it takes.
    """
