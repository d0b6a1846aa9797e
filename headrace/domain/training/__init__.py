"""From features and labels to a model package: fitting, conversion to ONNX, evaluation. Knows no service."""
