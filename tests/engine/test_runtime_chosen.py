"""What follows from measurements, and the note that keeps them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import toy_model
from hypothesis import given
from hypothesis import strategies as st

from edge.engine import runtime_choice
from edge.engine.manifest import GRAPH_PARTS, ModelFolder, Part
from edge.engine.runtime_choice import REFERENCE, CpuRuntime, GraphMeasurement, MeasurementTable

RUNTIMES: tuple[CpuRuntime, ...] = (REFERENCE, "openvino")


@st.composite
def tables(draw: st.DrawFn) -> MeasurementTable:
    ms, mb = st.floats(0.1, 100), st.floats(0, 300)
    faults = {REFERENCE: st.just(""), "openvino": st.sampled_from(["", "broken"])}
    rows = [
        GraphMeasurement(part, runtime, draw(ms), 1.0, draw(mb), draw(faults[runtime]))
        for part in GRAPH_PARTS
        for runtime in RUNTIMES
    ]
    return MeasurementTable(tuple(rows), {"onnx": draw(mb), "openvino": draw(mb)})


def table(vision_ms: float = 30.0, vision_mb: float = 0.0, library_mb: float = 0.0) -> MeasurementTable:
    """OpenVINO beside a reference of 40 + 5 + 5 ms."""
    plain = [
        GraphMeasurement(part, REFERENCE, ms, ms, 50) for part, ms in zip(GRAPH_PARTS, (40.0, 5.0, 5.0), strict=True)
    ]
    other = GraphMeasurement("vision", "openvino", vision_ms, vision_ms, 50 + vision_mb)
    return MeasurementTable((*plain, other), {"onnx": 20.0, "openvino": library_mb})


@given(tables())
def test_every_part_has_a_runtime_that_works(measured: MeasurementTable) -> None:
    choice = runtime_choice.choose_runtimes(measured, GRAPH_PARTS)
    assert choice is not None
    assert tuple(choice) == GRAPH_PARTS
    working = {(m.part, m.runtime) for m in measured.rows if not m.fault}
    assert set(choice.items()) <= working


@given(tables())
def test_what_is_chosen_costs_less_than_the_reference(measured: MeasurementTable) -> None:
    choice = runtime_choice.choose_runtimes(measured, GRAPH_PARTS)
    assert choice is not None
    time = {(m.part, m.runtime): m.cpu_ms for m in measured.rows}
    plain = sum(time[part, REFERENCE] for part in GRAPH_PARTS)
    spent = sum(time[item] for item in choice.items())
    assert set(choice.values()) == {REFERENCE} or spent <= runtime_choice.MAX_COST_SHARE * plain


@given(tables(), st.floats(0, 500))
def test_no_choice_takes_more_memory_than_there_is(measured: MeasurementTable, spare: float) -> None:
    choice = runtime_choice.choose_runtimes(measured, GRAPH_PARTS, spare_mb=spare)
    assert choice is not None
    memory = {(m.part, m.runtime): m.memory_mb for m in measured.rows}

    def total(runtimes: dict[Part, CpuRuntime]) -> float:
        libraries = set(runtimes.values())
        return sum(memory[item] for item in runtimes.items()) + sum(measured.library_mb[name] for name in libraries)

    assert total(dict(choice)) - total(dict.fromkeys(GRAPH_PARTS, REFERENCE)) <= spare + 1e-6


@pytest.mark.parametrize(
    ("measured", "taken"),
    [
        (table(30.0), "openvino"),
        (table(39.0), "onnx"),  # 2 % faster is noise
        (table(37.0, vision_mb=300), "onnx"),  # 6 % faster for 300 MB
        (table(30.0, vision_mb=100), "openvino"),  # 20 % faster for 100 MB
        (table(30.0, vision_mb=150, library_mb=150), "onnx"),  # 20 % faster for 300 MB
        (table(10.0, vision_mb=150, library_mb=150), "openvino"),  # 60 % faster for 300 MB
    ],
)
def test_memory_has_a_price(measured: MeasurementTable, taken: str) -> None:
    choice = runtime_choice.choose_runtimes(measured, GRAPH_PARTS)
    assert choice is not None
    assert choice["vision"] == taken
    assert choice["audio"] == choice["fusion"] == REFERENCE


def test_the_reason_names_both_costs() -> None:
    measured = table(30.0, vision_mb=100, library_mb=28)
    choice = runtime_choice.choose_runtimes(measured, GRAPH_PARTS)
    assert choice is not None
    assert (
        runtime_choice.explain_choice(measured, choice)
        == "measured here, 40.0 ms a row instead of 50.0 on onnx, +128 MB"
    )
    plain = dict.fromkeys(GRAPH_PARTS, REFERENCE)
    assert "50.0 ms a row; 1 others are not worth" in runtime_choice.explain_choice(measured, plain)


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    return toy_model.toy_folder(tmp_path)


def test_a_note_is_found_again(folder: ModelFolder) -> None:
    measured = MeasurementTable(
        (GraphMeasurement("whole", REFERENCE, 1.5, 2.5, 3.5), GraphMeasurement("whole", "openvino", fault="no")),
        {"onnx": 2},
    )
    runtime_choice.save_measurements(folder, 1, measured)
    assert runtime_choice.read_measurements(folder, 1) == measured
    assert runtime_choice.read_measurements(folder, 2) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"box": 1}', '{"rows": 5}'])
def test_a_note_that_cannot_be_read_means_measuring_again(folder: ModelFolder, content: str) -> None:
    path = runtime_choice.save_measurements(folder, 1, MeasurementTable((), {}))
    path.write_text(content, encoding="utf-8")
    assert runtime_choice.read_measurements(folder, 1) is None


def test_a_note_of_another_box_is_not_taken(folder: ModelFolder) -> None:
    path = runtime_choice.save_measurements(folder, 1, MeasurementTable((), {}))
    note = json.loads(path.read_text(encoding="utf-8"))
    note["box"]["cpu"] = "another"
    path.write_text(json.dumps(note), encoding="utf-8")
    assert runtime_choice.read_measurements(folder, 1) is None


def test_another_library_or_graph_is_another_note(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    before = runtime_choice.measurements_path(folder, 1)
    monkeypatch.setattr(runtime_choice, "installed_version", lambda name: "99.0")
    assert runtime_choice.measurements_path(folder, 1) != before
    monkeypatch.undo()
    changed = folder.manifest.model_copy(update={"sha256": "0" * 64})
    assert runtime_choice.measurements_path(ModelFolder(folder.path, changed, folder.tag_names), 1) != before
    assert runtime_choice.measurements_path(folder, 1) == before


def test_spare_memory_is_half_of_what_is_available(tmp_path: Path) -> None:
    path = tmp_path / "meminfo"
    path.write_text("MemTotal: 9 kB\nMemAvailable:  2097152 kB\n", encoding="ascii")
    assert runtime_choice.spare_mb(path) == 1024
    path.write_text("nonsense\n", encoding="ascii")
    assert runtime_choice.spare_mb(path) is None
    assert runtime_choice.spare_mb(tmp_path / "absent") is None
