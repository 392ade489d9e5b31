"""Capture in worker processes: each reads and decodes many network cameras, and sends what it reads to the daemon."""
