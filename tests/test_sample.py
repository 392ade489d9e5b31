"""The bundled sample: decodable, with both streams, with a truth that fits it and every source attributed."""

from __future__ import annotations

import csv
import re
import runpy
from pathlib import Path

import av
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
CLIP = ROOT / "samples" / "yard.mp4"
LABELS = {"person", "vehicle", "fire", "smoke", "dog_bark", "crying_baby"}


def truth() -> list[dict[str, str]]:
    with (ROOT / "samples" / "yard.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def duration_s() -> float:
    with av.open(str(CLIP)) as container:
        return float(container.duration / av.time_base)


def test_the_whole_clip_decodes_with_picture_and_sound() -> None:
    with av.open(str(CLIP)) as container:
        (video,), (audio,) = container.streams.video, container.streams.audio
        assert (video.codec_context.name, video.width, video.height) == ("h264", 640, 360)
        assert (audio.codec_context.name, audio.rate, audio.channels) == ("aac", 48_000, 1)
        assert sum(1 for _ in container.decode(video)) == pytest.approx(duration_s() * 12.5, abs=2)
    with av.open(str(CLIP)) as container:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert len(samples) / 48_000 == pytest.approx(duration_s(), abs=0.1)
    assert 0.3 < np.abs(samples).max() < 1.0


def test_every_truth_row_lies_within_the_clip() -> None:
    rows, length_s = truth(), duration_s()
    assert {row["label"] for row in rows} == LABELS
    for row in rows:
        assert 0 <= float(row["t_begin_s"]) < float(row["t_end_s"]) <= length_s + 0.01, row
        assert row["modality"] in {"video", "audio"}, row


def test_labelled_sounds_stand_out_where_the_truth_says() -> None:
    with av.open(str(CLIP)) as container:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    second = slice(48_000, 2 * 48_000)  # ordinary rain
    for row in (row for row in truth() if row["modality"] == "audio"):
        begin, end = (round(float(row[key]) * 48_000) for key in ("t_begin_s", "t_end_s"))
        assert samples[begin:end].std() > 2 * samples[second].std(), row


def unattributed(names: set[str]) -> set[str]:
    notice = (ROOT / "NOTICE").read_text()
    listed = set(re.findall(r"(?:^- |^  |, )([\w-]+)(?=,|:| \()", notice, re.MULTILINE))
    return names - listed


def test_every_source_is_attributed_in_notice() -> None:
    sources = {name for row in truth() for name in row["source"].split("+")}
    assert sources
    assert unattributed(sources) == set()


def test_every_recording_the_composer_reads_is_attributed_in_notice() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "compose_sample.py"))
    paths = {shot.path for shot in script["SHOTS"]} | {path for sound in script["SOUNDS"] for path in sound.paths}
    assert unattributed({Path(path).stem for path in paths}) == set()
