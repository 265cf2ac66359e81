"""What outlives the process: rooms made over REST, and the history of calls."""
