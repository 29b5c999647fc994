"""Files under `in/` are predicted row by row."""
