"""The node over HTTP: its description, health, and arming."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict

from edge.clock import iso8601
from edge.config.models import Config
from edge.errors import EdgeError, InputError
from edge.evidence.archive.records import EventQuery as Wanted
from edge.web.backend import NodeBackend
from edge.web.dependencies import RESPONSES, BackendDep, CameraName
from edge.web.responses import CameraResponse, DoneResponse, EvidenceResponse, HealthResponse, NodeResponse
from edge.web.serializers import camera_health_response, held_back_response, load_response

router = APIRouter(prefix="/api", responses=RESPONSES, tags=["node"])


class ArmedRequest(BaseModel):
    """Whether a camera's events may begin."""

    model_config = ConfigDict(extra="forbid")

    armed: bool


@router.get("/node")
def node(box: BackendDep) -> NodeResponse:
    """The node and its cameras."""
    config, facts = box.loaded.config, box.node()
    zones = sorted({zone for camera in config.cameras.values() for zone in camera.zones})
    evidence = config.evidence
    return NodeResponse(
        id=config.node.id,
        site=config.node.site,
        version=facts.version,
        model=facts.model,
        cameras=_cameras(config, box),
        labels=list(box.labels()),
        zones=zones,
        keeps_evidence=box.store is not None,
        blurred=list(evidence.blur) if evidence is not None else [],
    )


@router.get("/health")
def health(box: BackendDep) -> HealthResponse:
    """The health of the node and its sources."""
    config, facts = box.loaded.config, box.node()
    return HealthResponse(
        id=config.node.id,
        site=config.node.site,
        time=iso8601(box.clock.wall_ns()),
        version=facts.version,
        model=facts.model,
        runtime=facts.runtime,
        uptime_s=facts.uptime_s,
        disk_free_bytes=facts.disk_free_bytes,
        outbox_messages=facts.outbox_messages,
        broker=facts.broker,
        details=dict(facts.details),
        evidence=_evidence(box),
        load=load_response(facts.load),
        cameras=[camera_health_response(one) for one in box.facts()],
        held_back=[held_back_response(one) for one in box.held_back()],
    )


@router.put("/cameras/{camera}/armed")
def set_armed(box: BackendDep, camera: CameraName, request: ArmedRequest) -> DoneResponse:
    """Arm or disarm a camera; like the MQTT command, kept over restarts."""
    try:
        box.set_armed(camera, request.armed)
    except InputError as error:
        raise HTTPException(409, str(error)) from error
    except EdgeError as error:
        raise HTTPException(503, str(error)) from error
    return DoneResponse(f"{camera} is {'armed' if request.armed else 'disarmed: nothing begins there'}")


def _cameras(config: Config, box: NodeBackend) -> list[CameraResponse]:
    armed, evidence = box.armed(), config.evidence
    may_listen = evidence is None or evidence.audio
    return [
        CameraResponse(
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


def _evidence(box: NodeBackend) -> EvidenceResponse | None:
    settings = box.loaded.config.evidence
    if box.store is None or settings is None:
        return None
    return EvidenceResponse(box.store.count(Wanted()), None, settings.keep_days, settings.keep_gb)
