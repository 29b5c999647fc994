"""Models that generate text and have a fallback: requests go on, answers come back while they are made."""
