"""`edge learn normal` from end to end, over a toy graph that hears how loud it is."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from engine.toy_model import feature, golden_inputs, graph, toy_folder
from events_parts import steady

from edge.adapt.normal import learn_normal
from edge.cli import main
from edge.errors import InputError
from edge.profile import ProfileFolder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config of a model whose embedding of sound is the mean of the window."""
    proto = graph()
    for node in proto.graph.node:
        if node.output[0] == "sound":
            node.input[0] = "a"
    folder = tmp_path / "toy"
    folder.mkdir()
    heard = feature("sound")[None] + golden_inputs()["audio"].mean(axis=1)[:, None]
    toy_folder(folder, proto, sound=heard)
    path = tmp_path / "config.yaml"
    path.write_text(
        f"model: {{name: {folder}}}\ncameras: {{recording: {{source: {{type: file, path: x}}}}}}\nmqtt: null\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture
def recordings(tmp_path: Path) -> list[Path]:
    """Six ordinary recordings, each a little different."""
    paths = [tmp_path / "ordinary" / f"{n}.wav" for n in range(6)]
    for n, path in enumerate(paths):
        steady(path, 0.1 + 0.01 * n, 8.0)
    return paths


def learn(config: Path, profile: Path, *recordings: Path) -> int:
    return main(["learn", "normal", *map(str, recordings), "-o", str(profile), "-c", str(config)])


def replayed(config: Path, profile: Path, path: Path, out: Path) -> float:
    """The highest anomaly of a recording."""
    arguments = [str(path), "-c", str(config), "--profile", str(profile), "--scores", str(out)]
    assert main(["replay", *arguments, "--events", str(out.with_suffix(".jsonl"))]) == 0
    with out.open(encoding="utf-8", newline="") as file:
        return max(float(row["anomaly"]) for row in csv.DictReader(file))


def test_what_was_learned_is_used_in_replay(config: Path, recordings: list[Path], tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    assert learn(config, profile, *recordings) == 0
    version = ProfileFolder(profile).require_current()
    assert set(version.parts()) == {"normal", "null"}
    assert version.notes["recordings"] == 6
    steady(tmp_path / "same.wav", 0.12, 4.0)
    steady(tmp_path / "other.wav", -0.9, 4.0)
    usual = replayed(config, profile, tmp_path / "same.wav", tmp_path / "a.csv")
    unusual = replayed(config, profile, tmp_path / "other.wav", tmp_path / "b.csv")
    assert unusual > 0.6 > usual


def test_what_a_profile_holds_is_told_in_words(
    config: Path, recordings: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "profile"
    assert learn(config, profile, *recordings) == 0
    capsys.readouterr()
    assert main(["learn", "versions", str(profile)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "  what is normal (all cameras), false alarm rates of quiet time  (model " in line
    (profile / "0001" / "null.npz").write_bytes(b"damaged")
    assert main(["learn", "versions", str(profile)]) == 0
    assert "false alarm rates of quiet time (damaged)" in capsys.readouterr().out


def test_a_bad_recording_is_left_out_and_told(
    config: Path, recordings: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"not a film")
    assert learn(config, tmp_path / "profile", *recordings, tmp_path / "bad.mp4", tmp_path / "missing.wav") == 2
    told = capsys.readouterr().out
    assert "6 recordings" in told
    assert "bad.mp4" in told
    assert "missing.wav" in told
    assert ProfileFolder(tmp_path / "profile").require_current().part("normal") is not None


def test_nothing_usable_writes_nothing(config: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"not a film")
    steady(tmp_path / "short.wav", 0.1, 3.0)
    assert learn(config, tmp_path / "profile", tmp_path / "bad.mp4") == 2
    assert learn(config, tmp_path / "profile", tmp_path / "short.wav") == 2
    assert ProfileFolder(tmp_path / "profile").current() is None
    with pytest.raises(InputError, match="too few"):
        learn_normal([tmp_path / "short.wav"], tmp_path / "profile", config=config)


def test_cameras_are_learned_apart(config: Path, recordings: list[Path], tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    learn_normal(recordings, profile, camera="gate", config=config)
    done = learn_normal(recordings, profile, config=config)
    assert done.version == 2
    assert done.highest < 1
    part = ProfileFolder(profile).require_current().part("normal")
    assert part is not None
    assert set(part.facts["cameras"]) == {"gate", "*"}
    assert np.isfinite(done.hours)
