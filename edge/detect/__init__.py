"""Calibrated scores become events; facts about the sources become health events."""
