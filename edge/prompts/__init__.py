"""Prompts: events described in words, grounded in what the model knows, and scored in each window."""
