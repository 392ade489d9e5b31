"""The report's figures against plain references, what is judged, and documents and plots that can be read."""

from __future__ import annotations

import csv
import struct
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.engine.manifest import Label
from edge.errors import InputError
from edge.train.evaluation import datasets, document, goals, label_metrics, metrics, sections, synthetic, yamnet
from edge.train.evaluation import document as plots
from edge.train.evaluation.datasets import DatasetRow
from edge.train.evaluation.document import HeadingBlock, ListBlock, PlotBlock, TableBlock, TextBlock
from edge.train.evaluation.label_metrics import ScoredRecording
from edge.train.evaluation.recordings import DetectedEvent, RecordingResult, load_result, save_result
from edge.train.evaluation.run import EvaluationResults


def row(name: str, label: str, group: str = "", kind: str = "sound", **changes: object) -> DatasetRow:
    given = {"split": "", "tier": "open", "dataset": "set", "was_trained": False, "set_name": "esc10", **changes}
    return DatasetRow(path=Path(name), label=label, group=group or name, kind=kind, **given)  # type: ignore[arg-type]


def answer(values: list[float], *begun: DetectedEvent, label: str = "siren") -> RecordingResult:
    t_s = np.arange(1, len(values) + 1) / 2
    return RecordingResult(t_s, np.array(values, np.float32)[:, None], (label,), begun, float(t_s[-1]))


def test_a_class_says_yes_no_or_nothing() -> None:
    assert row("a.ogg", "siren").truth("siren") is True
    assert row("a.ogg", "siren").truth("gunshot") is False
    assert row("a.ogg", "siren").truth("alarm") is None
    assert row("a.mp4", "normal", kind="clip").truth("person") is None
    assert row("a.mp4", "normal_person", kind="clip").truth("person") is True
    for labels in (*datasets.TRUTH.items(), *datasets.AMBIGUOUS_CLASSES.items()):
        assert not set(datasets.TRUTH.get(labels[0], ())) & set(datasets.AMBIGUOUS_CLASSES.get(labels[0], ()))


def manifest(folder: Path) -> list[DatasetRow]:
    files = [f"open/audio/esc10/{k}.ogg" for k in range(6)] + ["restricted/audio/scream/9.ogg"]
    with (folder / "manifest.csv").open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["file", "label", "split", "group", "tier", "dataset"])
        for k, name in enumerate(files):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"x")
            writer.writerow([name, "dog" if k < 6 else "scream", "", f"g{k // 2}", name.split("/")[0], "d"])
        writer.writerow(["open/audio/esc10/gone.ogg", "dog", "", "g", "open", "d"])
    return datasets.read_rows(folder)


def test_recordings_that_are_there_are_read_and_picked_evenly_unseen_first(tmp_path: Path) -> None:
    rows = manifest(tmp_path)
    assert [r.path.name for r in rows] == ["0.ogg", "1.ogg", "2.ogg", "3.ogg", "4.ogg", "5.ogg", "9.ogg"]
    assert rows[-1].set_name == "scream"
    marked = datasets.mark_training_sources(rows, [rows[0].path])
    assert [r.was_trained for r in marked] == [True, True, False, False, False, False, False]
    picked = [r.path.name for r in datasets.sample_rows(marked, 2)]
    assert picked == ["2.ogg", "5.ogg", "9.ogg"]
    assert len(datasets.sample_rows(marked, 5)) == 6
    with pytest.raises(InputError, match="--data"):
        datasets.read_rows(tmp_path / "elsewhere")


def some() -> list[ScoredRecording]:
    return [
        ScoredRecording(row("a.ogg", "siren"), answer([0.1, 0.9], DetectedEvent("siren", 0.5, 1.0))),
        ScoredRecording(row("b.ogg", "siren"), answer([0.2, 0.3])),
        ScoredRecording(row("c.ogg", "rain"), answer([0.4, 0.5], DetectedEvent("siren", 0.5, 1.0))),
        ScoredRecording(row("d.ogg", "cat"), answer([0.0, 0.1])),
        ScoredRecording(row("e.ogg", "clock_alarm"), answer([1.0, 1.0])),
    ]


@pytest.mark.learn
def test_figures_of_a_label() -> None:
    pytest.importorskip("sklearn")
    f = label_metrics.measure_label(some(), "siren", replicates=20)
    assert (f.positives, f.negatives, f.false_events, f.recall) == (2, 2, 1, 0.5)
    assert f.average_precision.value == pytest.approx((1 + 2 / 3) / 2)
    assert f.auc == pytest.approx(0.75)
    assert f.recall_hour == 0.5
    assert f.hours == pytest.approx(2 / 3600)
    assert label_metrics.false_positive_classes(some(), "siren") == [("rain", 1, 1)]
    assert label_metrics.missed_recordings(some(), "siren") == [("esc10/b.ogg", pytest.approx(0.3))]


@pytest.mark.learn
def test_looks_are_compared_on_the_same_recordings() -> None:
    pytest.importorskip("sklearn")
    every = [
        ScoredRecording(row(f"{n}.ogg", "siren" if n < 3 else "rain"), answer([0.1, 0.9 if n < 3 else 0.2]))
        for n in range(6)
    ]
    rarer = [ScoredRecording(one.row, answer([0.1, 0.5 if n else 0.0])) for n, one in enumerate(every)]
    label = Label(name="siren", modalities=("audio",))
    results = EvaluationResults("fused", "0", (label,), "", 1, looks={1: every, 2: rarer})
    *_, table = sections.look_section(results)
    assert isinstance(table, TableBlock)
    (cells,) = table.rows
    assert cells[:2] == ["siren", "3 / 3"]
    assert cells[2].startswith("1.000 / 0.")
    assert sections.look_section(EvaluationResults("fused", "0", (label,), "", 1)) == []


@pytest.mark.learn
def test_another_models_scores_are_held_against_ours() -> None:
    pytest.importorskip("sklearn")
    theirs = {"a.ogg": 0.1, "b.ogg": 0.2, "c.ogg": 0.3, "d.ogg": 0.4}
    assert label_metrics.average_precision_of(some(), theirs, "siren") == pytest.approx((1 / 3 + 2 / 4) / 2)
    x = label_metrics.average_precision_gain(some(), theirs, "siren", replicates=20)
    assert x.value == pytest.approx(5 / 6 - 5 / 12)
    ours, other, more = label_metrics.macro_average_precision_gain(some(), {"siren": theirs}, ["siren"], replicates=20)
    assert (ours.value, other.value, more.value) == pytest.approx((5 / 6, 5 / 12, 5 / 12))


def test_calibration_counts_windows_where_the_event_is_going_on() -> None:
    lot = [
        ScoredRecording(row("a.ogg", "siren"), answer([0.2, 0.2, 1.0, 1.0])),
        ScoredRecording(row("c.ogg", "rain"), answer([0.0, 0.0, 0.0, 0.0])),
    ]
    found = label_metrics.label_calibration(lot, "siren", {"a.ogg": [(1.0, 2.0)]})
    assert found is not None
    assert (found.by_recording, found.by_window) == (pytest.approx(0.0), pytest.approx(0.0))
    early = label_metrics.label_calibration(lot, "siren", {"a.ogg": [(0.0, 2.0)]})
    assert early is not None
    assert early.by_window > 0.1
    assert label_metrics.label_calibration(lot[:1], "siren", {}) is None


def test_an_answer_is_kept_as_it_was(tmp_path: Path) -> None:
    said = answer([0.1, float("nan"), 0.9], DetectedEvent("siren", 0.5, 1.0))
    save_result(tmp_path / "a.npz", said)
    again = load_result(tmp_path / "a.npz")
    assert again is not None
    np.testing.assert_array_equal(again.values, said.values)
    assert (again.events, again.labels, again.media_s) == (said.events, said.labels, said.media_s)
    assert again.peak("siren") == pytest.approx(0.9)
    assert again.peak("fire") == 0
    save_result(tmp_path / "b.npz", None)
    assert load_result(tmp_path / "b.npz") is None


def test_sound_is_active_where_it_is_loud() -> None:
    samples = np.zeros(16000 * 3, np.float32)
    samples[16000:24000] = 0.5
    samples[40000:41600] = 0.2
    assert [tuple(np.round(span, 2)) for span in synthetic.active_spans(samples)] == [(1.0, 1.5), (2.5, 2.6)]


def test_latency_is_counted_from_the_onset() -> None:
    said = answer([0.0] * 20, DetectedEvent("siren", 1.0, 1.5), DetectedEvent("siren", 4.0, 5.5))
    assert synthetic.onset_latency(said, "siren", 3.0) == 2.5
    assert synthetic.onset_latency(said, "fire", 3.0) is None


def test_verdicts_say_by_how_much() -> None:
    found = {v.goal.name: v for v in goals.goal_results({"fire": (0.9, "n"), "ece": (0.08, "")})}
    assert (found["fire"].is_reached, found["ece"].is_reached, found["esc10"].is_reached) == (True, False, None)
    assert (found["fire"].margin, found["ece"].margin) == (pytest.approx(0.05), pytest.approx(-0.03))
    cells = {r[0]: r for r in goals.goal_rows(list(found.values()))}
    assert cells[found["ece"].goal.figure][3:5] == ["-0.030", "**missed**"]
    assert cells[found["esc10"].goal.figure][2:5] == ["", "", "not measured"]


def report() -> list[document.Block]:
    dots = [("siren", [plots.PlotPoint("ours", 0.9, 0.8, 1.0), plots.PlotPoint("theirs", float("nan"))]), ("a<b", [])]
    bins = metrics.reliability_bins(np.linspace(0, 1, 30), np.linspace(0, 1, 30) > 0.4)
    table = TableBlock(["a", "b"], [["x|y", "**z** <1"]])
    drawn = [
        PlotBlock("dots", "dots", plots.dot_plot(dots, "AP")),
        PlotBlock("bins", "bins", plots.reliability_plot({"x": bins})),
    ]
    return [HeadingBlock(1, "Title"), TextBlock("see [this](that.md) and `code`"), ListBlock(["one"]), table, *drawn]


def test_a_report_is_written_as_markdown_and_as_one_page(tmp_path: Path) -> None:
    document.write_report(report(), tmp_path / "evaluation.md", tmp_path / "page.html")
    text, page = (tmp_path / "evaluation.md").read_text(), (tmp_path / "page.html").read_text()
    assert "| x\\|y | **z** <1 |" in text
    assert "![dots](images/evaluation/dots.svg)" in text
    assert "<td>x|y</td><td><strong>z</strong> &lt;1</td>" in page
    assert '<a href="that.md">this</a>' in page
    for name in ("dots", "bins"):
        svg = (tmp_path / "images/evaluation" / f"{name}.svg").read_text()
        ET.fromstring(svg)
        assert svg in page
        assert len(svg) < 60_000


@settings(deadline=None)
@given(st.lists(st.floats(), max_size=6))
def test_plots_take_any_numbers(values: list[float]) -> None:
    ET.fromstring(plots.dot_plot([("x", [plots.PlotPoint("a", v, v - 1, v + 1) for v in values])], "AP"))


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(b"\0" + varint(len(k)) + varint(len(v)) + k + v for k, v in entries)
    return body + struct.pack("<II", 0, 1)


def test_a_checkpoint_is_read_without_tensorflow(tmp_path: Path) -> None:
    values = np.arange(6, dtype="<f4")
    (tmp_path / "v.data-00000-of-00001").write_bytes(b"\0" * 200 + values.tobytes())
    shape = b"\x12\x08" + b"\x12\x02\x08\x02" + b"\x12\x02\x08\x03"
    data = block([(b"", b""), (b"a/kernel", b"\x08\x01" + shape + b"\x20" + varint(200) + b"\x28\x18")])
    index = block([(b"b", b"\0" + varint(len(data)))])
    footer = b"\0\0" + varint(len(data) + 5) + varint(len(index))
    (tmp_path / "v.index").write_bytes(data + b"\0" * 5 + index + b"\0" * 5 + footer.ljust(48, b"\0"))
    ((name, found),) = yamnet.read_checkpoint(tmp_path / "v")
    assert name == "a/kernel"
    np.testing.assert_array_equal(found, values.reshape(2, 3))
    with pytest.raises(InputError, match="SavedModel"):
        list(yamnet.read_checkpoint(tmp_path / "none"))


def test_mel_triangles_cover_the_band() -> None:
    matrix = yamnet.mel_matrix()
    assert matrix.shape == (257, 64)
    assert (matrix >= 0).all()
    assert (matrix.sum(0) > 0).all()
    assert matrix[:3].sum() == 0
