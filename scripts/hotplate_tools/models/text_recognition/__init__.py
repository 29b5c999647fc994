"""The text-recognition model: its trainer, and what it is published from."""
