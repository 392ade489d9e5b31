"""The packages, made once for all tests here from a copy of this checkout that has no .venv and no git."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from package_parts import Packages, run

TOP = Path(__file__).parents[2]
LOCAL = ("engines/fused/built/choice.json", "engines/fused/built/sm_87.engine", "edge/__pycache__/old.cpython-311.pyc")


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Packages]:
    if shutil.which("dpkg-deb") is None or shutil.which("git") is None or not (TOP / ".git").exists():
        pytest.skip("needs a git checkout on Debian or Ubuntu")
    able = subprocess.run(["/usr/bin/python3", "-c", "import ensurepip, venv"], capture_output=True, check=False)
    if able.returncode:
        pytest.skip("the system's Python cannot make virtual environments (apt install python3-venv)")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=TOP).split("\0")
    tracked = frozenset(name for name in listed if name and (TOP / name).is_file())
    copy, out = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("packages")
    for name in tracked:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(TOP / name, copy / name)
    for name in LOCAL:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(b"made here")
    printed = run(copy / "scripts" / "package", "all", "--compress", "none", "--out", out)
    yield Packages(out, tracked, printed)
    for folder in (copy, out):  # more than half a gigabyte, which pytest would keep
        shutil.rmtree(folder)
