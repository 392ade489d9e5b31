"""What is written of the trials of senses: the table, a curve a sense over severity, and nothing else of a document."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

pytest.importorskip("sklearn")
from edge.cli import main
from edge.errors import InputError
from edge.train.evaluation import recordings, sense_trials
from edge.train.evaluation.document import PlotPoint, line_plot
from edge.train.evaluation.sense_report import (
    BEGIN,
    END,
    check_document,
    sense_blocks,
    severity_plots,
    write_sense_report,
)
from edge.train.evaluation.sense_trials import CONDITIONS, SenseCondition, SenseTrial

pytestmark = pytest.mark.learn
SVG = "{http://www.w3.org/2000/svg}"
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "measurements" / "senses.md"
ENTERS = {"fire": 0.5, "dog_bark": 0.6}


def trial(condition: SenseCondition) -> SenseTrial:
    """Forty pairs that each sense tells the worse apart, the worse it is made."""
    shown, rng = np.arange(40) < 20, np.random.default_rng(5)

    def scores(severity: float) -> np.ndarray:
        return np.clip(0.5 + 0.3 * np.where(shown, 1, -1) + rng.normal(0, 0.05 + 0.1 * severity, 40), 0, 1)

    picture, sound = scores(condition.picture), scores(condition.sound)
    return SenseTrial(condition, {"whole": np.maximum(picture, sound), "picture": picture, "sound": sound}, shown)


TRIALS = [trial(condition) for condition in CONDITIONS]


def test_there_is_a_plot_for_each_way_of_making_worse_and_a_curve_for_each_sense() -> None:
    plots = severity_plots(TRIALS)
    assert [plot.name for plot in plots] == ["fire-picture-worse", "fire-sound-worse", "fire-both-worse"]
    for plot in plots:
        drawn = ET.fromstring(plot.svg)
        curves = drawn.findall(f"{SVG}polyline")
        assert [len(curve.get("points", "").split()) for curve in curves] == [5, 5, 5]
        words = [text.text for text in drawn.iter(f"{SVG}text")]
        assert {"both senses", "picture", "sound", "0", "4", "average precision, fire"} <= set(words)


def test_a_sense_that_is_left_alone_stays_level_and_the_worse_one_falls() -> None:
    shown = np.arange(40) < 20
    by_severity = {0: 1.0, 1: 0.6, 2: 0.2}
    some = []
    for severity, share in by_severity.items():
        good = shown.astype(float)
        bad = np.where(np.arange(40) < 20 * share, 1.0, 0.5)
        some.append(
            SenseTrial(SenseCondition("fire", "x", severity, 0), {"whole": good, "picture": bad, "sound": good}, shown)
        )
    (plot,) = severity_plots(some)
    curves = [
        [float(point.split(",")[1]) for point in (curve.get("points") or "").split()]
        for curve in ET.fromstring(plot.svg).findall(f"{SVG}polyline")
    ]
    both, picture, sound = curves
    assert len(set(both)) == len(set(sound)) == 1
    assert picture[0] == both[0] < picture[1] < picture[2]  # down is greater in a drawing


def test_a_value_is_drawn_at_its_height_with_its_interval() -> None:
    svg = line_plot([(0, [PlotPoint("a", 0.75, 0.5, 1.0)]), (1, [PlotPoint("a", float("nan"))])], "x", "y", 0.5)
    drawn = ET.fromstring(svg)
    (circle,) = [c for c in drawn.findall(f"{SVG}circle") if c.get("r") == "3.2"]
    whisker = next(line for line in drawn.findall(f"{SVG}line") if line.get("x1") == line.get("x2"))
    low, high = float(whisker.get("y1") or 0), float(whisker.get("y2") or 0)
    assert float(circle.get("cy") or 0) == pytest.approx((low + high) / 2)
    ticks = [text.text for text in drawn.iter(f"{SVG}text") if text.get("text-anchor") == "end"]
    assert ticks == ["0.5", "0.6", "0.7", "0.8", "0.9", "1.0"]


def test_only_the_measured_part_of_a_document_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "senses.md"
    out.write_text(f"# By hand\n\n{BEGIN}\n| old |\n{END}\n\nMore by hand.\n", encoding="utf-8")
    check_document(out)
    for _ in range(2):
        write_sense_report(sense_blocks(TRIALS, ENTERS), out)
    text = out.read_text(encoding="utf-8")
    assert text.startswith(f"# By hand\n\n{BEGIN}\n\n| label | condition | AP both / picture / sound |")
    assert text.endswith(f"\n{END}\n\nMore by hand.\n")
    assert "| old |" not in text
    assert text.count("| fire | ") == 14
    links = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert links == [f"images/senses/fire-{way}-worse.svg" for way in ("picture", "sound", "both")]
    assert all((tmp_path / link).read_text().startswith("<svg") for link in links)


def test_a_document_that_is_new_is_made_and_one_without_marks_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "new.md"
    check_document(out)
    write_sense_report(sense_blocks(TRIALS[:1], ENTERS), out)
    assert out.read_text(encoding="utf-8").startswith(BEGIN)
    out.write_text("by hand\n", encoding="utf-8")
    with pytest.raises(InputError, match="has no part to write to"):
        check_document(out)
    with pytest.raises(InputError, match="has no part to write to"):
        write_sense_report([], out)
    assert out.read_text(encoding="utf-8") == "by hand\n"


def test_the_table_is_that_of_the_document(tmp_path: Path) -> None:
    check_document(DOCUMENT)
    measured = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    rows = [line.split(" | ") for line in measured.splitlines() if line.startswith("| ")]
    out = tmp_path / "senses.md"
    write_sense_report(sense_blocks(TRIALS, ENTERS), out)
    made = [line.split(" | ") for line in out.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert rows[:2] == made[:2]
    assert [row[:2] for row in rows] == [row[:2] for row in made]


def test_the_command_writes_where_it_is_told_and_refuses_before_it_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured: list[int] = []
    monkeypatch.setattr(sense_trials, "run_sense_trials", lambda *_: measured.append(1) or TRIALS)
    monkeypatch.setattr(recordings, "RecordingRunner", lambda *_: _Runner())
    out = tmp_path / "senses.md"
    command = ["train", "senses", "--data", str(tmp_path), "--work", str(tmp_path / "work")]
    assert main([*command, "--out", str(out)]) == 0
    assert (tmp_path / "images" / "senses" / "fire-both-worse.svg").exists()
    assert capsys.readouterr().out == ""
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[2].startswith("| fire | as they are | ")
    out.write_text("by hand\n", encoding="utf-8")
    assert main([*command, "--out", str(out)]) == 2
    assert len(measured) == 2


class _Label:
    def __init__(self, name: str, enter: float) -> None:
        self.name, self.enter = name, enter


class _Runner:
    """Knows the labels alone."""

    class folder:  # noqa: N801
        class manifest:  # noqa: N801
            labels = tuple(_Label(name, enter) for name, enter in ENTERS.items())
