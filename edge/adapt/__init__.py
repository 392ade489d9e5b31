"""`edge learn events`: new events from a few clips, and the way back."""
