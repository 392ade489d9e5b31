"""Frigate's JSON objects and names, by its MQTT documentation (https://docs.frigate.video/integrations/mqtt/). Pure.

Boxes are in pixels there and in 0..1 here, so they are scaled to a picture of `WIDTH` x `HEIGHT`. Object names are the
classes of its default model (COCO), audio types those of its audio label map (AudioSet's classes, some of them merged).
A label without a name there keeps its own and is published as an object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge.types import NS_PER_S, Box, Event

AUDIO = {
    "scream": "scream", "siren": "siren", "crying_baby": "crying", "dog_bark": "bark", "door_knock": "knock",
    "glass_break": "shatter", "alarm": "fire_alarm", "gunshot": "gunshot", "explosion": "explosion",
}  # fmt: skip
"""Labels of sound, and the audio type under which each is published."""

_KINDS = {
    "person": ("person",),
    "vehicle": ("car", "truck", "bus", "motorcycle", "bicycle", "boat", "train", "airplane"),
    "animal": ("dog", "cat", "bird", "horse", "sheep", "cow", "bear", "elephant", "zebra", "giraffe"),
}
_TAGS = {
    "alarm": {"smoke detector, smoke alarm": "smoke_detector", "fire alarm": "fire_alarm", "car alarm": "car_alarm"},
    "siren": {"police car (siren)": "police_car", "ambulance (siren)": "ambulance"},
}
WIDTH, HEIGHT = 1280, 720
WHOLE = [0, 0, WIDTH, HEIGHT]


@dataclass(frozen=True, slots=True)
class FrigateName:
    """Frigate's name for an event, and whether it is an audio type."""

    name: str
    is_audio: bool


def default_name(label: str) -> FrigateName:
    """The name of a label without an event."""
    if label in AUDIO:
        return FrigateName(AUDIO[label], True)
    return FrigateName(_KINDS.get(label, (label,))[0], False)


def frigate_name(event: Event) -> FrigateName:
    """The name of an event: for a vehicle or an animal the class of its best box, for an alarm its strongest sound."""
    if event.label in _KINDS:
        boxes = [box for box in event.boxes if box.label in _KINDS[event.label]]
        if boxes:
            return FrigateName(max(boxes, key=lambda box: box.score).label, False)
    if event.label in _TAGS:
        tags = [(score, tag.lower()) for tag, score in event.tags if tag.lower() in _TAGS[event.label]]
        if tags:
            return FrigateName(_TAGS[event.label][max(tags)[1]], True)
    return default_name(event.label)


def frigate_id(event: Event) -> str:
    """The event's id in Frigate's form: its begin in Unix seconds, a dash, and its usual id."""
    return f"{event.wall_begin_ns / NS_PER_S:.6f}-{event.id}"


def tracked_object(event: Event, named: FrigateName, has_snapshot: bool, has_clip: bool) -> dict[str, Any]:
    """One phase of an event, for ``before`` and ``after``. Without a box it covers the whole picture."""
    begin, at = event.wall_begin_ns / NS_PER_S, _now(event)
    box = _pixels(_best(event, named))
    width, height = box[2] - box[0], box[3] - box[1]
    score, area = round(float(event.score), 6), width * height
    picture = {"frame_time": at, "box": box, "area": area, "region": WHOLE, "score": score, "attributes": []}
    return {
        "id": frigate_id(event),
        "camera": event.camera,
        "frame_time": at,
        "snapshot_time": at,
        "snapshot": picture,
        "label": named.name,
        "sub_label": None,
        "top_score": round(float(event.peak), 6),
        "false_positive": False,
        "start_time": round(begin, 6),
        "end_time": None if event.end_ns is None else at,
        "score": score,
        "box": box,
        "area": area,
        "ratio": round(width / max(1, height), 6),
        "region": WHOLE,
        "current_zones": list(event.zones),
        "entered_zones": list(event.zones),
        "thumbnail": None,
        "has_snapshot": has_snapshot,
        "has_clip": has_clip,
        "active": event.end_ns is None,
        "stationary": event.end_ns is not None,
        "motionless_count": 0,
        "position_changes": 1,
        "attributes": {},
        "current_attributes": [],
    }


def new_review(event: Event) -> dict[str, Any]:
    """An empty review item that begins with ``event``."""
    begin = event.wall_begin_ns / NS_PER_S
    return {
        "id": f"{begin:.6f}-r{event.id}",
        "camera": event.camera,
        "start_time": round(begin, 6),
        "end_time": None,
        "severity": "detection",
        "thumb_path": "",
        "data": {"detections": [], "objects": [], "sub_labels": [], "zones": [], "audio": []},
    }


def updated_review(review: dict[str, Any], event: Event, named: FrigateName) -> dict[str, Any]:
    """``review`` with what a phase of ``event`` adds to it."""
    data = review["data"]
    names = "audio" if named.is_audio else "objects"
    added = {"detections": [frigate_id(event)], names: [named.name], "zones": list(event.zones)}
    merged = data | {key: list(dict.fromkeys([*data[key], *values])) for key, values in added.items()}
    is_alert = "alert" in {review["severity"], event.severity}
    return review | {"severity": "alert" if is_alert else "detection", "data": merged}


def _now(event: Event) -> float:
    if event.end_ns is not None:
        since_ns = event.end_ns - event.begin_ns
    else:
        ends, begins = event.media_end, event.media_begin
        since_ns = 0 if ends is None or begins is None else max(0, ends.since(begins))
    return round((event.wall_begin_ns + since_ns) / NS_PER_S, 6)


def _best(event: Event, named: FrigateName) -> Box | None:
    fitting = [box for box in event.boxes if box.label == named.name] or list(event.boxes)
    return max(fitting, key=lambda box: box.score) if fitting else None


def _pixels(box: Box | None) -> list[int]:
    if box is None:
        return WHOLE
    return [round(box.x1 * WIDTH), round(box.y1 * HEIGHT), round(box.x2 * WIDTH), round(box.y2 * HEIGHT)]
