"""What `scripts/demo` does: the daemon with its own broker, and a watcher that was started before it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from daemon_parts import ROOT, Daemon, config_text

from edge.bench.processes import free_port


def test_events_arrive_through_the_broker_inside(tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "config.yaml"
    more = f"broker: {{listen: '127.0.0.1:{port}'}}\nmqtt: {{url: 'mqtt://127.0.0.1:{port}'}}\n"
    text = config_text(tmp_path / "data", more=more)
    config.write_text(text.replace("pace: fast", "pace: live, loop: true"), encoding="utf-8")
    daemon = Daemon(config)
    watch = [sys.executable, "-m", "edge", "watch", "-c", str(config), "--json", "--count", "2"]
    try:
        done = subprocess.run(
            [*watch, "--until-gone", str(daemon.process.pid)],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=ROOT,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert [event["camera"] for event in events] == ["yard", "yard"]
        assert all({"score", "threshold", "begin", "contribution", "why"} <= event.keys() for event in events)
        shown = subprocess.run(
            [*watch[:-3], "--count", "1"], capture_output=True, text=True, timeout=120, cwd=ROOT, check=False
        )
        assert "yard" in shown.stdout
    finally:
        assert daemon.stop() == 0
    gone = subprocess.run(
        [*watch, "--until-gone", str(daemon.process.pid)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert gone.returncode == 1
