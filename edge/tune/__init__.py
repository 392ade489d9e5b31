"""`edge tune`: thresholds from recordings, decided by the same code as live, with what they would have changed."""
