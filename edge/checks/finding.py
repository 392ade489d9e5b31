"""What `edge check` finds: one line each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OK: Literal["ok"] = "ok"
WARNING: Literal["warning"] = "warning"
ERROR: Literal["error"] = "error"


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """One line: what was looked at, how it is, and in words what was found."""

    area: str
    level: Literal["ok", "warning", "error"]
    text: str
