"""What Chromium shows of a clip: its length, its first picture and any other, by the picture's own number."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from clip_parts import YARD, cut_of, media, numbers

from edge.evidence.clips.clip import ClipRequest, ClipWriter

pytestmark = pytest.mark.web
CHROMIUM = "/usr/bin/chromium"
FPS = 15

LOOK = """async ({src, at, frame}) => {
  const video = document.createElement('video');
  video.muted = true; video.src = src;
  document.body.append(video);
  let shown = 0;  // when what is on the screen belongs: `seeked` comes before the picture does
  const note = (_, facts) => { shown = facts.mediaTime; video.requestVideoFrameCallback(note); };
  video.requestVideoFrameCallback(note);
  await new Promise((ok, no) => { video.onloadeddata = ok; video.onerror = () => no(video.error.message); });
  const look = async t => {
    const sought = new Promise(ok => { video.onseeked = ok; });
    video.currentTime = t; await sought;
    for (let i = 0; i < 200 && (shown > t || shown <= t - frame); i++) await new Promise(ok => setTimeout(ok, 25));
    const canvas = document.createElement('canvas');
    canvas.width = video.videoWidth; canvas.height = video.videoHeight;
    const context = canvas.getContext('2d'); context.drawImage(video, 0, 0);
    let number = 0;
    for (let bit = 0; bit < 10; bit++) {
      const x = Math.round((bit + 0.5) * canvas.width / 10);
      if (context.getImageData(x, 12, 1, 1).data[1] > 128) number += 1 << bit;
    }
    return number;
  };
  const seen = [];
  for (const t of at) seen.push(await look(t));
  const ended = new Promise((ok, no) => { video.onended = ok; video.onerror = () => no(video.error.message); });
  video.playbackRate = 4; await video.play(); await ended;
  const sound = video.webkitAudioDecodedByteCount;
  return {duration: video.duration, seen, sound, last: video.currentTime};
}"""


@pytest.fixture(scope="module")
def page() -> Any:
    if not Path(CHROMIUM).exists():
        pytest.skip("needs Chromium: apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def looked(page: Any, path: Path, at: list[float]) -> Any:
    data = base64.b64encode(path.read_bytes()).decode()
    return page.evaluate(LOOK, {"src": f"data:video/mp4;base64,{data}", "at": at, "frame": 1 / FPS})


@pytest.mark.parametrize("masks", [(), (((0.9, 0.9), (1, 0.9), (1, 1)),)], ids=["copied", "encoded"])
def test_chromium_shows_exactly_the_clip(page: Any, tmp_path: Path, masks: Any) -> None:
    recording = numbers(tmp_path / "numbers.mp4", 6.0)
    begin, end = 41, 79  # in the middle between key pictures
    wish = ClipRequest(media((begin + 0.5) / FPS), media((end + 0.5) / FPS), masks=masks)
    clip = ClipWriter().write(cut_of(recording, wish.begin.pts_ns / 1e9, wish.end.pts_ns / 1e9), tmp_path, wish)
    assert clip is not None
    found = looked(page, clip.path, [(k + 0.5) / FPS for k in (0, 1, 10, 38)])
    assert found["seen"] == [41, 42, 51, 79]
    assert found["duration"] == pytest.approx((end + 1 - begin) / FPS, abs=0.002)
    assert found["last"] == pytest.approx(found["duration"], abs=0.05)
    assert found["sound"] > 0


def test_chromium_plays_a_clip_of_pictures_that_refer_to_later_ones(page: Any, tmp_path: Path) -> None:
    wish = ClipRequest(media(10.3), media(13.3), silent=((media(11), media(12)),))
    clip = ClipWriter().write(cut_of(YARD, 10.3, 13.3), tmp_path, wish)
    assert clip is not None
    found = looked(page, clip.path, [])
    assert found["duration"] == pytest.approx(clip.end.since(clip.begin) / 1e9, abs=0.002)
    assert found["last"] == pytest.approx(found["duration"], abs=0.05)
