from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import pytest
import toy_model

from edge.engine import commands
from edge.engine.built import BuiltEngine, EngineKey, save_engine
from edge.errors import InputError, RuntimeUnavailable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    toy_model.toy_folder(tmp_path)
    return tmp_path


def run(*args: str) -> int:
    parser = argparse.ArgumentParser()
    commands.register(parser.add_subparsers())
    parsed = parser.parse_args(["engine", *args])
    code = parsed.handler(parsed)
    assert isinstance(code, int)
    return code


def test_verify_proves_the_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "--model", str(folder), "--runtime", "onnx") == 0
    assert "reproduces the golden file" in capsys.readouterr().out


def test_verify_refuses_a_damaged_model(folder: Path) -> None:
    (folder / "toy.onnx").write_bytes(b"x")
    with pytest.raises(InputError, match="sha256"):
        run("verify", "--model", str(folder))


def test_list_shows_what_was_built(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--model", str(folder)) == 0
    assert "no engine is built" in capsys.readouterr().out
    key = EngineKey("0" * 64, "tensorrt", "10.3.0", "Orin sm_87", "fp16")
    save_engine(BuiltEngine(folder / "built" / "a.engine", key, 8, is_admitted=False), b"engine")
    assert run("list", "--model", str(folder)) == 0
    assert "Orin sm_87, fp16, up to 8 rows, not admitted" in capsys.readouterr().out
    assert run("list", "--model", str(folder), "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["device"], row["max_batch"], row["is_admitted"]) == ("Orin sm_87", 8, False)


def test_build_says_what_is_missing_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    monkeypatch.setitem(__import__("sys").modules, "tensorrt_rtx", None)
    with pytest.raises(RuntimeUnavailable, match="TensorRT is not installed"):
        run("build", "--model", str(folder))


@pytest.mark.parametrize("batch", ["0", "-1", "257", "many"])
def test_impossible_batches_are_refused(batch: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("build", "--max-batch", batch)
    assert stopped.value.code == 2
    assert "1 to 256" in capsys.readouterr().err


def test_phases_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    phases = commands.LoggedProgress()
    with caplog.at_level(logging.INFO):
        assert all([phases("Tactics", 1, 9), phases("Tactics", 2, 9), phases("Weights", 1, 1)])
    assert [record.getMessage() for record in caplog.records] == [
        "engine build: Tactics (1 of 9)",
        "engine build: Weights (1 of 1)",
    ]
