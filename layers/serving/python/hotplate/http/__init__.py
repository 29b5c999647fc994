"""The API Gateway edge: events in, results out."""
