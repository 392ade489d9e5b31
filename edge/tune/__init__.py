"""`edge tune`: thresholds from recordings, with their effect, decided by the same code as live."""
