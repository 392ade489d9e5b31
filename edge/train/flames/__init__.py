"""Simulated fires and their lookalikes."""
