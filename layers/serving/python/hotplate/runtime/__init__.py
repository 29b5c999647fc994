"""The only room that talks to ONNX Runtime."""
