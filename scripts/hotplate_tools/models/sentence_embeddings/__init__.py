"""The sentence-embeddings model: its trainer, and what it is published from."""
