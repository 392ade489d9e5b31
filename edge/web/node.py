"""The node itself over HTTP: who it is, how it is, arming, and the digest of a day."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict

from edge.clock import iso8601
from edge.config.models import Config
from edge.errors import EdgeError, InputError
from edge.evidence.archive.records import Query as Wanted
from edge.web.answers import CameraAnswer, Done, EvidenceAnswer, HealthAnswer, NodeAnswer
from edge.web.box import Box
from edge.web.given import RESPONSES, BoxGiven, CameraGiven
from edge.web.telling import camera_health, held_answer

router = APIRouter(prefix="/api", responses=RESPONSES, tags=["node"])


class ArmedGiven(BaseModel):
    """Whether a camera's events may begin."""

    model_config = ConfigDict(extra="forbid")

    armed: bool


@router.get("/node")
def node(box: BoxGiven) -> NodeAnswer:
    """Who this box is and what it looks at."""
    config, told = box.loaded.config, box.node()
    zones = sorted({zone for camera in config.cameras.values() for zone in camera.zones})
    evidence = config.evidence
    return NodeAnswer(
        id=config.node.id,
        site=config.node.site,
        version=told.version,
        model=told.model,
        cameras=_cameras(config, box),
        labels=list(box.labels()),
        zones=zones,
        keeps_evidence=box.store is not None,
        blurred=list(evidence.blur) if evidence is not None else [],
    )


@router.get("/health")
def health(box: BoxGiven) -> HealthAnswer:
    """How the node and its sources are."""
    config, told = box.loaded.config, box.node()
    return HealthAnswer(
        id=config.node.id,
        site=config.node.site,
        time=iso8601(box.clock.wall_ns()),
        version=told.version,
        model=told.model,
        runtime=told.runtime,
        uptime_s=told.uptime_s,
        disk_free_bytes=told.disk_free_bytes,
        outbox_messages=told.outbox_messages,
        broker=told.broker,
        details=dict(told.details),
        evidence=_evidence(box),
        cameras=[camera_health(one) for one in box.facts()],
        held_back=[held_answer(one) for one in box.held_back()],
    )


@router.put("/cameras/{camera}/armed")
def set_armed(box: BoxGiven, camera: CameraGiven, given: ArmedGiven) -> Done:
    """Arm or disarm a camera; as the MQTT command, kept over restarts."""
    try:
        box.set_armed(camera, given.armed)
    except InputError as error:
        raise HTTPException(409, str(error)) from error
    except EdgeError as error:
        raise HTTPException(503, str(error)) from error
    return Done(f"{camera} is {'armed' if given.armed else 'disarmed: nothing begins there'}")


def _cameras(config: Config, box: Box) -> list[CameraAnswer]:
    armed, evidence = box.armed(), config.evidence
    may_listen = evidence is None or evidence.audio
    return [
        CameraAnswer(
            name=name,
            picture=camera.source is not None,
            sound=camera.microphone != "none",
            armed=armed.get(name, True),
            zones={zone: list(points) for zone, points in camera.zones.items()},
            lines={line: list(points) for line, points in camera.lines.items()},
            masks=[list(mask) for mask in camera.privacy_masks],
            listening=may_listen and camera.microphone != "none",
            speech=evidence is not None and evidence.speech,
        )
        for name, camera in config.cameras.items()
    ]


def _evidence(box: Box) -> EvidenceAnswer | None:
    settings = box.loaded.config.evidence
    if box.store is None or settings is None:
        return None
    return EvidenceAnswer(box.store.count(Wanted()), None, settings.keep_days, settings.keep_gb)
