"""TensorRT: library, engines, CUDA."""
