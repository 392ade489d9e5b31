"""How to get what an optional part of the program needs; the program itself is on no package index."""

from __future__ import annotations

import shlex
import sys
from importlib import metadata

PACKAGE = "edge-monitor"


def install_command(extra: str) -> str:
    """A command that installs the packages of ``extra`` for the Python that runs, from a checkout or a wheel alike."""
    try:
        declared = metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:
        declared = []
    marked = [requirement.partition(";") for requirement in declared]
    packages = [name.strip() for name, _, marker in marked if f"extra == '{extra}'" in marker.replace('"', "'")]
    if not packages:
        return f".venv/bin/pip install -e '.[{extra}]' in the checkout"
    return shlex.join([sys.executable, "-m", "pip", "install", *packages])
