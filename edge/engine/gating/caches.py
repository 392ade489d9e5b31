"""What each camera's parts last gave, and what its last answer was made of. A camera is worked on by one thread at a
time; different cameras may be by several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge.engine.contract import Array
from edge.types import Window


@dataclass(slots=True)
class PartCache:
    """A part's outputs by camera, and whose outputs lie in each row of the runtime's own buffers ``rows``."""

    rows: Mapping[str, Array]
    owner: list[str | None]
    cameras: dict[str, dict[str, Array]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)

    def store(self, window: Window) -> None:
        """The row was computed for ``window``."""
        if not self.is_as_kept(window):
            self.versions[window.camera] = self.version(window.camera) + 1
        cached = self.cameras.get(window.camera)
        if cached is None:
            cached = self.cameras[window.camera] = {name: np.empty_like(a[0]) for name, a in self.rows.items()}
        for name, array in self.rows.items():
            cached[name][...] = array[window.row]
        self._set_owner(window)

    def is_as_kept(self, window: Window) -> bool:
        """Whether the row holds what is kept of the window's camera, bit for bit."""
        cached = self.cameras.get(window.camera)
        return cached is not None and all(
            cached[name].tobytes() == array[window.row].tobytes() for name, array in self.rows.items()
        )

    def restore(self, window: Window) -> None:
        """Have the row hold what was kept of the window's camera."""
        if self.owner[window.row] == window.camera:
            return
        for name, cached in self.cameras[window.camera].items():
            self.rows[name][window.row] = cached
        self._set_owner(window)

    def overwrite(self, row: int) -> None:
        """What lies in ``row`` is nobody's from now."""
        self.owner[row] = None

    def version(self, camera: str) -> int:
        """Grows whenever other bits are kept of ``camera``."""
        return self.versions.get(camera, 0)

    def forget(self, camera: str) -> None:
        """Drop what was kept of ``camera``."""
        self.cameras.pop(camera, None)
        for row, owner in enumerate(self.owner):
            if owner == camera:
                self.owner[row] = None

    def _set_owner(self, window: Window) -> None:
        """Only the newest row of a camera is its own: others hold what was true earlier."""
        for row, owner in enumerate(self.owner):
            if owner == window.camera:
                self.owner[row] = None
        self.owner[window.row] = window.camera


class AnswerInputs:
    """Whether the answer of a camera's last window is that of the next one, because every bit that it rests on is."""

    def __init__(self, inputs: Sequence[Array], features: Sequence[PartCache]) -> None:
        """``inputs``: the buffers that the fusion reads beside ``features``."""
        self._inputs, self._features = tuple(inputs), tuple(features)
        self._cameras: dict[str, tuple[object, ...]] = {}

    def are_as_before(self, window: Window) -> bool:
        """Whether the row holds what it held when `note` was last called for its camera."""
        return self._cameras.get(window.camera) == self._read(window)

    def note(self, window: Window) -> None:
        """The camera's answer was made from what the row holds."""
        self._cameras[window.camera] = self._read(window)

    def forget(self, camera: str) -> None:
        """Make the next answer of ``camera`` anew."""
        self._cameras.pop(camera, None)

    def _read(self, window: Window) -> tuple[object, ...]:
        versions = (cache.version(window.camera) for cache in self._features)
        return (*versions, *(array[window.row].tobytes() for array in self._inputs))
