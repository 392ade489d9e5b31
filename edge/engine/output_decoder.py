"""One row of the graph's outputs as `Scores`: probabilities, contributions, boxes in the camera's picture, tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edge.engine.contract import Array
from edge.engine.manifest import Manifest
from edge.errors import ModelError
from edge.types import F32, Box, Contribution, Features, Rect, Scores, Window

TOP_TAGS = 5
MIN_TAG = 0.1
MIN_AUDIO_SHARE = 0.05  # share of the sound window from which the graph listens to it at all
_FEATURES = ("tags", "sound", "classes", "picture_tags", "picture", "motion", "aligned")
_CHECKED = ("logits", "contribution", "embedding", "token", "boxes", *_FEATURES)


class OutputDecoder:
    """Knows the names behind the graph's numbers."""

    def __init__(self, manifest: Manifest, tag_names: tuple[str, ...]) -> None:
        self._labels = manifest.label_names
        self._classes = manifest.classes
        self._tags = tag_names
        self._model = f"{manifest.name} {manifest.version}"

    def scores(self, window: Window, outputs: Mapping[str, Array]) -> Scores:
        """The window's row of ``outputs``; nothing in the result refers to the runtime's buffers."""
        row = window.row
        values = probabilities(outputs["logits"][row]).tolist()
        parts = outputs["contribution"][row].tolist()
        return Scores(
            camera=window.camera,
            seq=window.seq,
            t_end_ns=window.t_end_ns,
            media_end=window.media_end,
            values=dict(zip(self._labels, values, strict=True)),
            contribution={name: Contribution(*part) for name, part in zip(self._labels, parts, strict=True)},
            embedding=np.array(outputs["embedding"][row], np.float32),
            boxes=boxes_of(outputs["boxes"][row], self._classes, window.content),
            tags=top_tags(outputs["tags"][row], self._tags),
            coverage=window.coverage,
            video_ok=any(window.video_ok),
            audio_ok=window.audio_ok > MIN_AUDIO_SHARE,
            model=self._model,
            evidence=np.array(outputs["evidence"][row], np.float32),
            content=window.content,
            picture=window.picture,
            features=Features(**{name: np.array(outputs[name][row], np.float32) for name in _FEATURES}),
        )

    def repeated(self, last: Scores, window: Window) -> Scores:
        """``last``, of the same camera, as the scores of ``window``, whose answer is the same bit for bit; they share
        what they hold. ``window`` has the content of ``last``."""
        return replace(
            last,
            seq=window.seq,
            t_end_ns=window.t_end_ns,
            media_end=window.media_end,
            coverage=window.coverage,
            video_ok=any(window.video_ok),
            audio_ok=window.audio_ok > MIN_AUDIO_SHARE,
            picture=window.picture,
        )


def probabilities(logits: F32) -> Array:
    """The logistic function of calibrated logits, f64, stable at both ends."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits, np.float64))))


def boxes_of(rows: F32, classes: tuple[str, ...], content: Rect) -> tuple[Box, ...]:
    """Rows f32[K,6] on the letterboxed canvas -> boxes in 0..1 of the camera's own picture at ``content``, best first.

    Clipped to the picture; unused rows (score 0) and boxes that lie outside are left out. ModelError for a class
    that the manifest does not name.
    """
    left, top, right, bottom = content
    width, height = right - left, bottom - top
    if width <= 0 or height <= 0:
        return ()
    used = rows[rows[:, 4] > 0].astype(np.float64)
    used = used[np.argsort(-used[:, 4], kind="stable")]
    used[:, (0, 2)] = np.clip((used[:, (0, 2)] - left) / width, 0, 1)
    used[:, (1, 3)] = np.clip((used[:, (1, 3)] - top) / height, 0, 1)
    used = used[(used[:, 2] > used[:, 0]) & (used[:, 3] > used[:, 1])]
    return tuple(
        Box(_class_name(round(kind), classes), min(score, 1.0), x1, y1, x2, y2)
        for x1, y1, x2, y2, score, kind in used.tolist()
    )


def top_tags(values: F32, names: tuple[str, ...]) -> dict[str, float]:
    """The at most five most probable audio tags above 0.1, best first; none when the model names no tags."""
    if not names:
        return {}
    order = np.argsort(-values, kind="stable")[:TOP_TAGS]
    return {names[i]: float(values[i]) for i in order.tolist() if values[i] > MIN_TAG}


def first_not_finite(outputs: Mapping[str, Array], row: int) -> str | None:
    """The first output that holds NaN or infinity in ``row``."""
    return next((name for name in _CHECKED if not np.isfinite(outputs[name][row]).all()), None)


def _class_name(index: int, classes: tuple[str, ...]) -> str:
    if not 0 <= index < len(classes):
        raise ModelError(
            f"the graph answered with object class {index}, model.yaml names {len(classes)} classes; "
            "export the graph and model.yaml together"
        )
    return classes[index]
