"""Learning on the box, without torch: taught events, what is normal."""
