"""What the package tests share."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Packages:
    """What scripts/package made, of which files, and what it printed."""

    folder: Path
    tracked: frozenset[str]
    printed: str

    def one(self, pattern: str) -> Path:
        """The only file of that name."""
        (found,) = self.folder.glob(pattern)
        return found


def clean_environment() -> dict[str, str]:
    """This process's environment without what would lead a Python to this checkout."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}


def run(*command: str | Path, cwd: Path | None = None, timeout_s: float = 240.0) -> str:
    """Run a command outside this checkout's environment; what it printed. It must succeed."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=clean_environment(), text=True, capture_output=True,
        timeout=timeout_s, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
