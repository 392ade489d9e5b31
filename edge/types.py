"""The values that travel between the stages.

Frozen, slotted and small. Suffix ``_ns`` is local monotonic time, ``pts_ns`` is a source's own media clock and
``wall_ns`` is Unix time; there is no bare "timestamp". All are integers in nanoseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge.media_time import MediaTime

U8: TypeAlias = NDArray[np.uint8]
F32: TypeAlias = NDArray[np.float32]

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
Rect: TypeAlias = tuple[float, float, float, float]  # x1, y1, x2, y2 in 0..1


def seconds(ns: int) -> float:
    """Nanoseconds as seconds."""
    return ns / NS_PER_S


def nanoseconds(s: float) -> int:
    """Seconds as whole nanoseconds, rounded to the nearest."""
    return round(s * NS_PER_S)


class Stream(str, Enum):
    """The elementary streams of a source."""

    VIDEO = "video"
    AUDIO = "audio"


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture at the model's size: ``image`` u8[H,W,3] RGB, letterboxed; a view valid until the next read.

    ``content`` is the place of the camera's own picture on that canvas.
    """

    pts_ns: int
    arrival_ns: int
    image: U8
    content: Rect
    ready_ns: int | None = None
    """When it was decoded, where that was after the fact: later than it arrived."""


@dataclass(frozen=True, slots=True)
class LumaSample:
    """Time and mean luma (0..255) of a decoded picture, also of one that decimation dropped; ``ready_ns`` as in
    `Frame`."""

    pts_ns: int
    arrival_ns: int
    luma: float
    ready_ns: int | None = None


@dataclass(frozen=True, slots=True)
class SkippedPictures:
    """Pictures that were not decoded, because a key picture after them shows what the one before shows.

    The newest `Frame` stands for those at the model's rate, ``stand_ins`` as (pts, arrival) in order. There are
    ``count`` in all, up to ``last_pts_ns``; that they are the same was known at ``arrival_ns``.
    """

    stand_ins: tuple[tuple[int, int], ...]
    count: int
    last_pts_ns: int
    arrival_ns: int


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """Mono sound at the model's rate: ``samples`` f32[n] in -1..1; ``pts_ns`` is the time of its first sample."""

    pts_ns: int
    arrival_ns: int
    samples: F32


@dataclass(frozen=True, slots=True)
class Gap:
    """A break of the stream's media clock (reconnect, jump, lost device); a new epoch follows."""

    reason: str
    arrival_ns: int


@dataclass(frozen=True, slots=True)
class SensorReading:
    """One number from a sensor, in the unit that the model's manifest states for ``name``."""

    name: str
    arrival_ns: int
    value: float


MediaItem: TypeAlias = Frame | LumaSample | SkippedPictures | AudioChunk | Gap  # what a source yields


@dataclass(frozen=True, slots=True)
class Packet:
    """One encoded packet of a source: ``pts_ns`` and ``dts_ns`` are on the axis of the source's frames.

    ``is_key``: decoding can start here (always so for sound).
    """

    stream: Stream
    pts_ns: int
    dts_ns: int
    duration_ns: int
    arrival_ns: int
    is_key: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Window:
    """One window of one camera, assembled in row ``row`` of the runtime's input buffers.

    ``t_end_ns`` is its end, ``ready_ns`` when the last of its media arrived or was no longer waited for; ``picture`` is
    when its newest picture was taken, None without pictures. ``pictures`` numbers them within the camera: the same
    number is the same picture; empty where that is not known. ``is_whole``: it holds all of a recording that is too
    short to cover a window.
    """

    camera: str
    seq: int
    t_end_ns: int
    media_end: MediaTime
    row: int
    video_ok: tuple[bool, ...]
    audio_ok: float
    sensor_ok: tuple[bool, ...]
    content: Rect
    ready_ns: int = 0
    picture: MediaTime | None = None
    pictures: tuple[int, ...] = ()
    is_whole: bool = False

    @property
    def coverage(self) -> float:
        """Share of picture or sound present, whichever is better covered, 0..1; 1 where nothing else was recorded."""
        if self.is_whole:
            return 1.0
        video = sum(self.video_ok) / len(self.video_ok) if self.video_ok else 0.0
        return max(video, self.audio_ok)


@dataclass(frozen=True, slots=True)
class Batch:
    """The runtime's own input buffers, one row for each window; sizes as in the manifest.

    ``frames`` u8[B,F,H,W,3], ``video_ok`` f32[B,F], ``audio`` f32[B,N], ``audio_ok`` f32[B], ``sensors`` and
    ``sensor_ok`` f32[B,S]. Rows keep their old content: write every part of a row, masks included.
    """

    frames: U8
    video_ok: F32
    audio: F32
    audio_ok: F32
    sensors: F32
    sensor_ok: F32


@dataclass(frozen=True, slots=True)
class Contribution:
    """Contribution of each modality to a label's logit: with everything, minus without that modality."""

    video: float
    audio: float
    sensors: float


@dataclass(frozen=True, slots=True)
class Features:
    """Outputs of the encoders for one window, for derived labels; f32, zeros for a missing modality.

    ``tags`` [527] probabilities of the sound tags, ``sound`` [384] the sound's embedding; ``classes`` [80] the best box
    score of each object class, ``picture_tags`` [1000] probabilities of tags of the whole picture, ``picture`` [1280]
    its embedding, ``motion`` [h,w,K] movement by cells of the canvas; ``aligned`` [2,D] picture and sound as unit
    vectors in the text space.
    """

    tags: F32
    sound: F32
    classes: F32
    picture_tags: F32
    picture: F32
    motion: F32
    aligned: F32


@dataclass(frozen=True, slots=True)
class DerivedScore:
    """The score of one derived label in one window: a calibrated probability, contributions, and the reason."""

    value: float
    contribution: Contribution
    why: str = ""


@dataclass(frozen=True, slots=True)
class Box:
    """One detected object; corners in 0..1 of the camera's own picture (not of the letterboxed canvas)."""

    label: str
    score: float
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class Scores:
    """The model's outputs for one window. ``values`` are calibrated probabilities by label.

    ``reasons`` has the reasons of derived labels, in words. ``evidence`` f32[h,w] is the visual evidence on the
    letterboxed canvas, 0..1; ``content`` is the picture's place there. ``boxes`` and ``evidence`` belong to the
    window's newest picture, taken at ``picture``; None without one.
    """

    camera: str
    seq: int
    t_end_ns: int
    media_end: MediaTime
    values: Mapping[str, float]
    contribution: Mapping[str, Contribution]
    embedding: F32
    boxes: Sequence[Box]
    tags: Mapping[str, float]
    coverage: float
    video_ok: bool
    audio_ok: bool
    model: str
    features: Features | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    evidence: F32 | None = None
    content: Rect = (0.0, 0.0, 1.0, 1.0)
    picture: MediaTime | None = None


@dataclass(frozen=True, slots=True)
class RuleValues:
    """The values of a camera's rules in one window, after zones, times and agreement, by the event's name.

    None without evidence. These values are compared with the thresholds.
    """

    camera: str
    t_end_ns: int
    media_end: MediaTime
    values: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class EpochStart:
    """A stream's first picture or sound in ``epoch``, at ``pts_ns`` of the source's own clock. ``shift_ns`` moves the
    stream's pts onto the axis of the epoch's media times."""

    epoch: int
    stream: Stream
    pts_ns: int
    shift_ns: int = 0


class Phase(str, Enum):
    """An event's life: it begins, may be updated, and ends."""

    BEGIN = "begin"
    UPDATE = "update"
    END = "end"


class EventKind(str, Enum):
    """The subject of an event: the scene, or the equipment."""

    EVENT = "event"
    HEALTH = "health"


@dataclass(frozen=True, slots=True)
class Event:
    """One phase of one event. ``id`` is the same in all phases; ``end_ns`` is None until it ended.

    ``score`` is the value at this phase, ``peak`` the highest so far, ``threshold`` the one that was crossed.
    ``wall_begin_ns`` is fixed when the event begins, so a step of the wall clock never reorders its phases.
    ``media_begin`` and ``media_end`` are on one media clock, None for health events. ``zones`` are those that its
    objects are or were in, in order of entry.
    """

    id: str
    camera: str
    kind: EventKind
    label: str
    phase: Phase
    begin_ns: int
    end_ns: int | None
    media_begin: MediaTime | None
    wall_begin_ns: int
    score: float
    peak: float
    threshold: float
    severity: str
    why: str
    contribution: Contribution | None = None
    boxes: Sequence[Box] = ()
    tags: Sequence[tuple[str, float]] = ()
    zones: Sequence[str] = ()
    media_end: MediaTime | None = None


@dataclass(frozen=True, slots=True)
class EvidenceFiles:
    """The kept evidence of one event: ``files`` by kind (clip, snapshot, thumbnail, spectrogram), each as its path
    below the evidence folder; ``caption`` is the describer's, or empty. ``missing`` has the reason for each file that
    should exist and does not."""

    event_id: str
    camera: str
    label: str
    wall_ns: int
    files: Mapping[str, str]
    caption: str = ""
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    """One message to publish. Of waiting messages with the same non-empty ``key`` only the newest is kept."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    key: str = ""
