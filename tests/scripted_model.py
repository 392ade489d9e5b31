"""A model whose answers a test makes up: each call is done when it is begun."""

from __future__ import annotations

from collections.abc import Sequence

from edge.engine.model import ModelOutput
from edge.types import Window


class ScriptedModel:
    """Stands in for `Model` before a `Pipeline`; `score` is the test's own."""

    max_batch: int
    workers = 1
    _done = ModelOutput()

    def score(self, windows: Sequence[Window]) -> ModelOutput:
        raise NotImplementedError

    @property
    def free_rows(self) -> Sequence[int]:
        return range(self.max_batch)

    def is_computing(self, camera: str | None = None) -> bool:
        return False

    def begin(self, windows: Sequence[Window]) -> None:
        found = self.score(windows)
        self._done = ModelOutput(found.scores, found.infer_ns, windows)

    def collect(self, *, wait: bool) -> ModelOutput:
        done, self._done = self._done, ModelOutput()
        return done
