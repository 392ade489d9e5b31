"""What the model is asked for: labels, their evidence, and the geometry of its inputs. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MODALITIES: Final = ("video", "audio", "sensors")


HINT_PROBABILITY: Final = 0.2
"""What only hints at an event never gives more than this probability by itself."""


@dataclass(frozen=True, slots=True)
class LabelSpec:
    """One event: its evidence, its thresholds, and where the pretrained parts already know it.

    `modalities` can evidence it; those in `hints` only support another sense. `tags` are AudioSet indices
    (engines/fused/audioset527.txt) with a prior offset in log-odds: 0 for "this is it", negative for "this is a hint".
    `classes` are COCO-80 indices. `dense` is the channel of the dense picture head, `body` of the body head. `enter`,
    `leave` are calibrated probabilities, `min_s` seconds; `enter` comes from open material alone.
    """

    name: str
    modalities: tuple[str, ...]
    tags: tuple[tuple[int, float], ...] = ()
    hints: tuple[str, ...] = ()
    classes: tuple[int, ...] = ()
    dense: int | None = None
    body: int | None = None
    enter: float = 0.6
    false_share: float = 0.01
    min_s: float = 0.5


LABELS: Final = (
    LabelSpec("person", ("video",), classes=(0,), min_s=1.0),
    LabelSpec("vehicle", ("video",), classes=tuple(range(1, 9)), min_s=1.0),
    LabelSpec("animal", ("video",), classes=tuple(range(14, 24)), min_s=1.0),
    LabelSpec("fire", MODALITIES, tags=((298, 0.0), (299, -1.0)), dense=0, false_share=0.02, min_s=2.0),
    LabelSpec("smoke", ("video", "sensors"), dense=1, false_share=0.02, min_s=2.0),
    LabelSpec(
        "explosion", MODALITIES, tags=((426, 0.0), (435, -0.5), (436, -1.0)), hints=("video", "sensors"),
        dense=2, min_s=0.0
    ),
    LabelSpec(
        "gunshot",
        ("video", "audio"),
        tags=((427, 0.0), (428, 0.0), (429, 0.0), (430, -0.5), (431, -1.0)),
        hints=("video",),
        dense=3,
        min_s=0.0,
    ),
    LabelSpec(
        "glass_break", ("audio", "sensors"), tags=((443, 0.0), (470, -1.5), (469, -2.0), (441, -2.5)),
        hints=("sensors",), min_s=0.0
    ),
    LabelSpec("scream", ("audio",), tags=((14, 0.0), (11, -1.5), (8, -2.0), (25, -2.0))),
    LabelSpec(
        "alarm",
        ("audio", "sensors"),
        tags=((399, 0.0), (400, 0.0), (388, -0.5), (398, -1.5), (310, -1.0), (395, -1.5)),
        hints=("sensors",),
        min_s=1.0,
    ),
    LabelSpec("siren", ("audio",), tags=((396, 0.0), (323, 0.0), (324, 0.0), (325, 0.0), (397, 0.0)), min_s=1.0),
    LabelSpec("crying_baby", ("audio",), tags=((23, 0.0), (22, -1.5)), min_s=1.0),
    LabelSpec("dog_bark", ("audio",), tags=((75, 0.0), (78, 0.0), (76, 0.0), (74, -0.5), (79, -1.0)), hints=("video",)),
    LabelSpec("door_knock", ("audio", "sensors"), tags=((359, 0.0),), hints=("sensors",), min_s=0.0),
    LabelSpec("fall", ("video",), tags=((460, 0.0), (461, 0.0)), hints=("audio",), body=0, min_s=0.0),
    LabelSpec("fight", ("video",), tags=((8, 0.0), (11, 0.0), (14, 0.0), (467, 0.0), (468, 0.0)), hints=("audio",),
              body=1, false_share=0.05, min_s=1.0),
)  # fmt: skip


def leave_for(enter: float) -> float:
    """The probability below which an event ends that begins at ``enter``: two thirds of it."""
    return round(enter * 2 / 3, 2)


LABEL_NAMES: Final = tuple(label.name for label in LABELS)
DENSE_CHANNELS: Final = 4
BODY_CHANNELS: Final = 2


@dataclass(frozen=True, slots=True)
class SensorSpec:
    """One sensor channel: readings enter the graph as (value - mean) / std."""

    name: str
    unit: str
    mean: float
    std: float


SENSORS: Final = (
    SensorSpec("temperature", "°C", 20.0, 10.0),
    SensorSpec("humidity", "%", 50.0, 20.0),
    SensorSpec("light", "lx", 200.0, 300.0),
    SensorSpec("co2", "ppm", 600.0, 300.0),
    SensorSpec("smoke", "%/m", 0.5, 1.0),
    SensorSpec("motion", "0/1", 0.0, 1.0),
    SensorSpec("door", "0/1", 0.0, 1.0),
    SensorSpec("vibration", "m/s²", 0.2, 0.5),
)

HOP_S: Final = 0.5
FPS: Final = 4.0
FRAMES: Final = 2
WIDTH: Final = 448
HEIGHT: Final = 256
PAD_VALUE: Final = 114
RATE_HZ: Final = 32000
WINDOW_S: Final = 2.0
SAMPLES: Final = 64000
MEMORY: Final = 16
TOKEN_DIM: Final = 192
BODY_DIM: Final = 24
"""The last BODY of a token's DIM numbers describe bodies; only the body head reads them."""
TAGS: Final = 527
BOXES: Final = 32
GRID: Final = (8, 14)

COCO: Final = [
    "person",
    "bicycle",
    "car",
    "motorcycle",
    "airplane",
    "bus",
    "train",
    "truck",
    "boat",
    "traffic light",
    "fire hydrant",
    "stop sign",
    "parking meter",
    "bench",
    "bird",
    "cat",
    "dog",
    "horse",
    "sheep",
    "cow",
    "elephant",
    "bear",
    "zebra",
    "giraffe",
    "backpack",
    "umbrella",
    "handbag",
    "tie",
    "suitcase",
    "frisbee",
    "skis",
    "snowboard",
    "sports ball",
    "kite",
    "baseball bat",
    "baseball glove",
    "skateboard",
    "surfboard",
    "tennis racket",
    "bottle",
    "wine glass",
    "cup",
    "fork",
    "knife",
    "spoon",
    "bowl",
    "banana",
    "apple",
    "sandwich",
    "orange",
    "broccoli",
    "carrot",
    "hot dog",
    "pizza",
    "donut",
    "cake",
    "chair",
    "couch",
    "potted plant",
    "bed",
    "dining table",
    "toilet",
    "tv",
    "laptop",
    "mouse",
    "remote",
    "keyboard",
    "cell phone",
    "microwave",
    "oven",
    "toaster",
    "sink",
    "refrigerator",
    "book",
    "clock",
    "vase",
    "scissors",
    "teddy bear",
    "hair drier",
    "toothbrush",
]
