"""The front door's guard: who asks, and whether this may be asked."""
