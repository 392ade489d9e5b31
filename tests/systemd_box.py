"""A real systemd to try things in: PID 1 of its own namespaces, over this machine's files (tests/systemd/sdboot.sh)."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SDBOOT = Path(__file__).parent / "systemd" / "sdboot.sh"


def skip_without_systemd() -> None:
    """Skip the test where no systemd can be booted."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if not Path("/lib/systemd/systemd").exists() or shutil.which("unshare") is None:
        pytest.skip("systemd or util-linux is missing (apt install systemd util-linux)")


class SystemdBox:
    """Booted at once; ``shown`` are SRC:DST pairs of this machine's files that are seen inside, read-only."""

    def __init__(self, name: str, *shown: str) -> None:
        # Inside, a Python must not be led to this checkout.
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        self._env = {**kept, "SDBOOT_DIR": f"/run/sdboot-{name}"}
        self._sdboot("start", *shown)

    def _sdboot(self, *args: str, check: bool = True, text: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(SDBOOT), *args], env=self._env, text=True, capture_output=True, check=check, input=text
        )

    def sh(self, command: str, check: bool = True, text: str | None = None) -> str:
        """Run a shell command inside as root; what it printed."""
        done = self._sdboot("exec", "sh", "-c", command, check=False, text=text)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return str(done.stdout + done.stderr).strip()

    def write(self, path: str, text: str) -> None:
        self.sh(f"mkdir -p $(dirname {path}) && cat > {path}", text=text)

    def show(self, name: str, unit: str = "edge") -> str:
        """A property of a unit."""
        return self.sh(f"systemctl show -P {name} {unit}")

    def journal(self, unit: str = "edge") -> str:
        return self.sh(f"journalctl -u {unit} -o cat --no-pager")

    def until(self, done: Callable[[], object], timeout_s: float = 60.0) -> None:
        """Wait; fails with the journal when ``done`` does not come true."""
        deadline = time.monotonic() + timeout_s
        while not done():
            assert time.monotonic() < deadline, self.journal()
            time.sleep(0.1)

    def up(self, unit: str = "edge") -> bool:
        return self.show("ActiveState", unit) == "active"

    def power_off(self) -> None:
        self._sdboot("stop")
