"""The Open Inference Protocol: bytes in, tensors out, and back. Pure; knows neither HTTP nor AWS."""
