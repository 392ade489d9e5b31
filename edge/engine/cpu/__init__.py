"""Graphs on the processor: ONNX Runtime and OpenVINO."""
