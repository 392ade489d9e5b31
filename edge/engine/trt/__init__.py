"""TensorRT: library, engines, CUDA; and the model's graph in the precisions that only it runs."""
