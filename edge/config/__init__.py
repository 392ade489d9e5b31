"""config.yaml as frozen values, with line-numbered errors and secrets that never show.

`load` reads a file; the models are in `models` (the whole) and `sources` (cameras, microphones, sensors).
"""

from edge.config.load import Loaded, load, parse
from edge.config.models import Config

__all__ = ["Config", "Loaded", "load", "parse"]
