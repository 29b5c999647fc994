"""The breast-cancer model: its trainer, and what it is published from."""
