"""A real Chromium before a scripted box that is really served: what it shows, plays, draws and asks for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright
from web_parts import (
    LABELS,
    NOON_NS,
    SAMPLE,
    ScriptedBackend,
    clip_of,
    event,
    frame_of,
    jpeg_of,
    keep,
    scores_of_a_day,
)

from edge.config.services import WebConfig
from edge.types import Box, EventKind, Phase
from edge.web.backend import LiveFrame, LiveScores
from edge.web.serve import WebServer

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"]


@dataclass
class Watched:
    """A page, and what must not be in it: console errors, failed requests, and requests to elsewhere."""

    page: Page
    origin: str
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type in {"error", "warning"} else None)
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("request", lambda r: None if self._is_own(r.url) else self.foreign.append(r.url))

    def open(self, path: str) -> Page:
        self.page.goto(self.origin + path, wait_until="domcontentloaded")
        self.page.wait_for_selector("#page > :not(.empty):not([hidden]):not(.hidden)")
        return self.page

    def until(self, condition: str, timeout_s: float = 15.0) -> None:
        """Until an expression is true; Playwright's own waiting evaluates strings, which the page forbids."""
        deadline = time.monotonic() + timeout_s
        while not self.page.evaluate(condition):
            assert time.monotonic() < deadline, f"never: {condition}"
            self.page.wait_for_timeout(50)

    def is_wider_than_the_screen(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))

    def _is_own(self, url: str) -> bool:
        return url.startswith((self.origin, "blob:", "data:"))


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def served(box: ScriptedBackend, settings: WebConfig | None = None) -> Iterator[str]:
    server = WebServer(box, settings or WebConfig(listen="127.0.0.1:0"))
    server.start()
    try:
        yield server.address
    finally:
        server.stop()
        assert server.fault is None


def sound_of(seconds: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The sample's sound at the box's rate."""
    resampler = av.AudioResampler("flt", "mono", 32000)
    parts = []
    with av.open(str(SAMPLE)) as source:
        for frame in source.decode(audio=0):
            parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
            if frame.time is not None and frame.time > seconds:
                break
    return np.concatenate(parts).astype(np.float32)


def fill(box: ScriptedBackend) -> None:
    """Content as a box has it: pictures and sound of the sample, scores, events with clips."""
    person = frame_of(34.0)
    seen = (Box("person", 0.91, 0.36, 0.22, 0.55, 0.97),)
    box.pictures = {"yard": LiveFrame(1, person, seen), "hall": LiveFrame(1, frame_of(22.0))}
    box.heard["yard"] = sound_of(14.0)
    rng = np.random.default_rng(1)
    for i in range(340):
        wall_ns = NOON_NS + (i - 340) * 500_000_000
        person_value = float(np.clip(0.93 / (1 + np.exp(-(i - 240) / 6)) + rng.normal(0, 0.02), 0, 1))
        values = {label: float(np.clip(abs(rng.normal(0.03, 0.02)), 0, 1)) for label in LABELS}
        values.update(person=person_value, shout=float(np.clip(0.3 + 0.3 * np.sin(i / 30), 0, 1)))
        box.moments["yard"].append(LiveScores("yard", wall_ns, values, seen))
    box.open = [event(0, phase=Phase.BEGIN, end_ns=None, why="person 0.91 (enter 0.60): mostly picture (+3.1)")]
    clip, still = clip_of(32.0), jpeg_of(person)
    small = jpeg_of(person[::2, ::2])
    for number in range(1, 46):
        label = ("person", "vehicle", "person", "glass_break", "shout")[number % 5]
        files = {"thumbnail": small}
        if number <= 3:
            files |= {"clip": clip, "snapshot": still}
        keep(box, event(number * 17, label), files)
    keep(box, event(1, "no_signal", "hall", kind=EventKind.HEALTH, boxes=(), contribution=None, severity="warning"))
    scores_of_a_day(box)
