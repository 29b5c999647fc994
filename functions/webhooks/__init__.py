"""Tells callers' own servers that their jobs have ended."""
