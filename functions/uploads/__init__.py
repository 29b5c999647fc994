"""Signs uploads of inputs that are too large for a call."""
