"""Requests that are worked on later."""
