"""What Frigate calls what this box finds: its object classes and the names of its audio types.

Objects are those of its default model (COCO's), audio types those of its audio label map (AudioSet's classes, some of
them put together). What has no name there keeps its own and goes as an object.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.types import Event

AUDIO = {
    "scream": "scream", "siren": "siren", "crying_baby": "crying", "dog_bark": "bark", "door_knock": "knock",
    "glass_break": "shatter", "alarm": "fire_alarm", "gunshot": "gunshot", "explosion": "explosion",
}  # fmt: skip
"""Labels that are heard, and the audio type that each is told as."""

_KINDS = {
    "person": ("person",),
    "vehicle": ("car", "truck", "bus", "motorcycle", "bicycle", "boat", "train", "airplane"),
    "animal": ("dog", "cat", "bird", "horse", "sheep", "cow", "bear", "elephant", "zebra", "giraffe"),
}
_TAGS = {
    "alarm": {"smoke detector, smoke alarm": "smoke_detector", "fire alarm": "fire_alarm", "car alarm": "car_alarm"},
    "siren": {"police car (siren)": "police_car", "ambulance (siren)": "ambulance"},
}


@dataclass(frozen=True, slots=True)
class FrigateName:
    """Frigate's name of what an event is about, and whether it is an audio type."""

    name: str
    is_audio: bool


def default_name(label: str) -> FrigateName:
    """The name of a label where nothing more is known than the label."""
    if label in AUDIO:
        return FrigateName(AUDIO[label], True)
    return FrigateName(_KINDS.get(label, (label,))[0], False)


def frigate_name(event: Event) -> FrigateName:
    """The name of an event: of a vehicle or an animal the class of its best box, of an alarm its strongest sound."""
    if event.label in _KINDS:
        boxes = [box for box in event.boxes if box.label in _KINDS[event.label]]
        if boxes:
            return FrigateName(max(boxes, key=lambda box: box.score).label, False)
    if event.label in _TAGS:
        tags = [(score, tag.lower()) for tag, score in event.tags if tag.lower() in _TAGS[event.label]]
        if tags:
            return FrigateName(_TAGS[event.label][max(tags)[1]], True)
    return default_name(event.label)
