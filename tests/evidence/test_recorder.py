"""The recorder: rows, pictures and clips of scripted events on recordings, and what goes wrong meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from clip_parts import kept, ns, number_of, numbers, played, share_of
from media_times import at

from edge.clock import VirtualClock
from edge.config import Config
from edge.evidence.archive.records import EventQuery, EventRecord
from edge.evidence.archive.store import EventStore
from edge.evidence.archive.traces import TraceStore
from edge.evidence.clips.packet_ring import PacketRing, shifted
from edge.evidence.digest import Digest
from edge.evidence.recorder import Recorder
from edge.evidence.snapshot import SnapshotTaker
from edge.metrics import Metrics
from edge.types import NS_PER_S, Box, EpochStart, Event, EventKind, EvidenceFiles, Features, Phase, RuleValues, Scores

FPS = 15
HOP_S = 0.5
RED = (200, 30, 30)
WALL_NS = 1_790_000_000 * NS_PER_S
SPEECH = 0
CAMERA: dict[str, Any] = {"source": {"type": "file", "path": "x"}, "zones": {"gate": [[0.5, 0.5], [1, 0.5], [1, 1]]}}


@dataclass
class Scene:
    """A recorder over one camera ``yard`` that plays a recording under a virtual clock."""

    folder: Path
    recording: Path
    evidence: dict[str, Any] = field(default_factory=dict)
    camera: dict[str, Any] = field(default_factory=dict)
    speech: Callable[[float], bool] = lambda _t: False
    boxes: Callable[[float], Sequence[Box]] = lambda _t: ()
    value: Callable[[float], float] = lambda _t: 0.1
    has_features: bool = True
    is_looking: Callable[[float], bool] = lambda _t: True

    def __post_init__(self) -> None:
        settings = {"before_s": 2, "after_s": 1, "digest": None, "keep_free_gb": 0, **self.evidence}
        config = Config.model_validate({"cameras": {"yard": {**CAMERA, **self.camera}}, "evidence": settings})
        assert config.evidence is not None
        self.clock = VirtualClock(WALL_NS)
        self.store = EventStore(self.folder, self.clock)
        self.traces = TraceStore(self.folder, self.clock)
        self.metrics = Metrics()
        self.tap = kept(self.recording)
        self.tape = PacketRing(settings["before_s"], 1 << 28)
        self.tape.begin(self.tap.template)
        self.pushed = 0
        self.digests: list[Digest] = []
        self.config = config
        self.recorder = Recorder(
            *(config, config.evidence, self.store, self.traces, {"yard": self.tape}, self.clock, self.metrics, "toy 1"),
            enter=lambda _camera, _label: 0.6,
            on_digest=self.digests.append,
        )

    def play(
        self, until_s: float, events: dict[float, Event] | None = None, *, work: bool = True
    ) -> list[EvidenceFiles]:
        """Go on to ``until_s``: packets, windows and the events given by the time of their window."""
        told: list[EvidenceFiles] = []
        t = (self.clock.mono_ns() // ns(HOP_S) + 1) * HOP_S
        while t <= until_s:
            packets = self.tap.packets
            while self.pushed < len(packets) and packets[self.pushed].dts_ns <= ns(t):
                packet = shifted(packets[self.pushed], at(0).pts_ns)
                self.tape.push(packet)
                if not self.pushed:
                    self.tape.start_epoch(EpochStart(0, packet.stream, packet.pts_ns))
                self.pushed += 1
            self.clock.advance_to(ns(t))
            scores = self.scores(t)
            rules = RuleValues("yard", ns(t), scores.media_end, scores.values)
            event = (events or {}).get(t)
            self.recorder.observe([scores], [rules], [event] if event is not None else [])
            told += self.recorder.step() if work else []
            t += HOP_S
        return told

    def scores(self, t: float) -> Scores:
        tags = np.zeros(527, np.float32)
        tags[SPEECH] = 0.9 if self.speech(t) else 0.01
        aligned = np.zeros((2, 4), np.float32)
        aligned[:, 1] = 1
        empty = np.zeros(1, np.float32)
        features = Features(tags, empty, empty, empty, empty, empty, aligned)
        return Scores(
            *("yard", round(t / HOP_S), ns(t), at(ns(t)), {"person": self.value(t)}, {}, empty, self.boxes(t), {}, 1.0),
            *(self.is_looking(t), True, "toy 1"),
            features=features if self.has_features else None,
            evidence=np.zeros((8, 14), np.float32),
        )

    def record(self, event_id: str = "one") -> EventRecord:
        found = self.store.get(event_id)
        assert found is not None
        return found

    def path(self, kind: Any, event_id: str = "one") -> Path:
        return self.folder / self.record(event_id).files[kind].path


def event(begin_s: float, phase: Phase, end_s: float | None = None, **more: Any) -> Event:
    return replace(
        Event(
            *("one", "yard", EventKind.EVENT, "person", phase, ns(begin_s), None if end_s is None else ns(end_s)),
            *(at(ns(begin_s)), WALL_NS + ns(begin_s), 0.7, 0.9, 0.6, "alert", "a person"),
            zones=("gate",),
            media_end=None if end_s is None else at(ns(end_s)),
        ),
        **more,
    )


def script(begin_s: float, end_s: float) -> dict[float, Event]:
    return {begin_s: event(begin_s, Phase.BEGIN), end_s: event(begin_s, Phase.END, end_s)}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbers(tmp_path_factory.mktemp("recording") / "numbers.mp4", 12.0, FPS, ground=RED)


@pytest.fixture
def box(tmp_path: Path, recording: Path) -> Iterator[Callable[..., Scene]]:
    made: list[Scene] = []

    def make(**more: Any) -> Scene:
        made.append(Scene(tmp_path / "evidence", recording, **more))
        return made[-1]

    yield make
    for one in made:
        one.traces.close()
        one.store.close()


def picture(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def test_an_event_has_its_picture_at_once_and_its_clip_when_all_of_it_has_come(box: Callable[..., Scene]) -> None:
    b = box(value=lambda t: {4.0: 0.7, 4.5: 0.95}.get(t, 0.5))
    told = b.play(4.0, script(4, 5))
    assert [set(one.files) for one in told] == [{"snapshot", "thumbnail"}]
    assert number_of(picture(b.path("thumbnail"))) in {59, 60}
    told = b.play(6.0, script(4, 5))
    assert [set(one.files) for one in told] == [{"snapshot", "thumbnail"}]
    assert number_of(picture(b.path("thumbnail"))) in {67, 68}, "the strongest moment, at 4.5 s"
    told = b.play(7.0, script(4, 5))
    assert [set(one.files) for one in told] == [{"snapshot", "thumbnail", "clip", "spectrogram"}]
    shown = played(b.path("clip"))
    assert [number_of(image) for image in shown.images] == list(range(2 * FPS, 6 * FPS))
    assert shown.duration_s == pytest.approx(4.0, abs=0.001)
    facts = b.record().files["clip"].facts
    assert facts["event_at_s"] == pytest.approx(2.0, abs=0.001)
    assert facts["sound"] == "aac as it came"
    assert "shortened" not in facts
    assert b.play(12.0) == []
    assert b.record().end_ns == WALL_NS + ns(5)


def test_rows_traces_and_meaning_are_kept(box: Callable[..., Scene]) -> None:
    b = box()
    b.play(7.0, script(4, 5))
    assert b.record().model == "toy 1"
    trace = b.traces.read("yard", WALL_NS, WALL_NS + ns(20))
    assert trace.names == ("person",)
    assert len(trace.times_ns) == 14
    vector = np.array([0, 1, 0, 0], np.float32)
    assert [f.record.id for f in b.store.find(EventQuery(vector=vector))] == ["one"]


def test_an_event_that_outlasts_the_clip_has_its_first_part(box: Callable[..., Scene]) -> None:
    b = box(evidence={"longest_s": 5})
    b.play(7.0, {4.0: event(4, Phase.BEGIN)})
    assert "clip" not in b.record().files
    b.play(7.5)
    shown = played(b.path("clip"))
    assert [number_of(image) for image in shown.images] == list(range(2 * FPS, 7 * FPS))
    assert "longest_s" in str(b.record().files["clip"].facts["shortened"])
    told = b.play(12.0, {11.0: event(4, Phase.END, 11)})
    assert told == []
    assert b.record().end_ns == WALL_NS + ns(11)


def test_media_that_ends_gives_what_there_is(box: Callable[..., Scene]) -> None:
    b = box(evidence={"after_s": 3})
    b.play(12.0, script(10, 11))
    assert "clip" not in b.record().files
    b.clock.advance(ns(8))
    b.recorder.step()
    assert [number_of(image) for image in played(b.path("clip")).images] == list(range(8 * FPS, 12 * FPS))


def test_closing_writes_what_there_is(box: Callable[..., Scene]) -> None:
    b = box()
    b.play(5.0, script(4, 5))
    told = b.recorder.close()
    assert set(told[-1].files) == {"snapshot", "thumbnail", "clip", "spectrogram"}
    assert [number_of(image) for image in played(b.path("clip")).images][-1] in {74, 75}


def test_a_clip_that_there_is_no_time_for_is_told_and_leaves_nothing(
    box: Callable[..., Scene], caplog: pytest.LogCaptureFixture
) -> None:
    b = box(camera={"privacy_masks": [[[0, 0], [0.1, 0], [0.1, 0.1]]]})
    b.play(5.0, script(4, 5))
    (told,) = b.recorder.close(0.0)
    assert told.missing == b.record().missing == {"clip": "the program stopped before its clip was written"}
    assert "no time was left for the clip of person (event one)" in caplog.text
    assert set(b.record().files) == {"snapshot", "thumbnail"}
    assert not list(b.folder.rglob("*.part"))


def test_nothing_that_is_stored_shows_what_a_mask_covers(box: Callable[..., Scene]) -> None:
    mask = [[0.5, 0.5], [1, 0.5], [1, 1], [0.5, 1]]
    b = box(camera={"privacy_masks": [mask], "zones": {}}, value=lambda t: 0.5 if t == 9 else 0.2)
    b.play(12.0, script(4, 5))
    candidates = b.store.near_misses(EventQuery())
    assert len(candidates) == 1
    stored = [path for path in b.folder.rglob("*") if path.suffix in {".jpg", ".mp4"}]
    assert sorted(path.name for path in stored) == ["clip.mp4", "snapshot.jpg", "thumbnail.jpg"]
    images = [picture(path) for path in stored if path.suffix == ".jpg"]
    images.append(cv2.cvtColor(cv2.imdecode(np.frombuffer(candidates[0].thumbnail, np.uint8), 1), cv2.COLOR_BGR2RGB))
    with av.open(str(b.path("clip")), options={"ignore_editlist": "1"}) as clip:
        images += [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    assert len(images) == 3 + 4 * FPS
    for image in images:
        height, width = image.shape[:2]
        assert share_of(image[height // 2 :, width // 2 :], RED, 60) == 0
        assert image[height // 2 + 8 :, width // 2 + 8 :].max() < 16, "black, not merely darker"
        assert share_of(image[height // 2 :, : width // 2 - 8], RED, 60) > 0.9
    assert b.record().files["clip"].facts["picture"] != "h264 as it came"


def test_people_are_blurred_in_all_that_is_stored(box: Callable[..., Scene]) -> None:
    seen = [Box("person", 0.9, 0.0, 0.0, 1.0, 0.3)]  # over the numbers
    b = box(evidence={"blur": ["person"]}, boxes=lambda _t: seen)
    b.play(7.0, script(4, 5))
    clip = played(b.path("clip"))
    images = [*clip.images, picture(b.path("thumbnail"))]
    assert len(images) == 4 * FPS + 1
    for image in images:
        row = image[8:16].mean(axis=-1)
        assert np.abs(np.diff(row, axis=1)).max() < 40, "no edge of a block is left"


def test_where_nobody_looked_all_is_blurred(box: Callable[..., Scene]) -> None:
    b = box(evidence={"blur": ["person"]})
    b.is_looking = lambda t: t >= 4
    b.play(7.0, script(4, 5))
    assert played(b.path("clip")).images[3][:20].std() < 90
    assert b.record().files["clip"].facts["picture"] != "h264 as it came"


def test_speech_is_silent_and_the_rest_stays(box: Callable[..., Scene]) -> None:
    b = box(speech=lambda t: t == 4.0)  # heard somewhere from 2 to 4 s
    b.play(8.0, script(5, 6))
    shown = played(b.path("clip"), images=False)
    t = 3.0 + np.arange(len(shown.sound)) / shown.rate
    assert np.abs(shown.sound[t < 4.5]).max() == 0
    assert np.abs(shown.sound[(t > 4.7) & (t < 6.9)]).max() > 0.3
    assert b.record().files["clip"].facts["silent_s"] == pytest.approx(1.5, abs=0.01)


@pytest.mark.parametrize("speech", [False, True])
def test_sound_that_nobody_judged_is_taken_for_speech(box: Callable[..., Scene], speech: bool) -> None:
    b = box(has_features=False, evidence={"speech": speech})
    b.play(7.0, script(4, 5))
    loudest = np.abs(played(b.path("clip"), images=False).sound).max()
    assert loudest > 0.3 if speech else loudest == 0


def test_without_audio_nothing_of_the_sound_is_stored(box: Callable[..., Scene]) -> None:
    b = box(evidence={"audio": False})
    b.play(7.0, script(4, 5))
    assert set(b.record().files) == {"snapshot", "thumbnail", "clip"}
    assert played(b.path("clip")).kinds == ("video",)
    assert not list(b.folder.rglob("spectrogram*"))


def test_without_clips_there_are_pictures_alone(box: Callable[..., Scene]) -> None:
    b = box(evidence={"clips": False, "audio": False})
    b.play(12.0, script(4, 5))
    assert set(b.record().files) == {"snapshot", "thumbnail"}


def test_trouble_with_equipment_has_a_row_and_a_picture(box: Callable[..., Scene]) -> None:
    b = box()
    dark = event(4, Phase.BEGIN, label="dark", kind=EventKind.HEALTH, media_begin=None, zones=())
    told = b.play(12.0, {4.0: dark, 6.0: replace(dark, phase=Phase.END, end_ns=ns(6))})
    assert [set(one.files) for one in told] == [{"snapshot", "thumbnail"}]
    assert set(b.record().files) == {"snapshot", "thumbnail"}
    assert b.record().end_ns == WALL_NS + ns(6)


def test_no_room_loses_no_row_and_is_told_once(box: Callable[..., Scene], caplog: pytest.LogCaptureFixture) -> None:
    b = box()
    b.store.set_room_policy(lambda _size: False)
    told = b.play(5.0, script(2.5, 3))
    second = {t: replace(e, id="two") for t, e in script(5.5, 6).items()}
    told += b.play(8.0, second)
    assert not any(one.files for one in told)
    assert {one.event_id: set(one.missing) for one in told} == {key: {"snapshot", "clip"} for key in ("one", "two")}
    assert "no room left" in b.record("two").missing["clip"]
    assert [f.record.id for f in b.store.find(EventQuery())] == ["two", "one"]
    assert b.record("two").end_ns is not None
    assert not [path for path in b.folder.rglob("*") if path.suffix in {".mp4", ".jpg", ".png", ".part"}]
    warned = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len([m for m in warned if "no picture" in m]) == 1
    assert len([m for m in warned if "no clip" in m]) == 1
    lost = b.metrics.registry.get_sample_value
    assert lost("edge_drops_total", {"source": "yard", "place": "evidence_clip"}) == 2
    b.store.set_room_policy(lambda _size: True)
    third = {t: replace(e, id="three") for t, e in script(9, 10).items()}
    b.play(12.0, third)
    assert set(b.record("three").files) == {"snapshot", "thumbnail", "clip", "spectrogram"}
    assert not b.record("three").missing


def test_media_that_cannot_be_read_loses_no_row(box: Callable[..., Scene]) -> None:
    b = box()
    b.tap.template = b"no container"
    b.tape.begin(b.tap.template)
    told = b.play(12.0, script(4, 5))
    assert not any(one.files for one in told)
    assert set(b.record().missing) == {"snapshot", "clip"}
    assert b.record().end_ns == WALL_NS + ns(5)


def test_what_a_killed_run_was_writing_is_removed(box: Callable[..., Scene]) -> None:
    b = box()
    b.play(5.0, script(4, 5))
    half = b.store.folder_of(event(4, Phase.END, 5)) / "clip.mp4.part"
    half.write_bytes(b"half")
    after = Recorder(
        *(b.config, b.config.evidence, b.store, b.traces, {}, b.clock, Metrics(), "toy 1"),
    )
    assert not half.exists()
    after.step()
    assert set(b.record().files) == {"snapshot", "thumbnail"}


def test_a_queue_that_is_full_drops_windows_and_keeps_events(
    box: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    b = box()
    monkeypatch.setattr(Recorder, "MOST_WAITING", 3)
    b.play(8.0, script(4, 5), work=False)
    b.recorder.step()
    assert b.record().end_ns == WALL_NS + ns(5)
    dropped = b.metrics.registry.get_sample_value("edge_drops_total", {"source": "yard", "place": "evidence_queue"})
    assert dropped == 13


def test_a_near_miss_is_kept_and_an_event_is_none(box: Callable[..., Scene]) -> None:
    b = box(value=lambda t: {2.0: 0.4, 2.5: 0.5, 3.0: 0.4, 8.0: 0.55, 8.5: 0.7}.get(t, 0.1))
    b.play(12.0, script(8.5, 9))
    found = b.store.near_misses(EventQuery())
    assert [(c.label, round(c.value, 2), c.enter) for c in found] == [("person", 0.5, 0.6)]
    assert found[0].wall_ns == WALL_NS + ns(2.5)
    small = cv2.imdecode(np.frombuffer(found[0].thumbnail, np.uint8), 1)
    assert number_of(small) in {37, 38}


def test_no_more_near_misses_than_a_few_an_hour(box: Callable[..., Scene]) -> None:
    b = box(value=lambda t: 0.5 if t % 4 == 0 else 0.1)
    b.play(600.0)
    assert 3 <= len(b.store.near_misses(EventQuery())) <= 4


def test_the_day_is_summed_up_at_its_hour(box: Callable[..., Scene]) -> None:
    b = box(evidence={"digest": "07:00"})
    b.config = b.config.model_copy(update={"location": b.config.location.model_copy(update={"timezone": "UTC"})})
    assert b.config.evidence is not None
    b.recorder.reconfigure(b.config, b.config.evidence)
    b.play(7.0, script(4, 5))
    b.clock.advance(ns(25 * 3600))
    b.recorder.step()
    b.recorder.step()
    assert len(b.digests) == 1
    assert "person" in b.digests[0].text
    until = b.digests[0].until_ns // NS_PER_S
    assert until % 86400 == 7 * 3600
    assert b.digests[0].until_ns - b.digests[0].since_ns == ns(86400)
    assert list((b.folder / "digests").glob("*.json"))


def test_a_camera_that_is_taken_away_meanwhile_leaves_its_rows(box: Callable[..., Scene]) -> None:
    b = box(value=lambda t: {2.0: 0.4, 2.5: 0.5, 4.0: 0.7, 8.0: 0.5}.get(t, 0.1))
    b.play(4.0, script(4, 5))
    other = Config.model_validate({"cameras": {"other": CAMERA}, "evidence": {"digest": None}})
    assert other.evidence is not None
    b.recorder.reconfigure(other, other.evidence)
    assert b.play(12.0, script(4, 5)) == []
    assert b.record().end_ns == WALL_NS + ns(5)
    assert set(b.record().files) == {"snapshot", "thumbnail"}


def test_the_tape_keeps_what_an_open_event_needs(box: Callable[..., Scene]) -> None:
    b = box()
    held: list[int | None] = []
    b.tape.hold = held.append  # type: ignore[method-assign]
    b.play(7.0, script(4, 5))
    assert held[0] is None
    assert ns(1) in held
    assert held[-1] is None


def many(count: int, begin_s: float, severity: Callable[[int], str]) -> list[Event]:
    return [
        event(begin_s, Phase.BEGIN, id=f"e{n:02d}", begin_ns=ns(begin_s) + n, severity=severity(n))
        for n in range(count)
    ]


def storm(b: Scene, count: int, severity: Callable[[int], str] = lambda _n: "alert") -> None:
    """So many events that begin at 4 s and end at 5 s."""
    begun = many(count, 4, severity)
    b.play(4.0, work=False)
    b.recorder.observe((), (), begun)
    b.recorder.step()
    b.play(5.0)
    b.recorder.observe((), (), [replace(e, phase=Phase.END, end_ns=ns(5), media_end=at(ns(5))) for e in begun])


def test_in_a_storm_every_event_has_a_row_and_what_matters_less_no_clip(box: Callable[..., Scene]) -> None:
    b = box(camera={"privacy_masks": [[[0, 0], [0.1, 0], [0.1, 0.1]]]})
    storm(b, 30, lambda n: "alert" if n % 5 == 0 else "info")
    b.play(12.0)
    for _ in range(60):
        b.recorder.step()
    records = {found.record.id: found.record for found in b.store.find(EventQuery(limit=100))}
    assert len(records) == 30
    assert all(record.end_ns is not None for record in records.values())
    clips = {name for name, record in records.items() if "clip" in record.files}
    assert {f"e{n:02d}" for n in range(0, 30, 5)} <= clips, "alerts first"
    assert len(clips) == 8
    assert all("too many events at once" in records[name].missing["clip"] for name in set(records) - clips)
    assert b.metrics.registry.get_sample_value("edge_drops_total", {"source": "yard", "place": "evidence_shed"}) == 22
    assert b.recorder.pending == 0


def test_rows_wait_for_no_picture(box: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take a second each here: the rows of all are there after one turn, and one picture."""
    b = box()
    plain = SnapshotTaker.picture

    def slow(*given: Any) -> Any:
        b.clock.advance(NS_PER_S)
        return plain(*given)

    monkeypatch.setattr(SnapshotTaker, "picture", slow)
    b.play(4.0, work=False)
    b.recorder.observe((), (), many(20, 4, lambda _n: "alert"))
    told = b.recorder.step()
    assert len(b.store.find(EventQuery(limit=100))) == 20
    assert [one.event_id for one in told if one.files] == ["e00"]


def test_a_clip_that_has_been_due_for_long_is_given_up(box: Callable[..., Scene]) -> None:
    b = box()
    b.play(5.0, script(4, 5))
    b.clock.advance(ns(240))
    b.recorder.step()
    assert "too many events at once" in b.record().missing["clip"]
