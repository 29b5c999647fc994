"""The dates model: how dates are written, its network, its trainer, and what it is published from."""
