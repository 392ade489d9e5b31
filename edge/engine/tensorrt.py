"""placeholder"""

from __future__ import annotations
from edge.engine.manifest import ModelFolder
from edge.errors import RuntimeUnavailable


class TensorRtRuntime:
    @classmethod
    def open(cls, folder: ModelFolder, precision: str, max_batch: int) -> "TensorRtRuntime":
        raise RuntimeUnavailable("tensorrt is not installed")
