"""Hours of a box in use: cameras as `hour` has them, and a person at the page, who tunes, draws and saves."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hour import hour_table, watch
from testbed import SAMPLE, clip, rtsp_servers

from edge.bench.clips import MOVING, STILL
from edge.bench.daemon import BenchSetup, recording_source
from edge.bench.figures import markdown_table
from edge.bench.processes import free_port

LABEL = "person"
ZONE = {"points": [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]}
LIVE_CHUNK, LIVE_CHUNKS = 65_536, 400
ANSWER_S = 60.0
REFUSALS = frozenset({404, 409, 429, 503})
"""Answers that a person gets now and then: no picture yet, a clip that is being written, too often."""


class PageRefusedError(Exception):
    """The page answered what it never should."""


@dataclass(slots=True)
class PageUser:
    """Somebody at the page of the daemon on ``port`` of this machine. ``cameras`` are their names; each call of `use`
    is the next round of what people do. ``answers`` counts what came back, by status."""

    port: int
    cameras: Sequence[str]
    config: Path
    rounds: int = 0
    saves: int = 0
    answers: Counter[int] = field(default_factory=Counter)

    def use(self) -> None:
        """Look at a camera and the newest events, and change something. PageRefusedError when the page fails."""
        camera = self.cameras[self.rounds % len(self.cameras)]
        self._look(camera)
        changes = (self._tune, self._draw, self._save, self._arm)
        changes[self.rounds % len(changes)](camera)
        self.rounds += 1

    def follow(self, stop: threading.Event) -> None:
        """Hold the page's live updates and one live picture open, and open them anew when they end."""
        while not stop.is_set():
            for path in ("/api/live", f"/api/cameras/{self.cameras[0]}/live.mjpeg"):
                with contextlib.suppress(OSError, http.client.HTTPException):
                    self._read_on(path, stop)

    def _read_on(self, path: str, stop: threading.Event) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            for _ in range(LIVE_CHUNKS):
                if stop.is_set() or not answer.read1(LIVE_CHUNK):
                    break
        finally:
            connection.close()

    def _look(self, camera: str) -> None:
        span = f"since={time.time() - 3600:.0f}&until={time.time():.0f}"
        for path in ("/", "/api/node", "/api/health", "/api/thresholds", "/api/drawn", f"/api/digest?{span}"):
            self._ask("GET", path)
        for path in ("picture.jpg", "recent", "sound", f"trace?label={LABEL}&{span}",
                     f"preview?label={LABEL}&enter=0.5&{span}"):  # fmt: skip
            self._ask("GET", f"/api/cameras/{camera}/{path}")
        found = json.loads(self._ask("GET", "/api/events?limit=20") or b"{}")
        for event in found.get("events", [])[:3]:
            for name in ("", "/clip.mp4", "/snapshot.jpg", "/thumbnail.jpg", "/spectrogram.png"):
                self._ask("GET", f"/api/events/{event['id']}{name}")
            self._ask("POST", f"/api/events/{event['id']}/mark", {"verdict": "true", "note": "seen"})

    def _tune(self, camera: str) -> None:
        for enter in (0.7, None):
            self._ask("PUT", f"/api/cameras/{camera}/thresholds/{LABEL}", {"enter": enter})

    def _draw(self, camera: str) -> None:
        self._ask("PUT", f"/api/cameras/{camera}/zones/soak", ZONE)
        self._ask("PUT", "/api/rules/soak?replace=true", {"when": LABEL, "zones": ["soak"], "min_s": 1.0})
        self._ask("DELETE", "/api/rules/soak")
        self._ask("DELETE", f"/api/cameras/{camera}/zones/soak")

    def _arm(self, camera: str) -> None:
        for armed in (False, True):
            self._ask("PUT", f"/api/cameras/{camera}/armed", {"armed": armed})

    def _save(self, _camera: str) -> None:
        """Save the configuration with another threshold; the daemon reads it again by itself."""
        config = json.loads(self.config.read_text(encoding="utf-8"))
        self.saves += 1
        config["events"] = {"defaults": {"enter": 0.5 + 0.01 * (self.saves % 20)}}
        self.config.write_text(json.dumps(config, indent=1), encoding="utf-8")

    def _ask(self, method: str, path: str, body: Any = None) -> bytes:
        """What came back; empty for a refusal."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)
        try:
            headers = {} if body is None else {"content-type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        self.answers[answer.status] += 1
        if answer.status >= 400 and answer.status not in REFUSALS:
            raise PageRefusedError(f"{method} {path}: {answer.status} {content[:300]!r}")
        return content if answer.status < 400 else b""


def soak(setup: BenchSetup, seconds: float, quiet: int, say: Callable[[str], None]) -> str:
    """``quiet`` still cameras and two moving ones over RTSP, a recording, evidence, and the page in use throughout."""
    with rtsp_servers(STILL, setup.folder) as still, rtsp_servers(MOVING, setup.folder, 2) as moving:
        recording = recording_source(clip(SAMPLE, setup.folder).path)
        sources = [*still.cameras(quiet), *moving.cameras(2), recording]
        page = free_port()
        daemon = setup.daemon(sources, evidence={"keep_free_gb": 0}, web={"listen": f"127.0.0.1:{page}"})
        user = PageUser(page, [f"cam{n}" for n in range(len(sources))], daemon.config)
        stop = threading.Event()
        follower = threading.Thread(target=user.follow, args=(stop,), daemon=True)
        try:
            follower.start()
            seen = watch(daemon, seconds, say, user.use)
        finally:
            stop.set()
    shown = f"{quiet} still and 2 moving over RTSP, 1 recording; evidence kept, the page in use"
    return hour_table(seen, shown, len(sources), setup.hop_s) + "\n" + _use_table(user)


def _use_table(user: PageUser) -> str:
    answers = ", ".join(f"{status}: {count}" for status, count in sorted(user.answers.items()))
    rows = [["rounds of use, configurations saved", f"{user.rounds}, {user.saves}"], ["answers by status", answers]]
    return markdown_table(["use of the page", ""], rows)
