"""The examples of docs/how-to/rules.md are right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge.config import parse
from edge.config.schedule import parse_schedule
from edge.detect.thresholds import validate
from edge.engine.manifest import find_folder, load_folder

TEXT = (Path(__file__).resolve().parent.parent.parent / "docs" / "how-to" / "rules.md").read_text(encoding="utf-8")
PLACES, *EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
HOURS = TEXT.split("## Hours")[1].split("\n- ")[0]
WRITTEN = [text for line in HOURS.splitlines() if line.startswith("| `") for text in re.findall(r"`([^`\[]+)`", line)]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_fits_the_shipped_model(example: str) -> None:
    assert validate(parse(PLACES + example).config, load_folder(find_folder("fused")).manifest) == []


@pytest.mark.parametrize("text", [text for text in WRITTEN if text != "defaults"])
def test_hours_can_be_written_so(text: str) -> None:
    parse_schedule(text)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 7
    assert len(WRITTEN) >= 8
