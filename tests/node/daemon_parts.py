"""What the daemon's own tests share: a real `edge run` in a process of its own, and what it said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge.engine.manifest import find_folder, load_folder

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE = ROOT / "samples" / "yard.mp4"


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
    """Poll until ``condition`` gives something true; AssertionError names what was waited for."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_s:.0f} s: {what}")


def config_text(data: Path, *, source: str = "", more: str = "mqtt: null\n") -> str:
    """A node that plays the sample and writes its events to ``data``/events.jsonl."""
    source = source or f"{{type: file, path: '{SAMPLE}', pace: fast}}"
    return (
        f"node: {{id: n1, site: test, data_dir: '{data}'}}\n"
        f"cameras: {{yard: {{source: {source}}}}}\n"
        f"jsonl: {{path: '{data}/events.jsonl'}}\n{more}"
    )


def eager(rule: str) -> str:
    """An ``events`` section in which ``rule`` holds for every label; a default would not lower the model's advice."""
    labels = load_folder(find_folder("fused")).manifest.label_names
    return f"events: {{{', '.join(f'{label}: {rule}' for label in labels)}}}\n"


class Daemon:
    """`edge run` as a child process, after the statements ``first``; its log goes to ``log``."""

    def __init__(self, config: Path, first: str = "") -> None:
        self.log = config.with_suffix(".log")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    f"{first}\nimport sys; from edge.cli import main; sys.exit(main())",
                    "run",
                    "-c",
                    str(config),
                ],
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_ready(self, times: int = 1) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, self.text()
            return self.text().count(" ready: ") >= times

        wait_for(ready, "the daemon is ready")

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 60.0) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout_s)


def events_in(path: Path) -> list[dict[str, Any]]:
    """The events of a JSON-lines file; a line that is just being written is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]


def course(events: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What happened, without what depends on when it was run: ids and wall times."""
    kept = [event for event in events if event["kind"] == "event"]
    return [(e["label"], e["phase"], e["score"], e["peak"], e["duration_s"], e["contribution"]) for e in kept]
