"""The generic function: serves any published graph's tensors as they are."""
