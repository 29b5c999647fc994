"""The model digit-features: its trainer, and what it is published from."""
