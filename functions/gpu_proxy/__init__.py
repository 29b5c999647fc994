"""Requests to the model that runs on SageMaker."""
