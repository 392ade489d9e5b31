"""A profile: a folder of numbered versions of learned parts, one of them current. A version never changes.

::

    profile/
      current            the number of the version in use
      0001/profile.json  which model it was learned with, and notes
      0001/events.npz    a part (`edge.profile`)

A part is one file of arrays and plain facts, written completely or not at all.
"""

from __future__ import annotations

import fcntl
import io
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.engine.manifest import Manifest
from edge.errors import InputError, SinkError
from edge.files import atomic_write, sync_folder

_FACTS = "__facts__"
SCHEMA = 1
VERSIONS_KEPT = 20  # versions to keep; older ones are deleted when a new one is written


@dataclass(frozen=True, slots=True)
class ProfilePart:
    """``arrays`` of numbers by name and ``facts`` that JSON can hold."""

    arrays: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any] = field(default_factory=dict)


def save_part(path: Path, part: ProfilePart) -> None:
    """Write ``part`` so that ``path`` has either its old or its new content, even after a power cut; SinkError."""
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


@dataclass(frozen=True, slots=True)
class ProfileVersion:
    """One version: its number, the model it was learned with, notes, and the files of its parts."""

    number: int
    path: Path
    model: str
    graph_sha256: str
    notes: Mapping[str, Any]

    def part(self, name: str) -> ProfilePart | None:
        """A part, or None when it was not learned; InputError when its file is damaged."""
        file = self.path / f"{name}.npz"
        return load_part(file) if file.exists() else None

    def parts(self) -> tuple[str, ...]:
        """The names of the parts that are there."""
        return tuple(sorted(file.stem for file in self.path.glob("*.npz")))

    def check(self, manifest: Manifest) -> None:
        """InputError when it was learned with another model, because its numbers would have another meaning."""
        if self.graph_sha256 != manifest.sha256:
            raise InputError(
                f"{self.path}: learned with model {self.model} ({self.graph_sha256[:12]}), but the model here is "
                f"{manifest.name} {manifest.version} ({manifest.sha256[:12]}); learn again with this model"
            )


class ProfileFolder:
    """A profile on disk. Reading a folder that does not exist yet finds nothing; writing makes it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def current(self) -> ProfileVersion | None:
        """The version in use; None when nothing was learned yet. InputError when the folder is damaged."""
        pointer = self.path / "current"
        try:
            text = pointer.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{pointer}: cannot be read ({error}); is this a profile folder?") from error
        if not text.isdigit():
            raise InputError(f"{pointer}: does not hold a version number; write one of {self._numbers()} into it")
        return self._read(int(text))

    def require_current(self) -> ProfileVersion:
        """The version in use; InputError when there is none."""
        version = self.current()
        if version is None:
            raise InputError(f"{self.path}: no profile here; make one with `edge learn normal` or `edge learn events`")
        return version

    def versions(self) -> list[ProfileVersion]:
        """All versions, oldest first."""
        return [self._read(number) for number in self._numbers()]

    def write(self, manifest: Manifest, parts: Mapping[str, ProfilePart], notes: Mapping[str, Any]) -> ProfileVersion:
        """A new current version of ``parts`` and of the parts that the current one has besides; SinkError.

        Parts that another model learned are not carried over. Killed at any moment, the old version stays current.
        """
        with self._locked():
            before = self.current()
            numbers = self._numbers()
            number = numbers[-1] + 1 if numbers else 1
            partial = self.path / f".{number:04d}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            try:
                partial.mkdir()
                if before is not None and before.graph_sha256 == manifest.sha256:
                    for name in set(before.parts()) - set(parts):
                        shutil.copy2(before.path / f"{name}.npz", partial / f"{name}.npz")
                for name, part in parts.items():
                    save_part(partial / f"{name}.npz", part)
                atomic_write(partial / "profile.json", _description(number, manifest, notes))
                partial.rename(self._folder(number))
                sync_folder(self.path)
            except OSError as error:
                shutil.rmtree(partial, ignore_errors=True)
                raise SinkError(f"{self.path}: cannot be written ({error.strerror}); make room there") from error
            self._set_current(number)
            self._prune(number)
            return self._read(number)

    def rollback(self) -> ProfileVersion:
        """Make the version before the current one current; InputError when there is none."""
        with self._locked():
            now = self.require_current()
            older = [number for number in self._numbers() if number < now.number]
            if not older:
                raise InputError(f"{self.path}: version {now.number} is the oldest; there is nothing to go back to")
            self._set_current(older[-1])
            return self._read(older[-1])

    def _numbers(self) -> list[int]:
        return sorted(int(child.name) for child in self.path.glob("[0-9]*") if child.is_dir() and child.name.isdigit())

    def _folder(self, number: int) -> Path:
        return self.path / f"{number:04d}"

    def _read(self, number: int) -> ProfileVersion:
        path = self._folder(number)
        try:
            raw = json.loads((path / "profile.json").read_text(encoding="utf-8"))
            if raw["schema"] != SCHEMA:
                raise InputError(
                    f"{path}: has schema {raw['schema']}, this program reads {SCHEMA}; update or learn again"
                )
            return ProfileVersion(number, path, str(raw["model"]), str(raw["graph_sha256"]), dict(raw["notes"]))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); there is: {self._numbers()}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}/profile.json: is damaged ({error}); roll back or learn again") from error

    def _set_current(self, number: int) -> None:
        atomic_write(self.path / "current", f"{number}\n".encode("ascii"))

    def _prune(self, current: int) -> None:
        for number in self._numbers()[:-VERSIONS_KEPT]:
            if number != current:
                shutil.rmtree(self._folder(number), ignore_errors=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise SinkError(f"{self.path}: cannot be written ({error.strerror}); check who owns it") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _description(number: int, manifest: Manifest, notes: Mapping[str, Any]) -> bytes:
    body = {
        "schema": SCHEMA,
        "number": number,
        "model": f"{manifest.name} {manifest.version}",
        "graph_sha256": manifest.sha256,
        "notes": dict(notes),
    }
    return (json.dumps(body, indent=1, sort_keys=True) + "\n").encode()
