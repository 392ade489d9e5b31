"""Labelled scenes, composed of recordings and of what the code makes."""
