"""A new model in the project: its function, its block in the template, its source folder, its test."""
