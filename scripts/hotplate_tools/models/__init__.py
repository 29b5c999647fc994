"""One package a model of the catalogue: how it was trained, and its source folder."""
