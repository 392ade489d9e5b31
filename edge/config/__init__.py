"""config.yaml as frozen values, with line-numbered errors and secrets that never show.

`load` reads a file; the models are in `models` (the whole), `sources` (cameras, microphones, sensors), `rules`
(events), `services` (ways out) and `keeping` (evidence). `drawn` holds what was drawn on the page.
"""

from edge.config.load import Loaded, load, parse, save_drawn
from edge.config.models import Config

__all__ = ["Config", "Loaded", "load", "parse", "save_drawn"]
