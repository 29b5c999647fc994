"""From a model of any framework to an ONNX file whose answers were compared with the framework's own."""
