"""Batch prediction: files of rows cut into chunks, predicted, joined; knows bytes, not where they lie."""
