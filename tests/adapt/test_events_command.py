"""`edge learn events`, `versions` and `rollback` from end to end, over a toy graph that hears how loud it is."""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine.toy_model import feature, golden_inputs, graph, toy_folder
from events_parts import steady

from edge.adapt.recordings import CACHE
from edge.cli import main
from edge.profile import ProfileFolder

LEVELS = {"high": 0.6, "low": -0.6, "normal": 0.1}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config of a model whose embedding of sound is the mean of the window."""
    proto = graph()
    for node in proto.graph.node:
        if node.output[0] == "sound":
            node.input[0] = "a"
    folder = tmp_path / "toy"
    folder.mkdir()
    toy_folder(folder, proto, sound=_heard())
    path = tmp_path / "config.yaml"
    path.write_text(
        f"model: {{name: {folder}}}\ncameras: {{recording: {{source: {{type: file, path: x}}}}}}\nmqtt: null\n",
        encoding="utf-8",
    )
    return path


def _heard() -> np.ndarray[Any, Any]:
    """What the graph says of its golden inputs."""
    return feature("sound")[None] + golden_inputs()["audio"].mean(axis=1)[:, None]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Six clips a label, each a little different."""
    folder = tmp_path / "clips"
    for label, level in LEVELS.items():
        for n in range(6):
            steady(folder / label / f"{n}.wav", level + 0.01 * n)
    return folder


def learn(config: Path, source: Path, profile: Path, *more: str) -> int:
    return main(["learn", "events", str(source), "-o", str(profile), "-c", str(config), *more])


def swapped(clips: Path, table: Path) -> Path:
    """The same clips with marks that mean nothing."""
    names = ["high", "low", "normal"]
    files = sorted(clips.rglob("*.wav"))
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["file", "label"], *([p, names[n % 3]] for n, p in enumerate(files))])
    return table


def test_learned_events_are_found_in_replay(
    config: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "profile"
    assert learn(config, clips, profile) == 0
    told = capsys.readouterr().out
    assert "learned from 18 clips of 18 groups: no event 6, high 6, low 6" in told
    assert "version 1 of" in told
    loud = steady(tmp_path / "new.wav", 0.58)
    table = tmp_path / "scores.csv"
    assert main(["replay", str(loud), "-c", str(config), "--profile", str(profile), "--scores", str(table)]) == 0
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    best = {label: max(float(row[label]) for row in rows) for label in ("high", "low")}
    assert best["high"] > 0.7
    assert best["low"] < 0.3


def test_worse_is_refused_unless_forced_and_there_is_a_way_back(
    config: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "profile"
    assert learn(config, clips, profile) == 0
    wrong = swapped(clips, tmp_path / "wrong.csv")
    capsys.readouterr()
    assert learn(config, wrong, profile) == 1
    assert "refused: high, low got worse" in capsys.readouterr().out
    assert ProfileFolder(profile).require_current().number == 1
    assert learn(config, wrong, profile, "--force") == 0
    assert "although high, low got worse" in capsys.readouterr().out
    assert main(["learn", "rollback", str(profile)]) == 0
    assert main(["learn", "versions", str(profile)]) == 0
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert lines[0].startswith("*    1")
    assert lines[1].startswith("     2")
    assert "events (high, low)" in lines[0]


def test_learning_the_same_again_is_accepted_and_reads_nothing_twice(config: Path, clips: Path, tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    assert learn(config, clips, profile) == 0
    described = {file: file.stat().st_mtime_ns for file in profile.rglob("*.npz") if CACHE in file.parts}
    assert len(described) == 18
    assert learn(config, clips, profile) == 0
    assert described == {file: file.stat().st_mtime_ns for file in described}
    assert ProfileFolder(profile).require_current().number == 2


def test_earlier_clips_are_learned_from_too(
    config: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "profile"
    assert learn(config, clips, profile) == 0
    for n in range(6):
        steady(tmp_path / "more" / "very_high" / f"{n}.wav", 0.9 + 0.01 * n)
    capsys.readouterr()
    assert learn(config, tmp_path / "more", profile, "--force") == 0
    assert "learned from 24 clips" in capsys.readouterr().out
    part = ProfileFolder(profile).require_current().part("events")
    assert part is not None
    assert part.facts["head"]["labels"] == ["high", "low", "very_high"]


def test_starting_anew_takes_a_decision(
    config: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "profile"
    assert learn(config, clips, profile) == 0
    (clips / "low").rename(tmp_path / "low")
    capsys.readouterr()
    assert learn(config, clips, profile, "--only") == 1
    assert "low would be gone" in capsys.readouterr().out


def test_an_unreadable_clip_is_named_and_left_out(
    config: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clips / "high" / "broken.wav").write_bytes(b"not a sound")
    assert learn(config, clips, tmp_path / "profile") == 0
    told = capsys.readouterr().out
    assert "left out (1):" in told
    assert "broken.wav" in told


def test_too_few_readable_clips_are_an_error(
    config: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(2):
        (clips / "high" / f"{n}.wav").write_bytes(b"not a sound")
    assert learn(config, clips, tmp_path / "profile") == 2
    assert "too few clips: high has 4" in capsys.readouterr().err
    assert ProfileFolder(tmp_path / "profile").current() is None


def test_progress_is_logged_where_there_is_no_terminal(
    config: Path, clips: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert learn(config, clips, tmp_path / "profile") == 0
    assert any("reading clips: 18 of 18" in message for message in caplog.messages)


@pytest.mark.parametrize("command", ["versions", "rollback"])
def test_no_profile_no_versions(tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["learn", command, str(tmp_path / "none")]) == 2
    assert "no profile here" in capsys.readouterr().err


def test_the_oldest_version_has_none_before(
    config: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert learn(config, clips, tmp_path / "profile") == 0
    assert main(["learn", "rollback", str(tmp_path / "profile")]) == 2
    assert "nothing to go back to" in capsys.readouterr().err
