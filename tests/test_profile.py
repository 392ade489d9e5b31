"""A profile keeps every version whole, says which is in use, goes back, and refuses what another model learned."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edge.engine.manifest import Manifest, find_folder, load_folder
from edge.errors import InputError, SinkError
from edge.profile import ProfileFolder, ProfilePart, load_part, save_part


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return load_folder(find_folder("fused")).manifest


def part(value: float) -> ProfilePart:
    return ProfilePart({"weights": np.full((2, 3), value, np.float32)}, {"labels": ["shout"], "value": value})


def value_of(folder: ProfileFolder, name: str = "events") -> float:
    found = folder.require_current().part(name)
    assert found is not None
    assert found.arrays["weights"].shape == (2, 3)
    return float(found.facts["value"])


def test_nothing_learned_yet(tmp_path: Path) -> None:
    folder = ProfileFolder(tmp_path / "none")
    assert folder.current() is None
    assert folder.versions() == []
    with pytest.raises(InputError, match="edge learn events"):
        folder.require_current()


def test_a_version_carries_over_what_it_does_not_replace(tmp_path: Path, manifest: Manifest) -> None:
    folder = ProfileFolder(tmp_path)
    folder.write(manifest, {"events": part(1)}, {"clips": 4})
    second = folder.write(manifest, {"normal": part(2)}, {})
    assert second.parts() == ("events", "normal")
    assert (value_of(folder), value_of(folder, "normal")) == (1, 2)
    assert [version.number for version in folder.versions()] == [1, 2]
    assert folder.versions()[0].notes == {"clips": 4}


def test_the_way_back_ends_at_the_oldest(tmp_path: Path, manifest: Manifest) -> None:
    folder = ProfileFolder(tmp_path)
    for value in (1, 2):
        folder.write(manifest, {"events": part(value)}, {})
    assert folder.rollback().number == 1
    assert value_of(folder) == 1
    with pytest.raises(InputError, match="oldest"):
        folder.rollback()
    assert folder.write(manifest, {"events": part(3)}, {}).number == 3


def test_another_models_parts_are_neither_used_nor_carried(tmp_path: Path, manifest: Manifest) -> None:
    folder = ProfileFolder(tmp_path)
    other = manifest.model_copy(update={"sha256": "0" * 64})
    folder.write(other, {"events": part(1)}, {})
    with pytest.raises(InputError, match="learn again with this model"):
        folder.require_current().check(manifest)
    assert folder.write(manifest, {"normal": part(2)}, {}).parts() == ("normal",)


def test_killed_while_writing_leaves_the_old_version(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ProfileFolder(tmp_path)
    folder.write(manifest, {"events": part(1)}, {})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            folder.write(manifest, {"events": part(2)}, {})
    assert value_of(folder) == 1
    assert folder.write(manifest, {"events": part(3)}, {}).number == 2
    assert value_of(folder) == 3


def test_a_full_disk_is_told_and_changes_nothing(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ProfileFolder(tmp_path)
    folder.write(manifest, {"events": part(1)}, {})

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(SinkError, match="No space left"):
            folder.write(manifest, {"events": part(2)}, {})
    assert value_of(folder) == 1


def test_only_so_many_versions_are_kept_and_never_without_the_current(tmp_path: Path, manifest: Manifest) -> None:
    folder = ProfileFolder(tmp_path)
    for value in range(24):
        folder.write(manifest, {"events": part(value)}, {})
    assert [version.number for version in folder.versions()] == list(range(5, 25))
    assert value_of(folder) == 23


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 broken", b"\x93NUMPY"])
def test_a_damaged_part_says_what_to_do(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "events.npz"
    save_part(path, part(1))
    assert load_part(path).facts["value"] == 1
    path.write_bytes(damage)
    with pytest.raises(InputError, match="learn again"):
        load_part(path)


@pytest.mark.parametrize(("file", "content"), [("current", "seven"), ("0001/profile.json", "{}")])
def test_a_damaged_folder_says_what_to_do(tmp_path: Path, manifest: Manifest, file: str, content: str) -> None:
    folder = ProfileFolder(tmp_path)
    folder.write(manifest, {"events": part(1)}, {})
    (tmp_path / file).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"version number|roll back"):
        folder.current()
