"""docs/reference/config.md names every key, and names no key that is not there."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from edge.config import Config, parse
from edge.config.values import VARIABLE
from edge.engine.manifest import find_folder, load_folder

ROOT = Path(__file__).resolve().parent.parent.parent
DOC = ROOT / "docs" / "reference" / "config.md"
SMALLEST = "cameras: {yard: {source: {type: file, path: a.mp4}}}\n"
OF_THEIR_OWN = {"rules.md"}  # its examples share their cameras: tests/detect/test_rules_docs.py


def keys(model: type[BaseModel]) -> set[str]:
    """Every field name of a model and of the models inside it."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        found.add(name)
        for inner in models_in(field.annotation):
            found |= keys(inner)
    return found


def models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in models_in(argument)]


def documented() -> set[str]:
    """The first cell of every table row, which holds one or more keys in backticks."""
    rows = [line for line in DOC.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return {key for row in rows for key in re.findall(r"`([a-z0-9_]+)`", row.split("|")[1])}


def test_every_key_is_documented() -> None:
    assert keys(Config) - documented() == set()


def test_every_documented_key_exists() -> None:
    assert documented() - keys(Config) == set()


def test_every_sensor_of_the_model_is_documented_with_its_unit() -> None:
    """In a table of its own, whose first cells are names and not keys."""
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in DOC.read_text(encoding="utf-8").splitlines()]
    manifest = load_folder(find_folder("fused")).manifest
    for channel in manifest.geometry.sensors:
        assert [channel.name, channel.unit] in rows


def examples() -> list[tuple[str, str]]:
    """Every piece of a configuration in the documentation, by where it stands."""
    found = []
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        if path.name in OF_THEIR_OWN:
            continue
        blocks = re.findall(r"^ *```yaml\n(.*?)^ *```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        for n, text in enumerate(map(textwrap.dedent, blocks)):
            raw = yaml.safe_load(text)
            if isinstance(raw, dict) and set(raw) & set(Config.model_fields):
                found.append((f"{path.name} {n}", text if "cameras" in raw else SMALLEST + text))
    return found


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in examples()])
def test_every_example_is_a_right_configuration(text: str) -> None:
    assert parse(text, env=dict.fromkeys(VARIABLE.findall(text), "x")).config
