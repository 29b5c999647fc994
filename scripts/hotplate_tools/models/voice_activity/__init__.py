"""The voice-activity model: its trainer, and what it is published from."""
