"""Audio-visual edge monitor: capture -> buffer -> engine -> detect -> publish."""

__version__ = "0.5.2"
