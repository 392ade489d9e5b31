"""What was drawn on the page stands above config.yaml, and is kept only when the whole holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config import load, save_drawn
from edge.errors import ConfigError

TEXT = (
    "node: {data_dir: data}\n"
    "cameras:\n  yard: {source: {type: file, path: a.mp4}, zones: {gate: [[0, 0], [1, 0], [1, 1]]}}\n"
    "events: {fire: {enter: 0.7}}\n"
)
POND = [[0.1, 0.1], [0.4, 0.1], [0.4, 0.5]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(TEXT, encoding="utf-8")
    return tmp_path / "config.yaml"


def test_zones_and_rules_are_put_beside_those_of_the_file(path: Path) -> None:
    rule = {"when": "person", "zones": ["pond"]}
    save_drawn(load(path), {"cameras": {"yard": {"zones": {"pond": POND}}}, "events": {"bath": rule}})
    config = load(path).config
    assert set(config.cameras["yard"].zones) == {"gate", "pond"}
    assert config.events["bath"].zones == ("pond",)
    assert config.events["fire"].enter == 0.7
    assert path.read_text(encoding="utf-8") == TEXT


def test_what_does_not_hold_is_not_kept(path: Path) -> None:
    loaded = load(path)
    for drawn in (
        {"events": {"bath": {"when": "person", "zones": ["pond"]}}},
        {"cameras": {"yard": {"zones": {"pond": [[0, 0], [1, 1]]}}}},
        {"events": {"fire": {"entre": 0.5}}},
    ):
        with pytest.raises(ConfigError):
            save_drawn(loaded, drawn)
    assert not (path.parent / "data").exists()


def test_what_belongs_to_a_camera_that_is_no_more_is_left_out(path: Path) -> None:
    save_drawn(load(path), {"cameras": {"yard": {"zones": {"pond": POND}}}})
    path.write_text(TEXT.replace("yard:", "street:"), encoding="utf-8")
    assert set(load(path).config.cameras["street"].zones) == {"gate"}


def test_a_file_that_is_not_ours_is_told_by_its_name(path: Path) -> None:
    (path.parent / "data").mkdir()
    for text in ("node: {id: other}\n", "[1, 2]\n", "a: [\n"):
        (path.parent / "data" / "drawn.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=r"drawn\.yaml"):
            load(path)
