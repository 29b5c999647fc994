"""Making a checked graph quick to load, and measuring what that is worth."""
