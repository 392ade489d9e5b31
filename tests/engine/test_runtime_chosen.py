"""What follows from measurements, and the note that keeps them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import toy_model
from hypothesis import given
from hypothesis import strategies as st

from edge.engine import runtime_choice
from edge.engine.manifest import ModelFolder
from edge.engine.precision.variants import Part
from edge.engine.runtime_choice import REFERENCE, ExecutionMode, GraphMeasurement, MeasurementTable

PARTS: tuple[Part, ...] = ("vision", "audio", "fusion")
WAYS = (REFERENCE, ExecutionMode("openvino", "fp32"), ExecutionMode("openvino", "bf16"), ExecutionMode("onnx", "int8"))


@st.composite
def tables(draw: st.DrawFn) -> MeasurementTable:
    ms, mb = st.floats(0.1, 100), st.floats(0, 300)
    rows = [
        GraphMeasurement(
            part, how, draw(ms), 1.0, draw(mb), "" if how == REFERENCE else draw(st.sampled_from(["", "broken"]))
        )
        for part in PARTS
        for how in WAYS
    ]
    return MeasurementTable(tuple(rows), {"onnx": draw(mb), "openvino": draw(mb)})


def table(see_ms: float = 30.0, see_mb: float = 0.0, library_mb: float = 0.0) -> MeasurementTable:
    """OpenVINO's bfloat16 beside a reference of 40 + 5 + 5 ms."""
    plain = [GraphMeasurement(part, REFERENCE, ms, ms, 50) for part, ms in zip(PARTS, (40.0, 5.0, 5.0), strict=True)]
    other = GraphMeasurement("vision", ExecutionMode("openvino", "bf16"), see_ms, see_ms, 50 + see_mb)
    return MeasurementTable((*plain, other), {"onnx": 20.0, "openvino": library_mb})


@given(tables())
def test_every_part_has_a_way_that_works(measured: MeasurementTable) -> None:
    choice = runtime_choice.choose_modes(measured, PARTS)
    assert choice is not None
    assert tuple(choice) == PARTS
    working = {(m.part, m.how) for m in measured.rows if not m.fault}
    assert set(choice.items()) <= working


@given(tables())
def test_what_is_chosen_costs_less_than_the_reference(measured: MeasurementTable) -> None:
    choice = runtime_choice.choose_modes(measured, PARTS)
    assert choice is not None
    time = {(m.part, m.how): m.cpu_ms for m in measured.rows}
    plain = sum(time[part, REFERENCE] for part in PARTS)
    spent = sum(time[item] for item in choice.items())
    assert set(choice.values()) == {REFERENCE} or spent <= runtime_choice.MAX_COST_SHARE * plain


@given(tables(), st.floats(0, 500))
def test_no_choice_takes_more_memory_than_there_is(measured: MeasurementTable, spare: float) -> None:
    choice = runtime_choice.choose_modes(measured, PARTS, spare_mb=spare)
    assert choice is not None
    memory = {(m.part, m.how): m.memory_mb for m in measured.rows}

    def total(ways: dict[Part, ExecutionMode]) -> float:
        libraries = {how.runtime for how in ways.values()}
        return sum(memory[item] for item in ways.items()) + sum(measured.library_mb[name] for name in libraries)

    assert total(dict(choice)) - total(dict.fromkeys(PARTS, REFERENCE)) <= spare + 1e-6


def test_8_bits_are_for_those_who_ask() -> None:
    cheap = GraphMeasurement("vision", ExecutionMode("onnx", "int8"), 1.0, 1.0, 50)
    measured = MeasurementTable((*(m for m in table().rows if m.how == REFERENCE), cheap), {"onnx": 20.0})
    assert runtime_choice.choose_modes(measured, PARTS) == dict.fromkeys(PARTS, REFERENCE)
    assert (runtime_choice.choose_modes(measured, PARTS, "int8") or {})["vision"] == cheap.how


@given(tables())
def test_a_named_precision_is_taken_at_its_word(measured: MeasurementTable) -> None:
    fp32 = runtime_choice.choose_modes(measured, PARTS, "fp32")
    assert fp32 is not None
    assert {how.precision for how in fp32.values()} == {"fp32"}
    usable = {m.part for m in measured.rows if m.how.precision == "bf16" and not m.fault}
    bf16 = runtime_choice.choose_modes(measured, PARTS, "bf16")
    assert (bf16 is None) == (not usable)
    assert bf16 is None or all((how.precision == "bf16") == (part in usable) for part, how in bf16.items())


@pytest.mark.parametrize(
    ("measured", "taken"),
    [
        (table(30.0), "openvino"),
        (table(39.0), "onnx"),  # 2 % faster is noise
        (table(37.0, see_mb=300), "onnx"),  # 6 % faster for 300 MB
        (table(30.0, see_mb=100), "openvino"),  # 20 % faster for 100 MB
        (table(30.0, see_mb=150, library_mb=150), "onnx"),  # 20 % faster for 300 MB
        (table(10.0, see_mb=150, library_mb=150), "openvino"),  # 60 % faster for 300 MB
    ],
)
def test_memory_has_a_price(measured: MeasurementTable, taken: str) -> None:
    choice = runtime_choice.choose_modes(measured, PARTS)
    assert choice is not None
    assert choice["vision"].runtime == taken
    assert choice["audio"] == choice["fusion"] == REFERENCE


def test_the_reason_names_both_costs() -> None:
    measured = table(30.0, see_mb=100, library_mb=28)
    choice = runtime_choice.choose_modes(measured, PARTS)
    assert choice is not None
    assert (
        runtime_choice.explain_choice(measured, choice)
        == "measured here, 40.0 ms a row instead of 50.0 on onnx fp32, +128 MB"
    )
    plain = dict.fromkeys(PARTS, REFERENCE)
    assert "50.0 ms a row; 1 other ways are not worth" in runtime_choice.explain_choice(measured, plain)


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    return toy_model.toy_folder(tmp_path)


def test_a_note_is_found_again(folder: ModelFolder) -> None:
    measured = MeasurementTable(
        (GraphMeasurement("whole", REFERENCE, 1.5, 2.5, 3.5), GraphMeasurement("whole", WAYS[1], fault="no")),
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
