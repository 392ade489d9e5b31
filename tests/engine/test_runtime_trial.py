"""Measuring on a model small enough to be measured at once, and what the daemon makes of it."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import toy_model
from test_engine_commands import run

from edge.config.models import ModelConfig as Settings
from edge.engine import runtime_choice, runtime_trial
from edge.engine.manifest import ModelFolder
from edge.engine.model import Model
from edge.engine.runtime_choice import REFERENCE, CpuRuntime, GraphMeasurement, MeasurementTable
from edge.engine.select import open_runtime
from edge.metrics import Metrics


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    return toy_model.toy_folder(tmp_path)


def faster(runtime: CpuRuntime) -> MeasurementTable:
    return MeasurementTable(
        (GraphMeasurement("whole", REFERENCE, 10, 10, 1), GraphMeasurement("whole", runtime, 1, 1, 1)), {}
    )


def test_all_runtimes_are_measured(folder: ModelFolder) -> None:
    told: list[str] = []
    table = runtime_trial.measure_runtimes(folder, 1, told.append, rounds=2)
    found = {m.runtime: m for m in table.rows}
    assert {REFERENCE, "openvino"} <= set(found)
    assert all(m.fault or (m.part == "whole" and 0 < m.cpu_ms < 1000) for m in table.rows)
    assert not found[REFERENCE].fault
    assert not found["openvino"].fault
    assert set(table.library_mb) == {"onnx", "openvino"}
    assert told[0].startswith("whole: onnx, openvino")


def test_a_runtime_with_wrong_answers_cannot_be_chosen(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge.engine.openvino_graph import OpenVinoGraph

    right = OpenVinoGraph.run

    def wrong(
        self: OpenVinoGraph,
        feed: runtime_trial.Mapping[str, runtime_trial.Array],
        out: runtime_trial.Mapping[str, runtime_trial.Array],
    ) -> None:
        right(self, feed, out)
        out["token"] += 5

    monkeypatch.setattr(OpenVinoGraph, "run", wrong)
    table = runtime_trial.measure_runtimes(folder, 1, lambda text: None, rounds=1)
    assert all("token differs" in m.fault for m in table.rows if m.runtime == "openvino")
    assert runtime_choice.choose_runtimes(table, ("whole",)) == {"whole": REFERENCE}


def test_auto_goes_by_the_note_and_says_so(folder: ModelFolder, caplog: pytest.LogCaptureFixture) -> None:
    runtime_choice.save_measurements(folder, 1, faster("openvino"))
    with caplog.at_level(logging.INFO, "edge.engine.select"):
        runtime = open_runtime(folder, Settings(), 2)
    assert runtime.info.name == "openvino"
    assert "1.0 ms a row instead of 10.0" in caplog.text
    assert open_runtime(folder, Settings(threads=2), 2).info.name == "onnx"
    assert open_runtime(folder, Settings(runtime="onnx"), 2).info.name == "onnx"


def test_what_was_chosen_and_is_gone_gives_way_with_a_warning(
    folder: ModelFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime_choice.save_measurements(folder, 1, faster("openvino"))
    monkeypatch.setitem(__import__("sys").modules, "edge.engine.openvino_graph", None)
    assert open_runtime(folder, Settings(), 2).info.name == "onnx"
    assert "Measure again: edge engine choose" in caplog.text


def test_what_was_chosen_and_no_longer_proves_itself_gives_way(
    folder: ModelFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge.engine.openvino_graph import OpenVinoGraph

    runtime_choice.save_measurements(folder, 1, faster("openvino"))
    monkeypatch.setattr(OpenVinoGraph, "run", lambda self, feed, out: None)
    assert Model.open(folder, Settings(), 1, Metrics()).info.name == "onnx"
    assert "does not reproduce" in caplog.text


def test_without_other_libraries_there_is_nothing_to_measure(
    folder: ModelFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_choice, "installed_version", lambda name: "" if name == "openvino" else "1.0")
    with caplog.at_level(logging.INFO, "edge.engine.select"):
        open_runtime(folder, Settings(), 1)
    assert "nothing else is installed" in caplog.text
    table = runtime_trial.measure_runtimes(folder, 1, lambda text: None, rounds=1)
    assert [m.runtime for m in table.rows] == [REFERENCE]


def test_the_command_measures_and_list_remembers(folder: ModelFolder, capsys: pytest.CaptureFixture[str]) -> None:
    name = str(folder.path)
    assert run("list", "--model", name) == 0
    assert "not measured on this box" in capsys.readouterr().out
    assert run("choose", "--model", name) == 0
    shown = capsys.readouterr().out
    assert "> whole " in shown
    assert " whole   openvino" in shown
    assert "libraries: onnx" in shown
    assert run("list", "--model", name) == 0
    assert "CPU: whole on" in capsys.readouterr().out
    assert run("choose", "--model", name, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert sum(row["chosen"] for row in found["rows"]) == 1
    assert {row["how"] for row in found["rows"]} == {"onnx fp32", "openvino fp32"}


@pytest.mark.parametrize("threads", ["-1", "257", "two"])
def test_impossible_threads_are_refused(threads: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("choose", "--threads", threads)
    assert "0 to 256" in capsys.readouterr().err


def test_a_choice_without_a_measurement_is_none() -> None:
    table = faster("openvino")
    broken = MeasurementTable(tuple(replace(m, fault="broken") for m in table.rows), {})
    assert runtime_choice.choose_runtimes(broken, ("whole",)) is None
