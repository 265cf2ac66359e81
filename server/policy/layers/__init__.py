"""Who gets which layer."""
