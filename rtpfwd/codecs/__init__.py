"""What one packet's payload shows of its frame, codec by codec."""
