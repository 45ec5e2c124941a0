"""What a kernel knows of external venues, for whoever watches their sessions."""
