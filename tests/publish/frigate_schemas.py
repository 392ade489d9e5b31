"""Frigate's documented messages as JSON Schemas, with the examples of its documentation.

From https://docs.frigate.video/integrations/mqtt/ (versions 0.14 to 0.17). What one version has and another has not is
optional; what all have is required.
"""

from __future__ import annotations

from typing import Any

_NUMBER: dict[str, Any] = {"type": "number"}
_TEXTS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
_PIXELS: dict[str, Any] = {"type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4}
_ID: dict[str, Any] = {"type": "string", "pattern": r"^\d+\.\d+-[a-z0-9]+$"}

_SNAPSHOT: dict[str, Any] = {
    "type": "object",
    "required": ["frame_time", "box", "area", "region", "score", "attributes"],
    "properties": {
        "frame_time": _NUMBER, "box": _PIXELS, "area": {"type": "integer"}, "region": _PIXELS, "score": _NUMBER,
        "attributes": {"type": "array"},
    },
}  # fmt: skip

_OBJECT: dict[str, Any] = {
    "type": "object",
    "required": [
        "id", "camera", "frame_time", "label", "sub_label", "top_score", "false_positive", "start_time", "end_time",
        "score", "box", "area", "ratio", "region", "current_zones", "entered_zones", "has_snapshot", "has_clip",
        "active", "stationary", "motionless_count", "position_changes", "attributes", "current_attributes",
    ],
    "properties": {
        "id": _ID,
        "camera": {"type": "string"},
        "frame_time": _NUMBER,
        "snapshot_time": _NUMBER,
        "snapshot": _SNAPSHOT,
        "label": {"type": "string"},
        "sub_label": {"type": ["null", "string", "array"]},
        "top_score": _NUMBER,
        "false_positive": {"type": "boolean"},
        "start_time": _NUMBER,
        "end_time": {"type": ["number", "null"]},
        "score": _NUMBER,
        "box": _PIXELS,
        "area": {"type": "integer"},
        "ratio": _NUMBER,
        "region": _PIXELS,
        "current_zones": _TEXTS,
        "entered_zones": _TEXTS,
        "thumbnail": {"type": ["null", "string"]},
        "has_snapshot": {"type": "boolean"},
        "has_clip": {"type": "boolean"},
        "active": {"type": "boolean"},
        "stationary": {"type": "boolean"},
        "motionless_count": {"type": "integer"},
        "position_changes": {"type": "integer"},
        "attributes": {"type": "object", "additionalProperties": _NUMBER},
        "current_attributes": {"type": "array"},
    },
}  # fmt: skip

_REVIEW: dict[str, Any] = {
    "type": "object",
    "required": ["id", "camera", "start_time", "end_time", "severity", "thumb_path", "data"],
    "properties": {
        "id": _ID,
        "camera": {"type": "string"},
        "start_time": _NUMBER,
        "end_time": {"type": ["number", "null"]},
        "severity": {"enum": ["alert", "detection"]},
        "thumb_path": {"type": "string"},
        "data": {
            "type": "object",
            "required": ["detections", "objects", "sub_labels", "zones", "audio"],
            "properties": {
                "detections": {"type": "array", "items": _ID}, "objects": _TEXTS, "sub_labels": _TEXTS,
                "zones": _TEXTS, "audio": _TEXTS,
            },
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}  # fmt: skip


def _change(of: dict[str, Any]) -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["type", "before", "after"],
        "properties": {"type": {"enum": ["new", "update", "end"]}, "before": of, "after": of},
        "additionalProperties": False,
    }


EVENTS, REVIEWS = _change(_OBJECT), _change(_REVIEW)
DESCRIPTION: dict[str, Any] = {
    "type": "object",
    "required": ["type", "id", "description"],
    "properties": {"type": {"const": "description"}, "id": _ID, "description": {"type": "string", "minLength": 1}},
}

_PERSON = {
    "id": "1607123955.475377-mxklsc", "camera": "front_door", "frame_time": 1607123961.837752,
    "snapshot_time": 1607123961.837752, "label": "person", "sub_label": None, "top_score": 0.958984375,
    "false_positive": False, "start_time": 1607123955.475377, "end_time": None, "score": 0.7890625,
    "box": [424, 500, 536, 712], "area": 23744, "ratio": 2.113207, "region": [264, 450, 667, 853],
    "current_zones": ["driveway"], "entered_zones": ["yard", "driveway"], "thumbnail": None, "has_snapshot": False,
    "has_clip": False, "active": True, "stationary": False, "motionless_count": 0, "position_changes": 2,
    "attributes": {"face": 0.64}, "current_attributes": [],
}  # fmt: skip
_LATER = {
    "frame_time": 1607123962.082975, "sub_label": ["John Smith", 0.79], "score": 0.87890625,
    "box": [432, 496, 544, 854], "area": 40096, "ratio": 1.251397, "region": [218, 440, 693, 915],
    "current_zones": ["yard", "driveway"], "attributes": {"face": 0.86},
    "current_attributes": [{"label": "face", "box": [442, 506, 534, 524], "score": 0.86}],
}  # fmt: skip
_NEWER = {  # since 0.15 a snapshot object stands in the place of snapshot_time
    "snapshot": {
        "frame_time": 1607123965.975463, "box": [415, 489, 528, 700], "area": 12728, "region": [260, 446, 660, 846],
        "score": 0.77546, "attributes": [],
    },
    "current_estimated_speed": 0.71, "velocity_angle": 180,
}  # fmt: skip
_ITEM = {
    "id": "1718987129.308396-fqk5ka", "camera": "front_cam", "start_time": 1718987129.308396, "end_time": None,
    "severity": "detection",
    "thumb_path": "/media/frigate/clips/review/thumb-front_cam-1718987129.308396-fqk5ka.webp",
    "data": {
        "detections": ["1718987128.947436-g92ztx", "1718987148.879516-d7oq7r", "1718987126.934663-q5ywpt"],
        "objects": ["person", "car"], "sub_labels": [], "zones": [], "audio": [],
    },
}  # fmt: skip
_ITEM_LATER = _ITEM | {
    "severity": "alert",
    "data": {**_ITEM["data"], "sub_labels": ["Bob"], "zones": ["front_yard"]},  # type: ignore[dict-item]
}

EXAMPLES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (EVENTS, {"type": "update", "before": _PERSON, "after": _PERSON | _LATER}),
    (EVENTS, {"type": "update", "before": _PERSON | _NEWER, "after": _PERSON | _LATER | _NEWER}),
    (REVIEWS, {"type": "update", "before": _ITEM, "after": _ITEM_LATER}),
    (
        DESCRIPTION,
        {
            "type": "description", "id": "1607123955.475377-mxklsc",
            "description": "A person in a yellow vest walks toward the front door.",
        },
    ),
]  # fmt: skip
