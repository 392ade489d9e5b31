"""What a running daemon keeps of events: rows, clips that are exact to a frame, nothing under a mask."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from daemon_parts import SAMPLE, Daemon, config_text, events_in

from edge.clock import SystemClock
from edge.evidence.archive.records import EventQuery, EventRecord
from edge.evidence.archive.store import EventStore

BEFORE_S, AFTER_S = 3.0, 2.0
HALF = [[0.5, 0], [1, 0], [1, 1], [0.5, 1]]


FLOOR = ", zones: {floor: [[0, 0.3], [1, 0.3], [1, 1], [0, 1]]}"
INTRUSION = "events: {intrusion: {when: person, zones: [floor], after_s: 1}}\n"


def kept(tmp_path: Path, *, camera: str = "", evidence: str = "", events: str = "") -> tuple[list[EventRecord], Path]:
    """The records and the evidence folder after the daemon has played the sample once."""
    config = tmp_path / "config.yaml"
    more = f"mqtt: null\n{events}evidence: {{before_s: {BEFORE_S}, after_s: {AFTER_S}, keep_free_gb: 0{evidence}}}\n"
    text = config_text(tmp_path / "data", more=more)
    config.write_text(text.replace("pace: fast}", f"pace: fast}}{camera}"), encoding="utf-8")
    daemon = Daemon(config)
    assert daemon.process.wait(240) == 0, daemon.text()
    told = {event["id"] for event in events_in(tmp_path / "data" / "events.jsonl") if event["kind"] == "event"}
    store = EventStore(tmp_path / "data" / "evidence", SystemClock(), read_only=True)
    records = [found.record for found in store.find(EventQuery(limit=500))]
    store.close()
    assert {record.id for record in records if record.kind == "event"} == told
    return [record for record in records if record.kind == "event"], tmp_path / "data" / "evidence"


def shown(path: Path) -> list[tuple[float, np.ndarray]]:
    """Every picture that a player shows, with its time, small."""
    with av.open(str(path)) as container:
        frames = [f for f in container.decode(video=0) if f.time is not None and f.time >= 0]
        return [(f.time, f.reformat(64, 36, "gray").to_ndarray().astype(float)) for f in frames]


@pytest.mark.slow
def test_clips_of_a_run_are_exact_to_a_frame(tmp_path: Path) -> None:
    records, folder = kept(tmp_path, camera=FLOOR, events=INTRUSION)
    assert {"person", "intrusion", "dog_bark", "fire"} <= {record.label for record in records}
    assert next(r for r in records if r.label == "intrusion").zones == ("floor",)
    whole = shown(SAMPLE)
    step_s = whole[1][0] - whole[0][0]
    for record in records:
        assert {"clip", "snapshot", "thumbnail"} <= set(record.files), record.label
        clip = folder / record.files["clip"].path
        with av.open(str(clip)) as container:
            assert [s.type for s in container.streams] == ["video", "audio"]
            lasts_s = (container.duration or 0) / 1e6
        pictures = shown(clip)
        offsets = [float(np.abs(pictures[0][1] - image).mean()) for _, image in whole]
        begins_s = whole[int(np.argmin(offsets))][0]
        assert min(offsets) < 1.0
        assert record.end_ns is not None
        event_s = (record.end_ns - record.begin_ns) / 1e9
        wanted_s = min(begins_s + BEFORE_S + event_s + AFTER_S, whole[-1][0] + step_s) - begins_s
        assert lasts_s == pytest.approx(wanted_s, abs=1.5 * step_s), record.label
        assert len(pictures) == pytest.approx(wanted_s / step_s, abs=1.5), record.label


@pytest.mark.slow
def test_nothing_under_a_mask_is_kept_in_any_file(tmp_path: Path) -> None:
    import cv2

    records, folder = kept(tmp_path, camera=f", privacy_masks: [{HALF}]", evidence=", audio: false")
    assert records
    looked_at = 0
    for record in records:
        for kind, file in record.files.items():
            path = folder / file.path
            if kind == "clip":
                with av.open(str(path)) as container:
                    assert not container.streams.audio
                    images = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
            else:
                images = [cv2.imread(str(path))]
            for image in images:
                height, width = image.shape[:2]
                hidden = image[height // 8 : height * 7 // 8, width * 9 // 16 :]  # within, away from words drawn on it
                assert hidden.max() < 40, (record.label, kind)
                looked_at += 1
    assert looked_at > 100
    assert not any("spectrogram" in record.files for record in records)
