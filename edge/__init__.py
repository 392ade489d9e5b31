"""Audio-visual edge monitor: capture -> buffer -> engine -> detect -> publish."""

__version__ = "0.1.0"
