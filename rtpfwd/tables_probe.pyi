"""The table of streams by itself, for tests. No production code imports it."""

class Words:
    """A WordTable of at most `limit` keys, from number to number above 0."""

    size: int
    leaving: int
    used: int

    def __init__(self, limit: int, seed: int) -> None: ...
    def put(self, key: int, value: int) -> bool:
        """False: full."""

    def get(self, key: int) -> int:
        """0: there is none."""

    def remove(self, key: int) -> None: ...
