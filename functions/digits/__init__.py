"""The function that serves handwritten digits: `model.py` is what is particular to it."""
