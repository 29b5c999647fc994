"""Ends endpoints on SageMaker whose lease is over."""
