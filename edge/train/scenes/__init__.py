"""Labelled scenes, composed of recordings and of synthetic pictures, sounds and sensor readings."""
