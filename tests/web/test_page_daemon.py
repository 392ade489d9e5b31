"""The page of the running daemon in a real Chromium: a zone drawn on the picture becomes an alert with a clip."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_parts import CHROMIUM, Watched, chromium
from playwright.sync_api import expect

sys.path.insert(0, str(Path(__file__).parent.parent / "node"))
from daemon_parts import SAMPLE, Daemon, config_text, events_in, wait_for

pytestmark = [
    pytest.mark.web,
    pytest.mark.slow,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="needs chromium (apt)"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # playwright's own pipes
]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[tuple[Daemon, Path]]:
    config = tmp_path / "config.yaml"
    more = "mqtt: null\nweb: {listen: '127.0.0.1:0'}\nevidence: {before_s: 2, after_s: 2}\n"
    source = f"{{type: file, path: '{SAMPLE}', pace: live, loop: true}}"
    config.write_text(config_text(tmp_path / "data", source=source, more=more), encoding="utf-8")
    running = Daemon(config)
    yield running, tmp_path / "data"
    code = running.stop()
    assert code == 0, running.text()


def test_from_a_zone_drawn_to_an_alert_seen_heard_and_marked(daemon: tuple[Daemon, Path]) -> None:
    running, data = daemon
    running.wait_ready()
    found: Any = wait_for(lambda: re.search(r"the page is at (http://\S+)", running.text()), "the page is served")
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1200, "height": 860})
        watched = Watched(context.new_page(), found[1])
        page = watched.open("/zones/yard")
        watched.until("document.querySelector('.board img').naturalWidth > 100", 30)
        page.get_by_role("button", name="Draw a zone").click()
        area = page.locator(".board").bounding_box()
        assert area is not None
        for x, y in [(0.03, 0.05), (0.97, 0.05), (0.97, 0.97), (0.03, 0.97), (0.03, 0.05)]:
            page.mouse.click(area["x"] + x * area["width"], area["y"] + y * area["height"])
        expect(page.locator(".places").first).to_contain_text("zone1", timeout=15_000)
        page.get_by_label("Seconds").fill("1")
        page.get_by_label("What").select_option("person")
        page.get_by_label("Name of the rule").fill("intrusion")
        page.get_by_role("button", name="Save the rule").click()
        expect(page.locator(".places", has_text="intrusion")).to_be_visible(timeout=15_000)
        assert "zone1" in (data / "drawn.yaml").read_text(encoding="utf-8")

        watched.open("/")
        told = wait_for(
            lambda: [e for e in events_in(data / "events.jsonl") if e["label"] == "intrusion"],
            "an intrusion is told",
            120,
        )
        assert told[0]["zones"] == ["zone1"]
        url = f"/api/events/{told[0]['id']}"
        wait_for(lambda: "clip" in context.request.get(found[1] + url).json().get("files", {}), "its clip is kept", 90)

        page = watched.open(f"/events/{told[0]['id']}")
        expect(page.locator("h1")).to_contain_text("intrusion")
        page.evaluate("document.querySelector('video').play()")
        watched.until("document.querySelector('video').currentTime > 1", 30)
        assert page.evaluate("document.querySelector('video').webkitAudioDecodedByteCount") > 0
        page.get_by_role("button", name="Right").click()
        expect(page.locator(".verdict.true")).to_have_attribute("aria-pressed", "true")
        assert context.request.get(found[1] + url).json()["mark"]["verdict"] == "true"
        assert watched.errors == []
        assert watched.foreign == []
        context.close()
