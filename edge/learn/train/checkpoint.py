"""Training that goes on where it was killed: state on disk, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from edge.files import atomic_path


def save(path: Path, state: Any) -> None:
    """Write `state` (tensors, numbers, strings, dicts and lists of them) in place of what was there."""
    with atomic_path(path) as partial:
        torch.save(state, partial)


def load(path: Path) -> Any:
    """What was kept, or None."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None
