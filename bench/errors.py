"""What can end a bench early."""

from __future__ import annotations


class BenchError(Exception):
    """The bench could not be run; the message says why and what to do."""
