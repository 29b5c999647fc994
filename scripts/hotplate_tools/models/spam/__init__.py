"""The model spam: its trainer, and what it is published from."""
