"""The page in a real Chromium: drawing, playing, marking, tuning, on a desk and on a phone."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_parts import CHROMIUM, Watched, chromium, fill, served
from playwright.sync_api import Browser, expect
from web_parts import NOON_NS, ScriptedBackend, event, frame_of, jpeg_of

from edge.config import load
from edge.config.services import WebConfig
from edge.evidence.archive.records import StoredNearMiss
from edge.status import CameraStatus, HeldBack, HoldReason, SensorStatus, SourceState, StreamStatus
from edge.types import NS_PER_S, Box, Phase
from edge.web.backend import LiveFrame, LiveScores
from edge.web.hub import Subscriber

pytestmark = [
    pytest.mark.web,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="needs chromium (apt)"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # playwright's own pipes
]
FIRST = f"{17:016x}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ScriptedBackend, str]]:
    box = ScriptedBackend(tmp_path_factory.mktemp("house"))
    fill(box)
    with served(box) as origin:
        yield box, origin
    assert box.store is not None
    assert box.traces is not None
    box.store.close()
    box.traces.close()


@pytest.fixture
def watched(browser: Browser, house: tuple[ScriptedBackend, str], request: pytest.FixtureRequest) -> Iterator[Watched]:
    wide: dict[str, Any] = {"viewport": {"width": 1200, "height": 860}, "timezone_id": "UTC", "locale": "en-GB"}
    context = browser.new_context(**{**wide, **getattr(request, "param", {})})
    context.set_default_timeout(12_000)
    one = Watched(context.new_page(), house[1])
    yield one
    context.close()
    assert one.errors == []
    assert one.foreign == []


def test_the_live_page_shows_what_happens_and_says_nothing_to_nobody(
    watched: Watched, house: tuple[ScriptedBackend, str]
) -> None:
    box, _ = house
    page = watched.open("/")
    yard = page.locator('[data-camera="yard"]')
    expect(yard.locator(".open li")).to_contain_text("person")
    watched.until("document.querySelector('.picture img').naturalWidth === 640")
    expect(yard.locator(".tag.zone")).to_have_text("drive")
    expect(yard.locator(".legend")).to_contain_text("person")
    expect(yard.locator(".meter output")).to_contain_text("dBFS")
    heard = page.evaluate(
        "(() => { const c = document.querySelector('.waterfall'); const d = c.getContext('2d')"
        ".getImageData(c.width - 40, 0, 40, c.height).data; return new Set(d).size; })()"
    )
    assert heard > 20, "the spectrogram has structure"
    watched.until("document.querySelector('.pill.up') !== null")
    assert len(box.hub) > 0
    box.pictures["yard"] = LiveFrame(2, frame_of(2.0)[:180, :320])
    watched.until("document.querySelector('.picture img').naturalWidth === 320")
    box.hub.publish("scores", lambda: LiveScores("yard", NOON_NS + NS_PER_S, {"person": 0.77}), key="yard")
    expect(yard.locator(".legend li").first).to_contain_text("0.77")
    box.hub.publish("event", lambda: replace(event(0), phase=Phase.END))
    expect(yard.locator(".open")).to_be_hidden()
    page.locator(".switch", has_text="Armed").first.click()
    expect(page.locator("#told")).to_contain_text("disarmed")
    assert box.arming["yard"] is False
    box.arming["yard"] = True


def test_a_zone_is_drawn_with_the_mouse_and_a_rule_made_from_it(
    watched: Watched, house: tuple[ScriptedBackend, str]
) -> None:
    box, _ = house
    page = watched.open("/zones/yard")
    page.get_by_role("button", name="Draw a zone").click()
    board = page.locator(".board")
    area = board.bounding_box()
    assert area is not None
    corners = [(0.6, 0.3), (0.9, 0.3), (0.9, 0.7), (0.6, 0.7)]
    for x, y in [*corners, corners[0]]:
        page.mouse.click(area["x"] + x * area["width"], area["y"] + y * area["height"])
    expect(page.locator(".places").first).to_contain_text("zone1")
    kept = load(box.loaded.path).config.cameras["yard"].zones["zone1"]
    assert np.allclose(kept, corners, atol=0.005)
    # A corner is dragged, and is in force as it is let go.
    grip = page.get_by_role("button", name=re.compile("^Corner 3")).bounding_box()
    assert grip is not None
    page.mouse.move(grip["x"] + 12, grip["y"] + 12)
    page.mouse.down()
    page.mouse.move(area["x"] + 0.8 * area["width"], area["y"] + 0.9 * area["height"], steps=4)
    page.mouse.up()
    watched.until("document.querySelector('#told').innerText.includes('in force')")
    page.wait_for_timeout(200)
    assert load(box.loaded.path).config.cameras["yard"].zones["zone1"][2] == pytest.approx((0.8, 0.9), abs=0.01)
    # Keys move it too.
    page.get_by_role("button", name=re.compile("^Corner 1")).focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(1200)
    assert load(box.loaded.path).config.cameras["yard"].zones["zone1"][0][0] == pytest.approx(0.58, abs=0.006)
    page.get_by_label("Where").select_option("zone:zone1")
    page.get_by_label("Schedule").fill("22:00-06:00")
    page.get_by_role("button", name="Save the rule").click()
    assert "intrusion" not in load(box.loaded.path).config.events, "no name is taken that nobody gave"
    page.get_by_label("Name of the rule").fill("intrusion")
    page.get_by_role("button", name="Save the rule").click()
    expect(page.locator(".places", has_text="intrusion")).to_be_visible()
    rule = load(box.loaded.path).config.events["intrusion"]
    assert (rule.when, rule.zones, rule.after_s, rule.schedule) == ("person", ("zone1",), 2.0, "22:00-06:00")
    page.locator("summary", has_text="As text").click()
    expect(page.locator("pre")).to_contain_text("zone1: [[0.58")
    # A zone that a rule needs is not lost.
    page.get_by_role("button", name="Remove zone zone1").click()
    expect(page.locator(".toast.bad")).to_contain_text("zone1")
    watched.errors[:] = [e for e in watched.errors if "409" not in e]
    page.get_by_role("button", name="Remove rule intrusion").click()
    expect(page.locator(".places", has_text="intrusion")).to_have_count(0)
    page.get_by_role("button", name="Remove zone zone1").click()
    expect(page.get_by_role("button", name="Remove zone zone1")).to_have_count(0)


def test_a_rule_of_config_yaml_is_replaced_only_when_that_is_ticked_and_comes_back(
    watched: Watched, house: tuple[ScriptedBackend, str]
) -> None:
    box, _ = house
    page = watched.open("/zones/yard")
    page.get_by_label("Name of the rule").fill("night_watch")
    expect(page.locator(".taken")).to_contain_text("person · in drive · 22:00-06:00")
    expect(page.locator(".taken")).to_contain_text("config.yaml")
    page.get_by_label("What", exact=True).select_option("vehicle")
    page.get_by_role("button", name="Replace the rule").click()
    assert box.drawn().get("events") is None, "it is not ticked"
    page.get_by_label("Replace it").check()
    page.get_by_role("button", name="Replace the rule").click()
    expect(page.locator(".covers")).to_contain_text("in place of config.yaml's: person · in drive · 22:00-06:00")
    assert box.loaded.config.events["night_watch"].when == "vehicle"
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".covers")).to_have_count(0)
    assert box.loaded.config.events["night_watch"].when == "person"
    assert box.loaded.config.events["night_watch"].schedule == "22:00-06:00"
    # A name that was taken meanwhile, elsewhere, is refused by the box, and what was filled in stays.
    page.get_by_label("Name of the rule").fill("late")
    page.get_by_label("Schedule").fill("23:00-05:00")
    page.evaluate(
        "fetch('/api/rules/late', {method: 'PUT', headers: {'content-type': 'application/json'},"
        " body: JSON.stringify({when: 'fire'})})"
    )
    page.wait_for_timeout(300)
    page.get_by_role("button", name="Save the rule").click()
    expect(page.locator(".toast.bad")).to_contain_text("there is a rule 'late' already")
    watched.errors[:] = [e for e in watched.errors if "409" not in e]
    assert box.loaded.config.events["late"].when == "fire"
    expect(page.locator(".taken")).to_contain_text("fire")
    expect(page.get_by_label("Schedule")).to_have_value("23:00-05:00")
    # What is removed comes back too.
    page.get_by_role("button", name="Remove rule late").click()
    expect(page.locator(".places", has_text="late")).to_have_count(0)
    page.get_by_role("button", name="Undo").last.click()
    expect(page.locator(".places", has_text="late")).to_be_visible()
    page.get_by_role("button", name="Remove rule late").click()
    expect(page.locator(".places", has_text="late")).to_have_count(0)


HELD = HeldBack(
    *("yard", "person", 0.6, {HoldReason.RATE_LIMITED: 9, HoldReason.OUTSIDE_ZONE: 4}),
    *(HoldReason.RATE_LIMITED, NOON_NS, 0.93),
)


def test_what_is_held_back_says_why_and_how_often(watched: Watched, house: tuple[ScriptedBackend, str]) -> None:
    box, _ = house
    box.held = [HELD, replace(HELD, camera="hall", label="shout", reason=HoldReason.DISARMED)]
    page = watched.open("/")
    yard, hall = (page.locator(f'[data-camera="{name}"]') for name in ("yard", "hall"))
    expect(yard.locator(".held li")).to_have_text(
        re.compile("person 0.93 of 0.60: told often enough this hour; 9 held back this hour")
    )
    expect(hall.locator(".held li")).to_contain_text("shout 0.93 of 0.60: the camera is disarmed")
    expect(yard.locator(".legend li", has_text="person")).to_contain_text("told often enough this hour")
    over = replace(HELD, reason=None)
    box.hub.publish("held_back", lambda: (over,), key="held_back")
    expect(yard.locator(".held")).to_be_hidden()
    expect(yard.locator(".legend li", has_text="person")).to_contain_text("9 held back this hour")
    page = watched.open("/health")
    expect(page.locator("article").first).to_contain_text("18 held back this hour")
    expect(page.locator('[data-camera="yard"]')).to_contain_text(
        "9 by the limit an hour, 4 outside of the rule's places"
    )
    box.held = []


def test_a_lost_camera_is_grey_and_its_picture_says_when_it_was(
    watched: Watched, house: tuple[ScriptedBackend, str]
) -> None:
    box, _ = house
    page = watched.open("/")
    yard = page.locator('[data-camera="yard"]')
    watched.until("document.querySelector('[data-camera=yard] .picture img').naturalWidth > 0")
    expect(yard.locator(".stamp")).to_be_hidden()
    expect(page.locator('[data-camera="hall"] .stamp')).to_contain_text("Last picture: ")
    lost = CameraStatus(
        "yard", 0, SourceState.LOST, "timed out", StreamStatus(3600.0, 0, 90, 0, 0, None), None, None, {}
    )
    box.hub.publish("facts", lambda: (lost,), key="facts")
    expect(yard.locator(".stamp")).to_be_visible()
    told = yard.locator(".stamp").inner_text()
    hour = page.evaluate("new Date(Date.now() - 3600e3).getHours()")
    assert re.search(rf"\b{hour:02d}:\d\d:\d\d", told), told
    assert "grayscale" in page.evaluate("getComputedStyle(document.querySelector('[data-camera=yard] img')).filter")
    expect(yard.locator(".boxes > *")).to_have_count(0)
    box.hub.publish("facts", lambda: tuple(box.facts()), key="facts")
    expect(yard.locator(".stamp")).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.querySelector('[data-camera=yard] img')).filter") == "none"


def test_boxes_are_those_of_the_picture_that_is_shown(watched: Watched, house: tuple[ScriptedBackend, str]) -> None:
    """Scores come half a second before or after the picture that they are of."""
    box, _ = house
    before = box.pictures["yard"]
    page = watched.open("/")
    drawn = page.locator('[data-camera="yard"] .boxes > *')
    box.pictures["yard"] = LiveFrame(before.number + 1, frame_of(34.0), (Box("person", 0.91, 0.1, 0.1, 0.2, 0.9),))
    expect(drawn).to_have_count(1)
    expect(drawn).to_have_attribute("style", re.compile(r"left: 10"))
    other = (Box("car", 0.8, 0.5, 0.5, 0.9, 0.9), Box("car", 0.7, 0.1, 0.5, 0.2, 0.9))
    box.hub.publish("scores", lambda: LiveScores("yard", NOON_NS + 2 * NS_PER_S, {"person": 0.9}, other), key="yard")
    page.wait_for_timeout(600)
    expect(drawn).to_have_count(1)
    box.pictures["yard"] = LiveFrame(before.number + 2, frame_of(2.0), other)
    expect(drawn).to_have_count(2)
    box.pictures["yard"] = before


def test_sensors_are_shown_with_their_age(watched: Watched, house: tuple[ScriptedBackend, str]) -> None:
    box, _ = house
    box.readings = (
        SensorStatus("temperature", "\N{DEGREE SIGN}C", 21.5, 3.0, is_stale=False),
        SensorStatus("smoke", "ppm", 4.0, 900.0, is_stale=True),
    )
    page = watched.open("/")
    sensors = page.locator('[data-camera="yard"] .sensors')
    expect(sensors).to_contain_text("temperature: 21.5 \N{DEGREE SIGN}C, 3.0 s ago")
    expect(sensors.locator(".bad")).to_contain_text("smoke: 4 ppm, 15 min ago (too old to count)")
    page = watched.open("/health")
    expect(page.locator('[data-camera="yard"] .bad', has_text="smoke")).to_contain_text("4 ppm, 15 min ago")
    box.readings = ()


TAP = """
window.played = {samples: 0, loudest: 0, contexts: []};
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (when) {
  const data = this.buffer.getChannelData(0);
  window.played.samples += data.length;
  for (const v of data) window.played.loudest = Math.max(window.played.loudest, Math.abs(v));
  if (!window.played.contexts.includes(this.context)) window.played.contexts.push(this.context);
  return start.call(this, when);
};
"""


def test_the_sound_is_heard_and_stops(watched: Watched, house: tuple[ScriptedBackend, str]) -> None:
    box, _ = house
    whole = box.heard["yard"]
    watched.page.add_init_script(TAP)
    box.heard["yard"] = whole[:64000]
    page = watched.open("/")
    assert page.locator('[data-camera="hall"] .listen').count() == 0, "it has no sound"
    page.get_by_role("button", name="Listen").click()
    watched.until("played.samples >= 16000")
    box.heard["yard"] = whole[:160000]
    watched.until("played.samples >= 16000 + 96000")
    assert page.evaluate("played.samples") == 16000 + 96000, "nothing is left out and nothing comes twice"
    assert page.evaluate("played.loudest") == pytest.approx(float(np.abs(whole[48000:160000]).max()), abs=1e-3)
    assert page.evaluate("played.contexts.length") == 1
    assert page.evaluate("played.contexts[0].state") == "running"
    watched.until("played.contexts[0].currentTime > 0.5")
    page.get_by_role("button", name="Stop listening").click()
    watched.until("played.contexts[0].state === 'closed'")
    expect(page.get_by_role("button", name="Listen")).to_be_visible()
    box.heard["yard"] = whole


def test_a_page_that_missed_news_is_told_anew_what_is_open(
    watched: Watched, house: tuple[ScriptedBackend, str]
) -> None:
    """What ended while nobody read does not stay open on the page for ever."""
    box, _ = house
    opened = box.open
    page = watched.open("/")
    expect(page.locator('[data-camera="yard"] .open li')).to_have_count(1)
    box.open = []
    for _ in range(3):
        for n in range(Subscriber.MAX_WAITING):
            box.hub.publish("event", lambda n=n: event(1000 + n, camera="elsewhere"))  # type: ignore[misc]
    expect(page.locator('[data-camera="yard"] .open')).to_be_hidden()
    box.open = opened


def test_a_line_is_drawn(watched: Watched, house: tuple[ScriptedBackend, str]) -> None:
    page = watched.open("/zones/hall")
    page.get_by_role("button", name="Draw a line").click()
    area = page.locator(".board").bounding_box()
    assert area is not None
    for x, y in [(0.2, 0.9), (0.8, 0.5)]:
        page.mouse.click(area["x"] + x * area["width"], area["y"] + y * area["height"])
    expect(page.locator(".places").first).to_contain_text("line1")
    (line,) = load(house[0].loaded.path).config.cameras["hall"].lines.values()
    assert np.allclose(line, [(0.2, 0.9), (0.8, 0.5)], atol=0.005)
    page.get_by_role("button", name="Remove line line1").click()
    expect(page.get_by_role("button", name="Remove line line1")).to_have_count(0)


def test_an_events_clip_plays_with_sound_and_it_is_marked(watched: Watched, house: tuple[ScriptedBackend, str]) -> None:
    page = watched.open("/events")
    page.locator(f'a[href="/events/{FIRST}"]').click()
    page.wait_for_selector("video")
    page.evaluate("document.querySelector('video').play()")
    watched.until("document.querySelector('video').currentTime > 0.7")
    played = page.evaluate(
        "(() => { const v = document.querySelector('video');"
        " return [v.webkitAudioDecodedByteCount, v.webkitVideoDecodedByteCount, v.videoWidth, v.duration]; })()"
    )
    assert played[0] > 0, "sound was decoded"
    assert played[1] > 0
    assert played[2] == 640
    assert played[3] > 5
    page.evaluate("document.querySelector('video').currentTime = 4")
    watched.until("document.querySelector('video').currentTime > 4.2")
    expect(page.locator(".shares")).to_contain_text("+3.1")
    page.get_by_role("button", name="False alarm").click()
    expect(page.locator(".verdict.false")).to_have_attribute("aria-pressed", "true")
    page.locator("h1").click()
    page.keyboard.press("t")
    expect(page.locator(".verdict.true")).to_have_attribute("aria-pressed", "true")
    store = house[0].store
    assert store is not None
    record = store.get(FIRST)
    assert record is not None
    assert record.mark is not None
    assert record.mark.verdict == "true"
    page.go_back()
    expect(page.locator(f'a[href="/events/{FIRST}"] .mark')).to_be_visible()


def test_events_go_on_as_one_scrolls_and_are_searched(watched: Watched) -> None:
    page = watched.open("/events")
    rows = page.locator(".events > li")
    expect(rows).to_have_count(30)
    page.mouse.wheel(0, 20_000)
    expect(rows).to_have_count(46)
    page.get_by_label("What").select_option("glass_break")
    expect(rows).to_have_count(9)
    assert "label=glass_break" in page.url
    page.get_by_label("Search in words").fill("vehicle on yard today")
    page.keyboard.press("Enter")
    expect(page.locator('[role="status"]').first).to_contain_text("Looked for")


def test_dragging_a_threshold_changes_the_preview_and_applying_keeps_it(
    watched: Watched, house: tuple[ScriptedBackend, str]
) -> None:
    page = watched.open("/thresholds/yard/person?day=2026-01-16")
    summary = page.locator(".summary")
    expect(summary).to_have_attribute("data-total", "3")
    slider = page.get_by_label("Begins at")
    slider.focus()
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
    expect(summary).to_have_attribute("data-total", "5")
    expect(summary).to_contain_text("With 0.48: 5 events; with 0.60, as now: 3 events")
    chart = page.locator(".history").bounding_box()
    assert chart is not None
    page.mouse.move(chart["x"] + 300, chart["y"] + 40)
    page.mouse.down()
    page.mouse.move(chart["x"] + 300, chart["y"] + 7 + 0.15 * (chart["height"] - 72), steps=5)
    page.mouse.up()
    expect(summary).to_have_attribute("data-total", "1")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#told")).to_contain_text("from now on")
    assert house[0].commands["yard", "person"] == pytest.approx(0.85, abs=0.011)
    page.get_by_role("button", name="Back to what the configuration says").click()
    expect(summary).to_have_attribute("data-total", "3")
    assert house[0].commands == {}


def test_what_came_near_is_shown_and_tries_a_threshold_that_tells_of_it(
    watched: Watched, house: tuple[ScriptedBackend, str]
) -> None:
    store = house[0].store
    assert store is not None
    picture = jpeg_of(np.full((90, 160, 3), 90, np.uint8))
    store.add_near_miss(StoredNearMiss("yard", "person", NOON_NS - 600 * NS_PER_S, 0.557, 0.6, picture))
    page = watched.open("/thresholds/yard/person?day=2026-01-16")
    near = page.get_by_role("list", name="Moments below the threshold")
    expect(near.get_by_role("button")).to_have_count(1)
    expect(near.get_by_role("button")).to_contain_text("0.56")
    near.get_by_role("button").click()
    expect(page.locator(".slide output")).to_have_text("0.55")
    expect(page.locator(".summary")).to_contain_text("With 0.55:")
    page = watched.open("/thresholds/hall/person?day=2026-01-16")
    expect(page.locator(".near")).to_be_hidden()


def test_the_preview_says_what_would_be_held_back(watched: Watched, house: tuple[ScriptedBackend, str]) -> None:
    page = watched.open("/thresholds/yard/person?day=2026-01-16")
    summary = page.locator(".summary")
    expect(summary).to_contain_text(
        "After 60 in an hour one in 60 s is told; live, who or what is new is told at once."
    )
    house[0].most_per_hour = 2
    page = watched.open("/thresholds/yard/person?day=2026-01-16")
    expect(summary).to_have_attribute("data-total", "2")
    expect(summary).to_contain_text("Held back: 1 by the limit an hour. At most 2 an hour are told.")
    house[0].most_per_hour = 60
    house[0].arming["yard"] = False
    page = watched.open("/thresholds/yard/person?day=2026-01-16")
    expect(summary).to_contain_text("The camera is disarmed.")
    house[0].arming["yard"] = True


@pytest.mark.parametrize("watched", [{"viewport": {"width": 360, "height": 740}, "has_touch": True}], indirect=True)
def test_on_a_phone_nothing_is_wider_than_the_screen(watched: Watched) -> None:
    for path in ("/", "/events", f"/events/{FIRST}", "/zones/yard", "/thresholds/yard/person", "/health", "/digest"):
        page = watched.open(path)
        page.wait_for_timeout(300)
        assert not watched.is_wider_than_the_screen(), path
    page = watched.open("/zones/yard")
    page.get_by_role("button", name="Draw a zone").tap()
    page.locator(".board").scroll_into_view_if_needed()
    area = page.locator(".board").bounding_box()
    assert area is not None
    for x, y in [(0.2, 0.2), (0.7, 0.2), (0.7, 0.4)]:
        page.touchscreen.tap(area["x"] + x * area["width"], area["y"] + y * area["height"])
    page.get_by_role("button", name="Done").tap()
    expect(page.locator(".places").first).to_contain_text("zone1")
    page.get_by_role("button", name="Remove zone zone1").tap()
    expect(page.get_by_role("button", name="Remove zone zone1")).to_have_count(0)


def test_every_field_has_a_name_and_every_picture_a_text(watched: Watched) -> None:
    nameless = (
        "[...document.querySelectorAll('input,select,button,textarea')].filter(e => !e.labels?.length"
        " && !e.getAttribute('aria-label') && !e.textContent.trim() && !e.title).map(e => e.outerHTML)"
    )
    for path in ("/", "/events", f"/events/{FIRST}", "/zones/yard", "/thresholds/yard/person", "/health", "/digest"):
        page = watched.open(path)
        assert page.evaluate(nameless) == [], path
        assert page.evaluate("[...document.images].filter(i => !i.hasAttribute('alt')).length") == 0, path
        assert page.evaluate("document.querySelectorAll('h1').length") <= 1, path
        assert page.evaluate("document.querySelectorAll('canvas:not([role=img])').length") == 0, path


def test_a_guarded_page_asks_for_a_login_and_remembers_it(browser: Browser, tmp_path: Path) -> None:
    box = ScriptedBackend(tmp_path)
    with served(box, WebConfig.model_validate({"listen": "127.0.0.1:0", "password": "a long word"})) as origin:
        context = browser.new_context()
        one = Watched(context.new_page(), origin)
        page = one.open("/health")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_contain_text("wrong")
        page.get_by_label("Password").fill("a long word")
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("article").first).to_contain_text("warehouse / gate-01")
        one.open("/")
        page.locator(".switch").first.click()
        expect(page.locator("#told")).to_contain_text("disarmed")
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_label("Password")).to_be_visible()
        assert one.foreign == []
        assert [e for e in one.errors if "403" not in e and "401" not in e] == []
        context.close()
    assert box.store is not None
    box.store.close()


def test_the_node_stops_while_pages_are_open(browser: Browser, tmp_path: Path) -> None:
    box = ScriptedBackend(tmp_path)
    context = browser.new_context()
    others = sum(thread.name == "web" for thread in threading.enumerate())
    with served(box) as origin:
        one = Watched(context.new_page(), origin)
        one.open("/")
        expect(one.page.locator(".pill.up")).to_be_visible()
        assert len(box.hub) > 0
    one.until("!document.querySelector('.lost').hidden")
    assert sum(thread.name == "web" for thread in threading.enumerate()) == others
    context.close()
    assert box.store is not None
    box.store.close()
