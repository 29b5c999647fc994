"""The ocr model: its trainer, and what it is published from."""
