"""Ranking candidate models on the user's own rows, before any of them is deployed."""
