"""Training that goes on where it was killed: state on disk, written whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.files import atomic_path


@dataclass(frozen=True, slots=True)
class TrainingPaths:
    """Where things are: open data, starting weights, Debian packages' root (or None), photographs (or None), the work
    folder, and the engine folder to write."""

    data: Path
    weights: Path
    packages: Path | None
    photos: Path | None
    work: Path
    out: Path


def save(path: Path, state: Any) -> None:
    """Write `state` (tensors, numbers, strings, dicts and lists of them) in place of what was there."""
    import torch

    with atomic_path(path) as partial:
        torch.save(state, partial)


def load(path: Path) -> Any:
    """What was kept, or None."""
    import torch

    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None
