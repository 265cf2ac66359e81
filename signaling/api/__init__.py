"""The HTTP face beside the calls themselves: rooms and history under /api/v1, health and metrics."""
