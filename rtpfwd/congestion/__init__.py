"""Congestion control at native speed: one file for each box of the paper. docs/congestion.md."""
