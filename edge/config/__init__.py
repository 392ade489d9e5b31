"""config.yaml as frozen values, with line-numbered errors and secrets that never show.

`load` reads config.yaml, and drawings of the page; `yaml_reader` parses within limits; `explain` describes faults. The
models are in `models` (the whole, evidence), `sources` (cameras, microphones, sensors), `rules` (events) and `services`
(broker, page and other outputs).
"""

from edge.config.load import OFFLINE, LoadedConfig, load, parse, save_drawn
from edge.config.models import Config

__all__ = ["OFFLINE", "Config", "LoadedConfig", "load", "parse", "save_drawn"]
