"""`edge run` starts, says what is wrong and alerts, whatever the disk below its data folder does."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_parts import Daemon, config_text, wait_for

pytestmark = pytest.mark.slow


class Disk:
    """A small file system of its own: 4 MB in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", str(path)], check=False)
        if done.returncode:
            pytest.skip("mounting needs root")

    def fill(self) -> None:
        with contextlib.suppress(OSError), (self.path / "ballast").open("wb", buffering=0) as file:
            while file.write(bytes(4096)) == 4096:
                pass

    def free(self) -> None:
        (self.path / "ballast").unlink()

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.path)], check=True)

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk")
    yield made
    made.close()


def started(tmp_path: Path, disk: Disk) -> Daemon:
    """A daemon with everything that writes: outbox, evidence, the page's folder; its alerts come on its output."""
    config = tmp_path / "config.yaml"
    more = (
        "mqtt: null\nevidence: {keep_gb: 0.002, keep_free_gb: 0.0001}\n"
        "events: {defaults: {enter: 0.02, leave: 0.01, min_s: 0, cooldown_s: 0}}\n"
    )
    text = config_text(disk.path / "data", more=more).replace("pace: fast", "pace: live, loop: true")
    config.write_text(text.replace(f"{disk.path}/data/events.jsonl", "-"), encoding="utf-8")
    return Daemon(config)


def alerts(daemon: Daemon) -> int:
    return daemon.text().count('"phase":"begin"')


@pytest.mark.parametrize("before", ["first", "again"])
@pytest.mark.parametrize("how", ["full", "read-only"])
def test_it_starts_says_so_and_alerts(tmp_path: Path, disk: Disk, before: str, how: str) -> None:
    if before == "again":
        earlier = started(tmp_path, disk)
        wait_for(lambda: alerts(earlier) > 2, "alerts while the disk is well")
        assert earlier.stop() == 0
        earlier.log.unlink()
    if how == "full":
        disk.fill()
    else:
        disk.remount("ro")
    daemon = started(tmp_path, disk)
    try:
        daemon.wait_ready()
        wait_for(lambda: alerts(daemon) > 2, "alerts from memory")
        said = "the disk is full" if how == "full" else "cannot be written|unable to open|Read-only"
        assert any(one in daemon.text() for one in said.split("|"))
        if how == "full":
            disk.free()
        else:
            disk.remount("rw")
        wait_for(lambda: "the outbox is on the disk again" in daemon.text(), "it is written when it can be")
        assert (disk.path / "data" / "outbox.db").exists()
    finally:
        assert daemon.stop() == 0
    assert "Traceback" not in daemon.text()
