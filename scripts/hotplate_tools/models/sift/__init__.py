"""The model sift: what it is published from, and the pictures it is checked with."""
