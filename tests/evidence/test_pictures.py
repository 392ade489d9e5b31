"""Snapshots, thumbnails and spectrograms: the right moment, drawn where it belongs, nothing that is to be hidden."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from clip_parts import cut_of, media, ns, number_of, numbers
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import MediaError
from edge.evidence.clips.source import ClipAudio
from edge.evidence.clips.speech_mute import MARGIN_NS, mute, speech_spans
from edge.evidence.privacy import BlurTracks, MaskOverlay, blur_boxes, mask_pixels
from edge.evidence.snapshot import SnapshotOverlay, draw_overlay, encode_jpeg, picture_at, thumbnail
from edge.evidence.spectrogram import HEIGHT, WIDTH, SpectrogramMarks, mel_levels, render_spectrogram
from edge.media_time import MediaTime
from edge.types import NS_PER_S, Box, Rect

WINDOW_NS = 2 * NS_PER_S
GREY = np.full((360, 640, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbers(tmp_path_factory.mktemp("recording") / "numbers.mp4", 5.0)


@pytest.mark.parametrize("at_s", [0.01, 1.99, 2.01, 3.49])
def test_the_picture_is_the_one_shown_at_that_time(recording: Path, at_s: float) -> None:
    picture = picture_at(cut_of(recording, at_s, at_s + 0.1), media(at_s))
    assert picture is not None
    assert picture.shape == (192, 320, 3)
    assert number_of(picture) == int(at_s * 15)


def test_drawing_changes_what_it_is_about_and_no_more() -> None:
    heat = np.zeros((8, 14), np.float32)
    heat[2, 3] = 1.0
    made = draw_overlay(GREY, SnapshotOverlay(heat=heat))
    changed = (made != GREY).any(axis=-1)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert rows.mean() == pytest.approx(2.5 / 8 * 360, abs=6)
    assert columns.mean() == pytest.approx(3.5 / 14 * 640, abs=6)
    assert changed.mean() < 0.05
    made = draw_overlay(GREY, SnapshotOverlay(boxes=[Box("person", 0.9, 0.25, 0.25, 0.5, 0.75)]))
    changed = (made != GREY).any(axis=-1)
    assert not changed[:60].any()
    assert not changed[:, 340:].any()
    assert not changed[120:250, 180:300].any(), "the inside of a box stays"
    assert (GREY == 90).all(), "drawn onto a copy"


def test_evidence_is_drawn_where_the_picture_lies_on_the_canvas() -> None:
    heat = np.zeros((8, 14), np.float32)
    heat[4, 5] = 1.0  # on a canvas whose picture is its middle half
    made = draw_overlay(GREY, SnapshotOverlay(heat=heat, content=(0.25, 0.0, 0.75, 1.0)))
    columns = np.flatnonzero((made != GREY).any(axis=(0, 2)))
    assert columns.mean() == pytest.approx((5.5 / 14 - 0.25) * 2 * 640, abs=12)


@given(
    x=st.floats(-0.2, 1.1), y=st.floats(-0.2, 1.1), w=st.floats(0, 1.2), h=st.floats(0, 1.2), scale=st.integers(2, 60)
)
@settings(max_examples=40, deadline=None)
def test_boxes_and_words_anywhere_can_be_drawn(x: float, y: float, w: float, h: float, scale: int) -> None:
    picture = np.zeros((9 * scale, 16 * scale, 3), np.uint8)
    box = Box("person", 0.5, x, y, x + w, y + h)
    drawing = SnapshotOverlay(
        "a very long title " * 4, [box], {"zone": ((0, 0), (1, 0), (1, 1))}, np.ones((8, 14), np.float32)
    )
    assert draw_overlay(picture, drawing).shape == picture.shape
    assert blur_boxes(picture, [box], {"person"}).shape == picture.shape


def test_a_thumbnail_is_small_and_keeps_the_shape() -> None:
    small = cv2.imdecode(np.frombuffer(thumbnail(np.zeros((1080, 1920, 3), np.uint8)), np.uint8), 1)
    assert small.shape == (180, 320, 3)
    whole = cv2.imdecode(np.frombuffer(encode_jpeg(GREY), np.uint8), 1)
    assert np.abs(whole.astype(int) - 90).max() <= 2


@given(corner=st.tuples(st.floats(0, 0.6), st.floats(0, 0.6)), size=st.integers(20, 90))
@settings(max_examples=30, deadline=None)
def test_a_mask_covers_every_pixel_that_it_touches(corner: tuple[float, float], size: int) -> None:
    width, height = 2 * size, 2 * (size * 9 // 16)
    (x1, y1), (x2, y2) = corner, (corner[0] + 0.3, corner[1] + 0.3)
    mask = mask_pixels([((x1, y1), (x2, y1), (x2, y2), (x1, y2))], width, height)
    xs, ys = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    inside = ((ys > y1) & (ys < y2))[:, None] & ((xs > x1) & (xs < x2))[None]
    assert mask[inside].all()
    assert mask.sum() <= (round(0.3 * width) + 5) * (round(0.3 * height) + 5)


def test_planes_and_pictures_are_covered_alike() -> None:
    cover = MaskOverlay([((0.3, 0.3), (0.71, 0.33), (0.5, 0.9))])
    luma, blue, red = np.full((90, 160), 200, np.uint8), *(np.full((45, 80), 200, np.uint8) for _ in range(2))
    cover.apply_planes(luma, blue, red)
    picture = np.full((90, 160, 3), 200, np.uint8)
    cover.apply(picture)
    assert ((luma == 16) == (picture == 0).all(axis=-1)).all()
    fine = (blue == 128).repeat(2, axis=0).repeat(2, axis=1)
    assert fine[luma == 16].all()
    assert (blue == red).all()


def test_a_blurred_box_holds_a_few_mean_values_alone() -> None:
    noise = np.random.default_rng(3).integers(0, 255, (360, 640, 3)).astype(np.uint8)
    made = blur_boxes(
        noise, [Box("person", 0.9, 0.25, 0.25, 0.5, 0.75), Box("car", 0.9, 0.7, 0.7, 0.9, 0.9)], {"person"}
    )
    assert made[90:270, 160:320].std() < 10
    assert noise[90:270, 160:320].std() > 60
    assert (made[252:, 448:] == noise[252:, 448:]).all(), "other classes stay"
    assert np.array_equal(blur_boxes(noise, [Box("person", 0.1, 0, 0, 1, 1)], {"person"}), noise)


def test_a_label_stands_for_all_of_its_classes() -> None:
    noise = np.random.default_rng(3).integers(0, 255, (360, 640, 3)).astype(np.uint8)
    boxes = [Box("truck", 0.9, 0.25, 0.25, 0.5, 0.75), Box("cell phone", 0.9, 0.7, 0.7, 0.9, 0.9)]
    assert blur_boxes(noise, boxes, ("vehicle",))[90:270, 160:320].std() < 10
    assert blur_boxes(noise, boxes, ("cell_phone",))[260:320, 455:570].std() < 10


def rect_inside(inner: Box, rects: list[Rect]) -> bool:
    return any(r[0] <= inner.x1 and r[1] <= inner.y1 and r[2] >= inner.x2 and r[3] >= inner.y2 for r in rects)


@given(t=st.floats(-0.9, 5.4), speed=st.floats(-0.2, 0.2))
@settings(max_examples=60, deadline=None)
def test_a_walking_person_stays_blurred_between_windows_and_beyond_the_last(t: float, speed: float) -> None:
    def at(s: float) -> Box:
        x = 0.45 + speed * (s - 2)
        return Box("person", 0.9, x, 0.4, x + 0.1, 0.8)

    seen = [(media(k / 2), [at(k / 2)] if k != 4 else []) for k in range(9)]  # one window missed the person
    assert rect_inside(at(t), BlurTracks(seen, {"person"}).rects(media(t)))


def test_a_veil_holds_over_the_ends_and_covers_all_where_nobody_looked() -> None:
    box = Box("person", 0.9, 0.4, 0.4, 0.5, 0.8)
    seen = [(media(k / 2), [box] if 6 <= k <= 8 else []) for k in range(21)]
    veil = BlurTracks(seen, {"person"})
    assert not veil.rects(media(1.5))
    assert rect_inside(box, veil.rects(media(2.1)))
    assert rect_inside(box, veil.rects(media(5.4)))
    assert not veil.rects(media(6))
    assert veil.rects(media(12)) == [(0.0, 0.0, 1.0, 1.0)]
    assert veil.is_needed(media(0), media(2.5))
    assert not veil.is_needed(media(6), media(10))
    assert veil.is_needed(media(6), media(12))
    assert veil.is_needed(media(-5), media(1))
    gap = BlurTracks([(media(0), []), (media(4), [])], {"person"})
    assert gap.is_needed(media(0), media(4))
    assert gap.rects(media(2)) == [(0.0, 0.0, 1.0, 1.0)]


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=30), st.integers(0, 15), st.integers(1, 20))
@settings(max_examples=100, deadline=None)
def test_only_what_a_quiet_window_covers_and_no_other_touches_is_heard(
    told: list[tuple[int, bool]], first: int, length: int
) -> None:
    """By brute force at every tenth of a second."""
    windows = [(t * NS_PER_S // 2, is_speech) for t, is_speech in told]
    begin, end = first * NS_PER_S, (first + length) * NS_PER_S
    judged = [(MediaTime(3, t), is_speech) for t, is_speech in windows]
    found = speech_spans(judged, (MediaTime(3, begin), MediaTime(3, end)), WINDOW_NS)
    spans = [(a.pts_ns, b.pts_ns) for a, b in found]
    assert all(begin <= a < b <= end for a, b in spans)
    assert all(a[1] < b[0] for a, b in pairwise(spans))
    for t in range(begin + 50_000_000, end, 100_000_000):
        is_quiet = any(e - WINDOW_NS < t < e for e, is_speech in windows if not is_speech)
        is_spoken = any(e - WINDOW_NS - MARGIN_NS < t < e + MARGIN_NS for e, is_speech in windows if is_speech)
        assert any(a < t < b for a, b in spans) == (is_spoken or not is_quiet)


def test_silence_is_where_it_was_asked_for() -> None:
    sound = ClipAudio(np.ones((2, 1000), np.float32), 100, ns(5))
    made = mute(sound, [(ns(6), ns(7)), (ns(14), ns(30))], around=3)
    silent = np.flatnonzero(made.samples[1] == 0)
    assert silent.tolist() == [*range(97, 203), *range(897, 1000)]
    assert (sound.samples == 1).all()


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_a_tone_stands_at_its_pitch_and_level(rate: int) -> None:
    t = np.arange(3 * rate) / rate
    tone = (0.5 * np.sin(2 * np.pi * 1000 * t)).astype(np.float32)[None]
    levels = mel_levels(ClipAudio(tone, rate, 0))
    band = int(levels.mean(axis=1).argmax())
    highest = 2595 * np.log10(1 + min(rate / 2, 16000) / 700)
    lowest = 2595 * np.log10(1 + 30 / 700)
    mel = lowest + (band + 1) / 101 * (highest - lowest)
    assert 700 * (10 ** (mel / 2595) - 1) == pytest.approx(1000, rel=0.06)
    assert levels[band, levels.shape[1] // 2] == pytest.approx(-6, abs=4)


def test_a_spectrogram_shows_no_sound_where_it_was_left_out() -> None:
    noise = np.random.default_rng(5).normal(0, 0.1, (1, 10 * 16000)).astype(np.float32)
    silent = [(ns(4), ns(6))]
    sound = mute(ClipAudio(noise, 16000, 0), silent)
    data = render_spectrogram(sound, SpectrogramMarks((ns(1), ns(2)), silent))
    image = cv2.imdecode(np.frombuffer(data, np.uint8), 1)
    assert image.shape[0] > HEIGHT
    left = image.shape[1] - WIDTH - 10
    inside = image[40:100, left + round(0.42 * WIDTH) : left + round(0.58 * WIDTH)]
    outside = image[40:100, left + round(0.7 * WIDTH) : left + round(0.9 * WIDTH)]
    assert inside.std(axis=(0, 1)).max() < 3
    assert outside.std(axis=(0, 1)).max() > 10
    with pytest.raises(MediaError, match="too little"):
        render_spectrogram(ClipAudio(noise[:, :100], 16000, 0), SpectrogramMarks((0, 1)))
