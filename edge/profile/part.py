"""One learned part as one file: arrays and plain facts, written whole or not at all."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.files import atomic_write

_FACTS = "__facts__"


@dataclass(frozen=True, slots=True)
class ProfilePart:
    """``arrays`` of numbers by name and ``facts`` that JSON can hold."""

    arrays: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any] = field(default_factory=dict)


def save_part(path: Path, part: ProfilePart) -> None:
    """Write ``part`` so that ``path`` holds either what it held or all of it, whenever the power goes; SinkError."""
    text = json.dumps(dict(part.facts), sort_keys=True, allow_nan=False)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{_FACTS: np.frombuffer(text.encode(), np.uint8)}, **dict(part.arrays))  # type: ignore[arg-type]
    atomic_write(path, buffer.getvalue(), "make room or check who owns it")


def load_part(path: Path) -> ProfilePart:
    """Read what `save_part` wrote; InputError when it is damaged or cannot be read."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        facts = json.loads(arrays.pop(_FACTS).tobytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); learn again or roll back") from error
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: is damaged ({error}); learn again, or `edge learn rollback`") from error
    return ProfilePart(arrays, facts)
