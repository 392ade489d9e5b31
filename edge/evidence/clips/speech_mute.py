"""Removes speech from stored sound: parts in which the model detected it, or could not tell, become silence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edge.evidence.clips.source import ClipAudio
from edge.media_time import MediaSpan, MediaTime
from edge.types import NS_PER_S, Scores

SPEECH_TAGS = (0, 1, 2, 3, 4, 5, 6, 7, 15, 68, 70)
"""Of AudioSet's 527: speech of any kind, conversation, narration, babbling, whispering, chatter, hubbub. Shouting,
screaming, crying, laughing and singing do not count as speech: alarms are about them."""
LEAST_SPEECH = 0.1
"""Probability of a tag from which it counts; low, because stored speech cannot be taken back."""
MARGIN_NS = NS_PER_S // 2

Span = tuple[int, int]
SpeechFlag = tuple[MediaTime, bool]
"""When a window ended, and whether speech may have been in it."""


def may_be_speech(scores: Scores) -> bool:
    """Whether a window may contain speech; also True when its sound was not scored."""
    if scores.features is None or not scores.audio_ok or len(scores.features.tags) <= max(SPEECH_TAGS):
        return True
    return bool(np.max(scores.features.tags[list(SPEECH_TAGS)]) >= LEAST_SPEECH)


def speech_spans(windows: Sequence[SpeechFlag], span: MediaSpan, window_ns: int) -> list[MediaSpan]:
    """The parts of ``span`` that may contain speech, merged, in order.

    These are every window with speech, with a margin on both sides, and all parts that no window without speech of
    its epoch covers.
    """
    begin, (begin_ns, end_ns) = span[0], (span[0].pts_ns, span[1].pts_ns)
    ended = [(time.pts_ns, is_speech) for time, is_speech in windows if time.is_on(begin)]
    spoken = [(t - window_ns - MARGIN_NS, t + MARGIN_NS) for t, is_speech in ended if is_speech]
    quiet = merge_spans([(t - window_ns, t) for t, is_speech in ended if not is_speech])
    edges = [begin_ns, *(t for span in quiet for t in span), end_ns]
    untold = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]
    clipped = [(max(a, begin_ns), min(b, end_ns)) for a, b in [*spoken, *untold]]
    found = merge_spans([(a, b) for a, b in clipped if b > a])
    return [(begin + (a - begin_ns), begin + (b - begin_ns)) for a, b in found]


def merge_spans(spans: Sequence[Span]) -> list[Span]:
    """The same spans without overlaps, in order."""
    made: list[Span] = []
    for begin_ns, end_ns in sorted(spans):
        if made and begin_ns <= made[-1][1]:
            made[-1] = (made[-1][0], max(made[-1][1], end_ns))
        else:
            made.append((begin_ns, end_ns))
    return made


def mute(sound: ClipAudio, spans: Sequence[Span], around: int = 0) -> ClipAudio:
    """The sound with zeros in ``spans`` and in ``around`` samples on both sides of each."""
    samples = sound.samples.copy()
    for begin_ns, end_ns in spans:
        first, last = sound.sample_at(begin_ns), sound.sample_at(end_ns)
        samples[:, max(0, first - around) : last + around] = 0
    return replace(sound, samples=samples)
