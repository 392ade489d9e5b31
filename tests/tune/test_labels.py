"""Tables of labels, which recordings they are of, and which events find which spans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InputError
from edge.tune import recordings
from edge.tune.labels import LabelledSpan, read_labels
from edge.tune.offline_detector import EventInterval
from edge.tune.sweep import TOLERANCE_AFTER_S, TOLERANCE_BEFORE_S, match_events, outside

KNOWN = ("dog_bark", "fire")


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_find_their_recordings(tmp_path: Path) -> None:
    a, b, c = tmp_path / "x" / "a.wav", tmp_path / "y" / "a.wav", tmp_path / "c.mp4"
    rows = "x/a.wav,fire,1,2\ny/a.wav,normal,,\nc,dog_bark,5.5,7\nc.mp4,dog_bark,1,1\ngone.mp4,fire,1,2\n"
    truth, remarks = read_labels(table(tmp_path, "file,label,begin_s,end_s\n" + rows), [a, b, c], KNOWN)
    assert truth == {
        a: (LabelledSpan("fire", 1, 2),),
        b: (),
        c: (LabelledSpan("dog_bark", 1, 1), LabelledSpan("dog_bark", 5.5, 7)),
    }
    assert len(remarks) == 1
    assert "gone.mp4" in remarks[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.wav,fire\n", ":1: no column begin_s, end_s"),
        ("file,label,begin_s,end_s\na.wav,dog_barks,1,2\n", ":2: label: .*did you mean 'dog_bark'"),
        ("file,label,begin_s,end_s\na.wav,fire,1,2\na.wav,fire,x,2\n", ":3: begin_s: 'x' is not a number"),
        ("file,label,begin_s,end_s\na.wav,fire,1,\n", ":2: end_s: 'nothing' is not a number"),
        ("file,label,begin_s,end_s\na.wav,fire,nan,2\n", ":2: begin_s"),
        ("file,label,begin_s,end_s\na.wav,fire,3,2\n", ":2: from 3 to 2 s is no span"),
        ("file,label,begin_s,end_s\n,fire,1,2\n", ":2: file: is empty"),
        ("file,label,begin_s,end_s\nother.wav,fire,1,2\n", "none of its files is among the recordings"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_labels(table(tmp_path, text), [tmp_path / "a.wav"], KNOWN)


def test_a_table_that_is_not_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_labels(tmp_path / "none.csv", [], KNOWN)
    (tmp_path / "bin.csv").write_bytes(b"file,label,begin_s,end_s\n\xff\xfe,fire,1,2\n")
    with pytest.raises(InputError, match="UTF-8"):
        read_labels(tmp_path / "bin.csv", [], KNOWN)
    two = [tmp_path / "x" / "a.wav", tmp_path / "y" / "a.wav"]
    with pytest.raises(InputError, match="give more of the path"):
        read_labels(table(tmp_path, "file,label,begin_s,end_s\na.wav,fire,1,2\n"), two, KNOWN)


def test_recordings_are_found_by_file_folder_and_pattern(tmp_path: Path) -> None:
    for name in ("one.wav", "day/two.MP4", "day/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    one, two = tmp_path / "one.wav", tmp_path / "day" / "two.MP4"
    assert recordings.find_recordings([str(one), str(tmp_path), str(tmp_path / "*.wav")]) == [one, two]
    with pytest.raises(InputError, match="no recording there"):
        recordings.find_recordings([str(tmp_path / "*.mkv")])


def test_a_recording_belongs_to_the_camera_it_is_named_after() -> None:
    cameras = ("gate", "gate-2", "yard")
    assert recordings.camera_of(Path("/r/yard.mp4"), cameras) == "yard"
    assert recordings.camera_of(Path("/r/gate/2026/clip.mp4"), cameras) == "gate"
    assert recordings.camera_of(Path("/r/gate-2_monday.mp4"), cameras) == "gate-2"
    assert recordings.camera_of(Path("/r/dog_bark/yard-2026-01-31/220000-ab12.mp4"), cameras) == "yard"
    assert recordings.camera_of(Path("/r/holiday film.mp4"), cameras) == "holiday_film"


def test_each_span_counts_once_and_further_events_on_it_are_not_false() -> None:
    spans = [LabelledSpan("fire", 10, 20), LabelledSpan("fire", 40, 41)]
    events = [EventInterval(11, 12, 0.9), EventInterval(15, 16, 0.9), EventInterval(30, 31, 0.8)]
    matched = match_events(events, spans)
    assert (matched.found, matched.missed, matched.false) == (1, (1,), (2,))


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 9)), max_size=6),
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 9)), max_size=6),
)
def test_no_event_is_both_and_no_false_one_is_near_a_span(
    found: list[tuple[float, float]], labelled: list[tuple[float, float]]
) -> None:
    events, spans = (
        [EventInterval(b, b + d, 0.9) for b, d in found],
        [LabelledSpan("fire", b, b + d) for b, d in labelled],
    )
    matched = match_events(events, spans)
    assert matched.found + len(matched.missed) == len(spans)
    assert len(matched.false) <= len(events)
    for i in matched.false:
        free = outside(np.array([events[i].begin_s, events[i].end_s]), spans)
        assert free.all()
    for i in matched.missed:
        assert all(
            e.end_s < spans[i].begin_s - TOLERANCE_BEFORE_S or e.begin_s > spans[i].end_s + TOLERANCE_AFTER_S
            for e in events
        )
