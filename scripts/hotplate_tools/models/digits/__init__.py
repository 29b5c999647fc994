"""The digits model: its training data, its trainer, and its source folder (`model.yaml` and files)."""
