"""config.yaml as frozen values, with line-numbered errors and secrets that never show.

`load` reads a file: `yaml_reader` within limits; `explain` and `redaction` say what is wrong with it. The models are in
`models` (the whole), `sources` (cameras, microphones, sensors), `rules` (events), `services` (ways out) and `keeping`
(evidence). `drawn` holds what was drawn on the page.
"""

from edge.config.load import OFFLINE, LoadedConfig, load, parse, save_drawn
from edge.config.models import Config

__all__ = ["OFFLINE", "Config", "LoadedConfig", "load", "parse", "save_drawn"]
