"""The model co2: its trainer, and what it is published from."""
