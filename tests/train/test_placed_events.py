"""Placed events: what is drawn, what is composed, how two replays' events are matched, and what is reported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import InputError
from edge.replay import Replay
from edge.train.evaluation.datasets import DatasetRow
from edge.train.evaluation.placed_comparison import (
    EventMatches,
    EventSpan,
    PairedReplay,
    PlacedComparison,
    SpanCollector,
    decoding_option,
    match_events,
    rules_text,
)
from edge.train.evaluation.placed_media import HISS, compose_recording, compose_sound, read_pictures
from edge.train.evaluation.placed_report import as_json, markdown_report, summarise
from edge.train.evaluation.placed_trials import (
    FPS,
    LEAD_S,
    PlacedRecording,
    PlacedSources,
    conditions_of,
    plan_recordings,
    sources_of,
    trial_at,
)
from edge.types import NS_PER_S

av = pytest.importorskip("av")
ENGINE = Path(__file__).resolve().parents[2] / "engines" / "fused"
SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "yard.mp4"
SOURCES = PlacedSources((Path("a.mp4"), Path("b.mp4")), (Path("fire.jpg"),), (Path("dog.ogg"),), (Path("door.ogg"),),
                        (Path("room.jpg"), Path("hall.jpg")))  # fmt: skip


def planned(count: int = 96) -> list[PlacedRecording]:
    return plan_recordings(SOURCES, count)


def test_trials_are_apart_and_begin_where_their_phase_says() -> None:
    recordings = planned()
    assert sum(len(recording.trials) for recording in recordings) == 96
    for recording in recordings:
        ends_s = [0.0, *(trial.end_s for trial in recording.trials)]
        gaps = [trial.begin_s - end_s for trial, end_s in zip(recording.trials, ends_s, strict=False)]
        assert gaps[0] >= LEAD_S - 1 / FPS
        assert min(gaps[1:]) >= 15.0 - 1 / FPS
        for trial in recording.trials:
            into = trial.begin_s % recording.group_s / recording.group_s
            distance = abs(into - trial.phase)
            assert min(distance, 1 - distance) <= 0.5 / FPS / recording.group_s + 1e-6
            assert 0.3 - 1 / FPS <= trial.length_s <= 10.0 + 1 / FPS
            assert trial.picture is not None or trial.sound is not None


def test_every_condition_has_all_its_values() -> None:
    values: dict[str, set[str]] = {}
    for recording in planned():
        for trial in recording.trials:
            for name, value in conditions_of(recording, trial).items():
                values.setdefault(name, set()).add(value)
    assert values["begin in the group"] == {f"quarter {k}" for k in (1, 2, 3, 4)}
    assert values["sound"] == {"silent", "loud", "sound alone"}
    assert values["size"] == {"far", "near", "full frame", "not seen"}
    assert values["rate control"] == {"CBR", "VBR"}
    assert all(len(found) >= 2 for found in values.values()), values


def test_more_trials_begin_with_the_same_ones() -> None:
    assert planned(96)[:6] == planned(48)


def test_halves_share_no_group() -> None:
    rows = [DatasetRow(Path(f"{k}.mp4"), "s", "fall", "", f"group {k // 2}", "", "", "clip") for k in range(40)]
    tune, held, both = (sources_of(rows, half).clips for half in ("tune", "held", "both"))
    assert sorted((*tune, *held)) == sorted(both) == sorted(row.path for row in rows)
    assert tune
    assert held
    assert not {int(p.stem) // 2 for p in tune} & {int(p.stem) // 2 for p in held}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.jpg"
    frame = av.VideoFrame.from_ndarray(np.full((180, 320, 3), 128, np.uint8), format="rgb24")
    with av.open(str(path), "w", format="image2") as out:
        stream = out.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuvj420p"
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def short(scene: Path, **changes: Any) -> PlacedRecording:
    """Seven seconds with one picture that is seen from 3.2 s to 4.2 s, full frame, and heard."""
    recording = plan_recordings(SOURCES, 1)[0]
    trial = replace(recording.trials[0], begin_s=3.2, length_s=1.0, phase=0.6, picture=SAMPLE, size=1.0, sound=SAMPLE,
                    level=1.0, skip_s=3.0)  # fmt: skip
    given = {"scenes": (scene,), "trials": (trial,), "seconds": 7.0, "noise": 1.0, "group_s": 2.0, "is_dark": False}
    return replace(recording, **{**given, **changes})


@pytest.mark.parametrize(("rate_control", "b_frames", "group_s"), [("CBR", 0, 2.0), ("VBR", 2, 1.0), ("CBR", 2, 2.0)])
def test_a_composed_recording_is_a_cameras(
    scene: Path, tmp_path: Path, rate_control: str, b_frames: int, group_s: float
) -> None:
    path = tmp_path / "placed.ts"
    recording = short(scene, rate_control=rate_control, b_frames=b_frames, group_s=group_s)
    compose_recording(recording, scene, path)
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(container.streams.video[0]) if p.pts is not None]
    keys_s = [float(p.pts * p.time_base) for p in packets if p.is_keyframe]
    assert len(packets) == 7 * FPS
    assert np.diff(keys_s) == pytest.approx(group_s, abs=1e-3)
    assert keys_s[0] > recording.start_s, "its clock does not begin at 0"
    assert any(p.pts != p.dts for p in packets) == bool(b_frames)
    with av.open(str(path)) as container:
        levels = [float(frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]
    moved = [k for k, level in enumerate(levels) if abs(level - levels[0]) > 4]
    assert (moved[0], moved[-1]) == (round(3.2 * FPS), round(4.2 * FPS) - 1)


def test_constant_bit_rate_is_constant_and_the_dark_is_dark(scene: Path, tmp_path: Path) -> None:
    sizes, levels = [], []
    for k, (rate_control, is_dark) in enumerate((("CBR", False), ("VBR", True))):
        path = tmp_path / f"{k}.ts"
        compose_recording(short(scene, rate_control=rate_control, is_dark=is_dark), scene, path)
        sizes.append(path.stat().st_size)
        levels.append(float(read_pictures(path, 0.0, 1, (320, 180))[0][:180].mean()))
    assert sizes[0] > 7 * 600_000 / 8, "filled up where nothing moves"
    assert sizes[1] < sizes[0] / 2
    assert levels[1] < 0.5 * levels[0]


def test_sound_is_hiss_with_the_trials_in_it(scene: Path) -> None:
    recording = short(scene)
    whole = compose_sound(recording)
    at, end = (round((recording.sound_first_s + s) * recording.rate_hz) for s in (3.2, 4.2))
    assert np.abs(whole[at:end]).max() == pytest.approx(1.0, abs=0.02)
    assert whole[:at].std() == pytest.approx(HISS, rel=0.1)
    assert whole[end:].std() == pytest.approx(HISS, rel=0.1)


def test_a_clip_shorter_than_asked_gives_what_it_has() -> None:
    assert 1 <= len(read_pictures(SAMPLE, 1e6, 5, (64, 36))) <= 5
    assert read_pictures(SAMPLE, 0.0, 2, (64, 36))[0].shape == (54, 64)


def span(label: str, begin_s: float, end_s: float) -> EventSpan:
    return EventSpan(label, begin_s, end_s)


def test_events_match_by_label_and_overlap() -> None:
    decoded = [span("person", 10, 12), span("fire", 30, 31), span("person", 50, 52)]
    on_demand = [span("person", 12.9, 14), span("smoke", 30, 31), span("person", 53.1, 55)]
    found = match_events(decoded, on_demand, 1.0)
    assert found.pairs == ((decoded[0], on_demand[0]),)
    assert found.lost == (decoded[1], decoded[2])
    assert found.new == (on_demand[1], on_demand[2])


def test_one_event_is_matched_once_and_by_the_nearest() -> None:
    decoded, on_demand = [span("person", 10, 20)], [span("person", 14, 20), span("person", 10.5, 13)]
    found = match_events(decoded, on_demand, 1.0)
    assert found.pairs == ((decoded[0], on_demand[1]),)
    assert found.new == (on_demand[0],)


def paired(scene: Path, matches: EventMatches) -> PairedReplay:
    return PairedReplay(short(scene), matches, (14, 14), 2.0, 1.5, 42, {"sound": 1})


def test_the_report_counts_by_condition_and_names_what_differs(scene: Path) -> None:
    same = EventMatches(((span("person", 3.5, 5), span("person", 4.0, 5)),), (), ())
    worse = EventMatches((), (span("fire", 3.5, 5),), (span("smoke", 0.5, 1),))
    good, bad = summarise([paired(scene, same)]), summarise([paired(scene, same), paired(scene, worse)])
    assert good.is_proof
    assert not bad.is_proof
    assert (bad.total.events, bad.total.lost, bad.total.new, bad.total.late_s) == (2, 1, 1, 0.5)
    assert bad.by_condition["trial"]["none near"].new == 1
    said = markdown_report(bad, "about")
    assert "1 lost, 1 new" in said
    assert "lost: fire at 3.5 s" in said
    assert "84 pictures were not decoded (40 %); wakes: sound 2" in said
    assert json.loads(json.dumps(as_json(bad)))["saved_s"] == 3.0


def test_no_events_prove_nothing() -> None:
    assert not summarise([]).is_proof


def test_an_event_far_from_all_trials_belongs_to_none(scene: Path) -> None:
    assert trial_at(short(scene), 0.5) is None
    assert trial_at(short(scene), 4.5) == short(scene).trials[0]


def test_thresholds_are_lowered_together() -> None:
    from edge.config import parse
    from edge.engine.manifest import load_folder

    folder = load_folder(ENGINE)
    assert rules_text(folder, 1.0) == ""
    config = parse("cameras: {c: {source: {type: file, path: c}}}\nmqtt: null\n" + rules_text(folder, 0.5)).config
    label = folder.manifest.labels[0]
    assert config.events[label.name].enter == pytest.approx(label.enter / 2)


def test_a_replay_that_always_decodes_everything_is_no_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        def __init__(self) -> None: ...

    class OnDemand:
        def __init__(self, *, decoding: str = "on_demand") -> None: ...

    monkeypatch.setattr("edge.train.evaluation.placed_comparison.Replay", Plain)
    assert decoding_option("all") == {}
    with pytest.raises(InputError, match="nothing to compare"):
        decoding_option("on_demand")
    monkeypatch.setattr("edge.train.evaluation.placed_comparison.Replay", OnDemand)
    assert decoding_option("on_demand") == {"decoding": "on_demand"}


@pytest.mark.slow
def test_everything_decoded_twice_differs_in_nothing(scene: Path, tmp_path: Path) -> None:
    comparison = PlacedComparison(ENGINE, tmp_path, 0.5, "all")
    pair = comparison.compare(short(scene))
    comparison.close()
    assert pair is not None
    assert pair.windows == (14, 14)
    assert (pair.matches.lost, pair.matches.new) == ((), ())


def test_open_events_end_with_the_recording() -> None:
    from edge.media_time import MediaTime
    from edge.types import Event, EventKind, Phase

    def event(number: str, phase: Phase, end_s: float | None = None) -> Event:
        end = None if end_s is None else MediaTime(0, 0, int(end_s * NS_PER_S))
        return Event(number, "c", EventKind.EVENT, "person", phase, 0, None, MediaTime(0, 0, 2 * NS_PER_S), 0, 0.9, 0.9,
                     0.6, "alert", "", media_end=end)  # fmt: skip

    collector = SpanCollector()
    collector.on_event(event("a", Phase.BEGIN))
    collector.on_event(event("b", Phase.BEGIN))
    collector.on_event(event("a", Phase.END, 3.0))
    assert [(s.begin_s, s.end_s) for s in collector.spans()] == [(2.0, 3.0), (2.0, 2.0)]


def test_the_replay_of_this_revision_is_asked_as_it_can_be() -> None:
    assert set(decoding_option("all")) <= set(Replay.__init__.__annotations__)
