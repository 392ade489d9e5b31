"""What touches files for others: in order, on its own thread, and never a reason to stop."""

from __future__ import annotations

import shutil
import threading
from collections import namedtuple
from pathlib import Path

import pytest

from edge.clock import VirtualClock
from edge.errors import ConfigError, EdgeError, InputError, MediaError, ModelError, SinkError
from edge.node.daemon import exit_code
from edge.node.files import LOCK, FileWorker, lock_data_dir
from edge.types import NS_PER_S

Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 - as `shutil` gives it


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(0)


@pytest.fixture
def files(tmp_path: Path, clock: VirtualClock) -> FileWorker:
    return FileWorker(tmp_path, clock)


def test_what_is_asked_for_is_done_in_order_also_at_the_end(files: FileWorker) -> None:
    done: list[str] = []
    files.every_turn.append(lambda: done.append("look"))
    files.submit(lambda: done.append("1"))
    files.submit(lambda: done.append("2"))
    cancel = threading.Event()
    cancel.set()
    files.run(cancel)
    assert done == ["1", "2", "look"]


@pytest.mark.parametrize("error", [SinkError("s"), InputError("i"), ConfigError(["c"]), OSError(5, "EIO")])
def test_what_the_disk_refuses_does_not_keep_the_rest_from_being_done(files: FileWorker, error: Exception) -> None:
    done: list[str] = []

    def refused() -> None:
        raise error

    files.submit(refused)
    files.submit(lambda: done.append("next"))
    files.step()
    assert done == ["next"]


def test_a_bug_ends_it(files: FileWorker) -> None:
    files.submit(lambda: int("bug") and None)
    with pytest.raises(ValueError, match="bug"):
        files.step()


def test_the_free_space_is_measured_now_and_then_and_unknown_when_the_disk_does_not_say(
    files: FileWorker, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert files.free_bytes() is None
    answers: list[int | OSError] = [7, 8, OSError(5, "EIO")]

    def usage(_folder: Path) -> Usage:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, OSError):
            raise answer
        return Usage(9, 1, answer)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    for after_s, free in ((0, 7), (1, 7), (10, 8), (20, 8), (61, None)):
        clock.advance(after_s * NS_PER_S)
        files.step()
        assert files.free_bytes() == free


@pytest.mark.parametrize(
    ("failure", "has_begun", "code"),
    [
        (None, True, 0),
        (ZeroDivisionError(), True, 1),
        (InputError("a file that was fine at the start"), True, 1),
        (MediaError("m"), True, 1),
        (ConfigError(["c"]), False, None),
        (ModelError("m"), False, None),
        (SinkError("s"), True, None),
    ],
)
def test_only_what_a_person_wrote_ends_with_a_code_that_is_not_tried_again(
    failure: Exception | None, has_begun: bool, code: int | None
) -> None:
    if code is not None:
        assert exit_code(failure, has_begun=has_begun) == code
        return
    with pytest.raises(EdgeError):  # `edge.cli` tells it, with its own code
        exit_code(failure, has_begun=has_begun)


def test_a_folder_that_cannot_be_written_is_said_and_held_as_far_as_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / LOCK).write_text("1")
    opened = Path.open

    def read_only(path: Path, mode: str = "r") -> object:
        if mode != "r":
            raise OSError(30, "Read-only file system")
        return opened(path, mode)

    monkeypatch.setattr(Path, "open", read_only)
    with lock_data_dir(tmp_path):
        assert "the data folder cannot be written (Read-only file system)" in caplog.text
        with pytest.raises(InputError, match="another daemon"), lock_data_dir(tmp_path):
            pass
    (tmp_path / LOCK).unlink()
    with lock_data_dir(tmp_path):
        pass
