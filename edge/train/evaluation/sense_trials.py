"""Does a second sense pay? Real pictures and real sounds put together, either or both made worse, replayed whole and
in part.

A positive pair shows the event to picture, sound or both; a negative one to neither. Each is four seconds of one
picture, moved by a pixel as by a shaking mast, with its sound. The same clip is replayed whole, without its sound and
without its picture, and each replay counts by its highest score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.train.data import Wave, decode_audio
from edge.train.evaluation.datasets import read_rows
from edge.train.evaluation.metrics import average_precision, drawn_average_precisions
from edge.train.evaluation.recordings import STREAM_SELECTIONS, RecordingRunner, ReplayJob, StreamSelection
from edge.train.labels import RATE_HZ
from edge.train.scenes.degradation import worsen_pictures, worsen_sound

U8 = NDArray[np.uint8]
Rng = np.random.Generator
LENGTH_S: Final = 4
PAIRS: Final = 40
SEED: Final = 7
_SIZE: Final = (448, 256)
_FPS: Final = 8
_START_S: Final = 1000
"""Media time at which every clip begins."""
_NOISES: Final = ("street_music", "air_conditioner", "children_playing", "engine_idling")
_DRAWS: Final = 400


@dataclass(frozen=True, slots=True)
class SenseCondition:
    """How bad picture and sound are, 0 to 4, and for which label. ``unrelated``: a positive pair has another sound."""

    label: str
    name: str
    picture: float
    sound: float
    unrelated: bool = False


CONDITIONS: Final = (
    SenseCondition("fire", "as they are", 0, 0),
    *(SenseCondition("fire", f"picture worse, {s}", s, 0) for s in (1, 2, 3, 4)),
    *(SenseCondition("fire", f"sound worse, {s}", 0, s) for s in (1, 2, 3, 4)),
    *(SenseCondition("fire", f"both worse, {s}", s, s) for s in (1, 2, 3, 4)),
    SenseCondition("fire", "seen, with an unrelated sound", 0, 0, unrelated=True),
    SenseCondition("dog_bark", "as they are", 0, 0),
    SenseCondition("dog_bark", "sound worse, 3", 0, 3),
)


@dataclass(frozen=True, slots=True)
class _Pair:
    picture: Path
    sound: Path
    is_event: bool


@dataclass(frozen=True, slots=True)
class SenseTrial:
    """One condition: for each view (`whole`, `picture`, `sound`) the highest scores [n], and which pairs are events."""

    condition: SenseCondition
    scores: Mapping[StreamSelection, NDArray[np.float64]]
    shown: NDArray[np.bool_]

    def precision(self, view: StreamSelection) -> float:
        """Average precision of a view."""
        return average_precision(self.scores[view], self.shown)

    @property
    def better(self) -> StreamSelection:
        """The view of one sense that has the higher average precision."""
        return "picture" if self.precision("picture") >= self.precision("sound") else "sound"

    def gain(self) -> tuple[float, float, float]:
        """Average precision of both senses less that of the better one; the 95 % interval of a paired bootstrap."""
        views: tuple[StreamSelection, StreamSelection] = ("whole", self.better)
        one, other = (self._drawn_precision(view) for view in views)
        low, high = np.percentile(one - other, [2.5, 97.5])
        return self.precision("whole") - self.precision(self.better), float(low), float(high)

    def interval(self, view: StreamSelection) -> tuple[float, float, float]:
        """Average precision of a view, and its 95 % interval by a bootstrap over pairs."""
        low, high = np.percentile(self._drawn_precision(view), [2.5, 97.5])
        return self.precision(view), float(low), float(high)

    def _drawn_precision(self, view: StreamSelection) -> NDArray[np.float64]:
        return drawn_average_precisions(self.scores[view], self.shown, _DRAWS)

    def share(self, view: StreamSelection, enter: float, *, shown: bool) -> float:
        """The share of pairs with (or without) the event that reach ``enter``."""
        return float((self.scores[view][self.shown == shown] >= enter).mean())


def run_sense_trials(
    data: Path, runner: RecordingRunner, work: Path, progress: Callable[[int, int, str], None]
) -> list[SenseTrial]:
    """Compose what ``work`` does not hold yet and replay what has no result."""
    drawn = {condition: _draw_pairs(data, condition) for condition in CONDITIONS}
    noises = [row.path for row in read_rows(data) if row.label in _NOISES]
    trials, total = [], len(CONDITIONS)
    for n, (condition, pairs) in enumerate(drawn.items(), 1):
        clips = [_compose(work, condition, k, pair, noises) for k, pair in enumerate(pairs)]
        jobs = [ReplayJob(clip, view) for clip in clips for view in STREAM_SELECTIONS]
        peaks = {job: 0.0 if result is None else result.peak(condition.label) for job, result in runner.run(jobs)}
        scores = {view: np.array([peaks[ReplayJob(clip, view)] for clip in clips]) for view in STREAM_SELECTIONS}
        trials.append(SenseTrial(condition, scores, np.array([pair.is_event for pair in pairs])))
        progress(n, total, f"{condition.label}, {condition.name}")
    return trials


def _draw_pairs(data: Path, condition: SenseCondition) -> list[_Pair]:
    """The pairs of a condition; those of one label are the same in each."""
    rows, rng = read_rows(data), np.random.default_rng(SEED)
    photographs = [
        [r.path for r in rows if r.set_name == "fire_cair" and r.label == name] for name in ("fire", "normal")
    ]
    heard = [r for r in rows if r.set_name == "esc10" and r.split == "fold5"]
    wanted = "crackling_fire" if condition.label == "fire" else "dog"
    events = [r.path for r in heard if r.label == wanted]
    others = [r.path for r in heard if r.label not in ("crackling_fire", "dog")]
    if not all((*photographs, events, others)):
        raise InputError(f"{data}: the trials of senses need the sets fire_cair and esc10 (fold 5)")
    for some in (*photographs, others):
        rng.shuffle(some)  # type: ignore[arg-type]
    fires, ordinary = (some[:PAIRS] for some in photographs)
    sounds = others if condition.unrelated else events
    seen = fires if condition.label == "fire" else ordinary
    pairs = [_Pair(picture, sounds[n % len(sounds)], True) for n, picture in enumerate(seen)]
    return pairs + [_Pair(picture, others[-1 - n % len(others)], False) for n, picture in enumerate(ordinary)]


def _compose(work: Path, condition: SenseCondition, number: int, pair: _Pair, noises: Sequence[Path]) -> Path:
    """The clip of a pair, kept in ``work``."""
    folder = work / f"{condition.label}-{condition.picture:g}-{condition.sound:g}{'-unrelated' * condition.unrelated}"
    path = folder / f"{number:03d}.mp4"
    if path.exists():
        return path
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([SEED, number])
    picture = cv2.imread(str(pair.picture))
    if picture is None:
        raise InputError(f"{pair.picture}: no picture")
    picture = cv2.resize(picture, _SIZE)
    worse = worsen_pictures(np.asarray(picture, np.uint8)[None], condition.picture, rng)[0]
    wave = _four_seconds(pair.sound)
    if condition.sound:
        wave = worsen_sound(wave, _four_seconds(noises[number % len(noises)]), condition.sound)
    partial = path.with_suffix(".part.mp4")
    _write(partial, worse, wave)
    partial.rename(path)
    return path


def _four_seconds(path: Path) -> Wave:
    wave = decode_audio(path)
    return np.asarray(np.resize(wave if len(wave) else np.zeros(1, np.float32), LENGTH_S * RATE_HZ), np.float32)


def _write(path: Path, picture: U8, wave: Wave) -> None:
    """H.264 and AAC that begin at `_START_S`."""
    import av

    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=_FPS, options={"crf": "23", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = *_SIZE, "yuv420p"
        audio: Any = container.add_stream("aac", rate=RATE_HZ)
        audio.layout = "mono"
        for n in range(_FPS * LENGTH_S):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.roll(picture, n % 3 - 1, 1)), "bgr24")
            frame.pts = _START_S * _FPS + n
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for block in _blocks(wave, _START_S * RATE_HZ):
            container.mux(audio.encode(block))
        container.mux(audio.encode(None))


def _blocks(wave: Wave, start: int) -> Iterator[Any]:
    """The wave in frames of 1024 samples, pts from ``start`` on."""
    import av

    for at in range(0, len(wave), 1024):
        block = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave[None, at : at + 1024]), "fltp", "mono")
        block.sample_rate, block.pts = RATE_HZ, start + at
        yield block
