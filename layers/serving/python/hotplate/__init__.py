"""hotplate's serving runtime: everything that runs inside the Lambda function, and nothing else."""

__version__ = "0.1.0"
