"""Audio-visual edge monitor: capture -> buffer -> engine -> detect -> publish."""

__version__ = "0.4.0"
