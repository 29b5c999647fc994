"""The text-detection model: its trainer, and what it is published from."""
