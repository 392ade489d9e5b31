"""From calibrated scores to events, and from the status of cameras to health events."""
