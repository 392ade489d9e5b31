"""Thresholds from recordings in which nothing happens, by the same distribution that a site learns from live."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.detect.null import MINUTE_NS, BackgroundDistribution
from edge.engine.manifest import Label
from edge.media_time import MediaTime
from edge.tune.match import outside
from edge.tune.sweep import TunedRecording
from edge.types import NS_PER_S, Contribution, Scores

_NOTHING = np.zeros(0, np.float32)
_ALL = Contribution(1.0, 1.0, 1.0)


def background_thresholds(
    labels: Sequence[Label], hop_ns: int, recordings: Sequence[TunedRecording], per_day: float
) -> dict[str, tuple[float | None, int]]:
    """For every label the threshold of ``per_day`` false alarms (None: too little quiet time) and the minutes seen.

    What a rule looked at counts, outside of labelled spans; as when it is learned live, minutes with another label's
    event do not count, and no threshold goes below half of the model's advice.
    """
    quiet = BackgroundDistribution(labels, hop_ns / NS_PER_S)
    start_ns = 0
    for recording in recordings:
        start_ns = _observe(quiet, recording, start_ns)
    found = {}
    for label in labels:
        enter = quiet.threshold(label.name, per_day)
        least = label.enter / 2
        found[label.name] = (None if enter is None else round(max(enter, least), 3), quiet.minutes(label.name))
    return found


def _observe(quiet: BackgroundDistribution, recording: TunedRecording, start_ns: int) -> int:
    """Show it one recording, from ``start_ns``; where the next may begin."""
    trace = recording.judged.trace
    events = {name: recording.judged.intervals(name) for name in quiet.labels}
    media_s = trace.media_s
    values = trace.values.copy()
    for k, name in enumerate(trace.names):
        values[~outside(media_s, recording.spans_of(name)), k] = np.nan
    is_open = {name: ~outside_events(media_s, [(e.begin_s, e.end_s) for e in found]) for name, found in events.items()}
    last_ns = start_ns
    for i in range(len(trace.t_ns)):
        last_ns = start_ns + int(trace.t_ns[i] - trace.t_ns[0])
        there = {n: float(v) for n, v in zip(trace.names, values[i], strict=True) if v == v}  # noqa: PLR0124
        quiet.observe(
            Scores(
                camera="tune",
                seq=i,
                t_end_ns=last_ns,
                media_end=MediaTime(0, last_ns, last_ns),
                values=there,
                contribution=dict.fromkeys(there, _ALL),
                embedding=_NOTHING,
                boxes=(),
                tags={},
                coverage=1.0,
                video_ok=True,
                audio_ok=True,
                model="",
            ),
            [name for name in is_open if is_open[name][i]],
        )
    return (last_ns // MINUTE_NS + 1) * MINUTE_NS


def outside_events(media_s: np.ndarray, events: Sequence[tuple[float, float]]) -> np.ndarray:
    """Which windows [n] lie outside all events."""
    free = np.ones(len(media_s), bool)
    for begin_s, end_s in events:
        free &= (media_s < begin_s) | (media_s > end_s)
    return free
