"""Measuring the ways to run the model on this box, and remembering the best."""
