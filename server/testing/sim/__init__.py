"""Whole calls over bad links in virtual time, with encoders and jitter buffers, and what their viewers saw."""
