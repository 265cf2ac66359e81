"""The typed face of the burst."""

from rtpfwd.srtp import SrtpPolicy

class Burst:
    """Sends SRTP on a connected UDP socket (borrowed)."""

    def __init__(self, fd: int, policy: SrtpPolicy) -> None: ...
    def send(self, packets: list[bytes]) -> int:
        """Put the time into each packet's stamp (server/testing/stamps.py), protect all, send all at once.

        At most 64 packets of 24 to 1500 bytes in the clear, without padding. Returns how many the socket took.
        """
