"""What the model is asked for: labels, their evidence, and the geometry of its inputs. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MODALITIES: Final = ("video", "audio", "sensors")


@dataclass(frozen=True, slots=True)
class LabelSpec:
    """One event: its evidence, its thresholds, and where the pretrained parts already know it.

    `tags` are AudioSet indices (engines/fused/audioset527.txt) with a prior offset in log-odds: 0 for
    "this is it", negative for "this is a hint"; `rivals` are tags of what is mistaken for it, which must lose to it.
    `classes` are COCO-80 indices. `dense` is the channel of the dense picture head, `body` of the body head.
    `tag_offset`: no real recording of it was there to learn from, so its sound is the tags' own log-odds; no more than
    a scale and an offset is learned. `picture_limit`: no real picture of it was there, so what is seen alone never
    gives more than this probability. `enter`, `leave` are calibrated probabilities, `min_s` seconds; `enter` comes
    from open material alone.
    """

    name: str
    modalities: tuple[str, ...]
    tags: tuple[tuple[int, float], ...] = ()
    rivals: tuple[int, ...] = ()
    classes: tuple[int, ...] = ()
    dense: int | None = None
    body: int | None = None
    tag_offset: float | None = None
    picture_limit: float | None = None
    enter: float = 0.6
    leave: float = 0.4
    min_s: float = 0.5


LABELS: Final = (
    LabelSpec("person", ("video",), classes=(0,), min_s=1.0),
    LabelSpec("vehicle", ("video",), classes=tuple(range(1, 9)), min_s=1.0),
    LabelSpec("animal", ("video",), classes=tuple(range(14, 24)), min_s=1.0),
    LabelSpec(
        "fire",
        MODALITIES,
        tags=((298, 0.0), (299, -1.0)),
        rivals=(289, 290, 291, 292, 293, 367),
        dense=0,
        enter=0.6,
        leave=0.4,
        min_s=2.0,
    ),
    LabelSpec("smoke", ("video", "sensors"), dense=1, picture_limit=0.45, enter=0.5, leave=0.3, min_s=2.0),
    LabelSpec(
        "explosion",
        MODALITIES,
        tags=((426, 0.0), (435, -0.5), (436, -1.0)),
        rivals=(286, 287, 358, 432),
        dense=2,
        tag_offset=0.0,
        picture_limit=0.2,
        enter=0.75,
        leave=0.5,
        min_s=0.0,
    ),
    LabelSpec(
        "gunshot",
        ("video", "audio"),
        tags=((427, 0.0), (428, 0.0), (429, 0.0), (430, -0.5), (431, -1.0)),
        rivals=(354, 358, 419, 420, 432, 433, 465),
        dense=3,
        tag_offset=0.85,
        picture_limit=0.2,
        enter=0.6,
        leave=0.4,
        min_s=0.0,
    ),
    LabelSpec(
        "glass_break",
        ("audio", "sensors"),
        tags=((443, 0.0), (470, -1.5), (469, -2.0), (441, -2.5)),
        rivals=(442,),
        tag_offset=0.85,
        enter=0.5,
        leave=0.3,
        min_s=0.0,
    ),
    LabelSpec(
        "scream",
        ("audio",),
        tags=((14, 0.0), (11, -1.5), (8, -2.0), (25, -2.0)),
        rivals=(13, 23, 27, 71, 117),
        tag_offset=0.85,
        enter=0.6,
        leave=0.4,
        min_s=0.5,
    ),
    LabelSpec(
        "alarm",
        ("audio", "sensors"),
        tags=((399, 0.0), (400, 0.0), (388, -0.5), (398, -1.5), (310, -1.0), (395, -1.5)),
        rivals=(390, 391, 402),
        tag_offset=0.85,
        enter=0.6,
        leave=0.4,
        min_s=1.0,
    ),
    LabelSpec(
        "siren",
        ("audio",),
        tags=((396, 0.0), (323, 0.0), (324, 0.0), (325, 0.0), (397, 0.0)),
        rivals=(310, 402),
        tag_offset=0.85,
        enter=0.6,
        leave=0.4,
        min_s=1.0,
    ),
    LabelSpec(
        "crying_baby",
        ("audio",),
        tags=((23, 0.0), (22, -1.5)),
        rivals=(17, 80, 81, 83, 85, 95, 97, 117),
        enter=0.6,
        leave=0.4,
        min_s=1.0,
    ),
    LabelSpec(
        "dog_bark",
        ("audio",),
        tags=((75, 0.0), (78, 0.0), (76, 0.0), (74, -0.5), (79, -1.0)),
        rivals=(81, 98, 99, 101, 104, 117),
        enter=0.6,
        leave=0.4,
        min_s=0.5,
    ),
    LabelSpec(
        "door_knock",
        ("audio", "sensors"),
        tags=((359, 0.0),),
        rivals=(53, 358, 384, 419, 465),
        tag_offset=0.85,
        enter=0.6,
        leave=0.4,
        min_s=0.0,
    ),
    LabelSpec("fall", ("video",), body=0, enter=0.5, leave=0.3, min_s=0.0),
    LabelSpec("fight", ("video",), body=1, enter=0.5, leave=0.3, min_s=1.0),
)
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
