"""Zones, lines and rules over HTTP: drawn on the page, saved beside config.yaml, in force at once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import yaml
from fastapi import APIRouter, HTTPException, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from edge.config import LoadedConfig, parse
from edge.config.rules import RuleConfig
from edge.config.values import Point, Polygon, Segment
from edge.errors import ConfigError, InputError, SinkError
from edge.web.backend import NodeBackend
from edge.web.dependencies import RESPONSES, AppState, BackendDep, CameraName, LabelName, PlaceName, StateDep
from edge.web.responses import DoneResponse

router = APIRouter(prefix="/api", responses=RESPONSES, tags=["zones and rules"])
MOST_PLACES = 32
Drawn: TypeAlias = dict[str, Any]
OnlyNew = Annotated[bool, Query(description="refuse a name that is taken")]
Replacing = Annotated[bool, Query(description="take the place of the rule of that name")]


def _apart(points: tuple[Point, ...]) -> tuple[Point, ...]:
    return tuple((round(x, 4), round(y, 4)) for x, y in points)


class ZoneRequest(BaseModel):
    """A polygon: its corners in order, in 0..1 of the picture from its top left."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    points: Annotated[Polygon, AfterValidator(_apart)]


class LineRequest(BaseModel):
    """A line from one point to another; to its left is the left of somebody who walks along it."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    points: Annotated[Segment, AfterValidator(_apart)]


class DrawnPlace(BaseModel):
    """A zone or line in force; ``drawn`` on the page, or written in config.yaml."""

    points: list[tuple[float, float]]
    drawn: bool


class CameraPlacesResponse(BaseModel):
    """Zones, lines and masks of one camera; masks can only be changed in config.yaml."""

    zones: dict[str, DrawnPlace] = Field(default_factory=dict)
    lines: dict[str, DrawnPlace] = Field(default_factory=dict)
    masks: list[list[tuple[float, float]]] = Field(default_factory=list)


class RuleResponse(BaseModel):
    """A rule in force; ``covers`` is the rule of the same name in config.yaml, which a drawn one replaces."""

    rule: dict[str, Any]
    drawn: bool
    covers: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class DrawnResponse:
    """What is in force, and all drawings as text that can be pasted into config.yaml."""

    cameras: dict[str, CameraPlacesResponse]
    rules: dict[str, RuleResponse]
    yaml: str


@router.get("/drawn")
def get_drawn(box: BackendDep) -> DrawnResponse:
    """Zones, lines, masks and rules in force."""
    config, own = box.loaded.config, box.drawn()
    cameras = {}
    for name, camera in config.cameras.items():
        mine = _part(own, "cameras", name)
        zones = {n: DrawnPlace(points=list(p), drawn=n in _part(mine, "zones")) for n, p in camera.zones.items()}
        lines = {n: DrawnPlace(points=list(p), drawn=n in _part(mine, "lines")) for n, p in camera.lines.items()}
        cameras[name] = CameraPlacesResponse(
            zones=zones, lines=lines, masks=[list(mask) for mask in camera.privacy_masks]
        )
    covered = _overridden_rules(box.loaded, own)
    rules = {
        name: RuleResponse(rule=_plain(rule), drawn=name in _part(own, "events"), covers=covered.get(name))
        for name, rule in config.events.items()
    }
    return DrawnResponse(cameras, rules, as_yaml(own))


@router.put("/cameras/{camera}/zones/{name}")
def put_zone(
    shared: StateDep, camera: CameraName, name: PlaceName, zone: ZoneRequest, new: OnlyNew = False
) -> DoneResponse:
    """Draw a zone, or move it; with ``new`` 409 when the name is taken."""
    return _change(shared, lambda d: _put_place(shared.backend, d, camera, "zones", name, zone.points, new=new))


@router.put("/cameras/{camera}/lines/{name}")
def put_line(
    shared: StateDep, camera: CameraName, name: PlaceName, line: LineRequest, new: OnlyNew = False
) -> DoneResponse:
    """Draw a line, or move it; with ``new`` 409 when the name is taken."""
    return _change(shared, lambda d: _put_place(shared.backend, d, camera, "lines", name, line.points, new=new))


@router.delete("/cameras/{camera}/zones/{name}")
def delete_zone(shared: StateDep, camera: CameraName, name: PlaceName) -> DoneResponse:
    """Remove a drawn zone; one of the same name in config.yaml is in force again."""
    return _change(shared, lambda d: _delete_place(shared.backend, d, camera, "zones", name))


@router.delete("/cameras/{camera}/lines/{name}")
def delete_line(shared: StateDep, camera: CameraName, name: PlaceName) -> DoneResponse:
    """Remove a drawn line."""
    return _change(shared, lambda d: _delete_place(shared.backend, d, camera, "lines", name))


@router.put("/rules/{name}")
def put_rule(shared: StateDep, name: LabelName, rule: RuleConfig, replace: Replacing = False) -> DoneResponse:
    """Make a rule. 409 when the name is taken, unless ``replace`` is set: then the new rule replaces the whole old one,
    also one in config.yaml."""

    def change(d: Drawn) -> None:
        known = shared.backend.loaded.config.events.get(name)
        if known is not None and not replace:
            raise HTTPException(409, _name_taken(name, known, is_drawn=name in _part(d, "events")))
        events = d.setdefault("events", {})
        if name not in events and len(events) >= MOST_PLACES:
            raise HTTPException(409, f"there are {MOST_PLACES} drawn rules already; remove one")
        events[name] = _plain(rule)

    return _change(shared, change)


@router.delete("/rules/{name}")
def delete_rule(shared: StateDep, name: LabelName) -> DoneResponse:
    """Remove a drawn rule; one of the same name in config.yaml is in force again."""

    def change(d: Drawn) -> None:
        if name not in _part(d, "events"):
            raise _not_drawn("rule", name, name in shared.backend.loaded.config.events)
        del d["events"][name]

    return _change(shared, change)


def as_yaml(drawn: Mapping[str, Any]) -> str:
    """The drawings as YAML for config.yaml; empty when there are none."""
    kept = {name: value for name, value in drawn.items() if value}
    if not kept:
        return ""
    return yaml.dump(kept, Dumper=_FlowDumper, sort_keys=False, allow_unicode=True, width=110)


class _FlowDumper(yaml.SafeDumper):
    """Writes lists on one line, as points usually are; no anchors."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _points(dumper: yaml.SafeDumper, value: Any) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)


_FlowDumper.add_representer(list, _points)
_FlowDumper.add_representer(tuple, _points)


def _change(shared: AppState, change: Callable[[Drawn], None]) -> DoneResponse:
    """Apply ``change`` to a copy of the drawings, and save it if the configuration is valid with it."""
    with shared.drawing:
        wanted = copy.deepcopy(dict(shared.backend.drawn()))
        change(wanted)
        try:
            return DoneResponse(shared.backend.draw(_tidy(wanted)))
        except ConfigError as error:
            raise HTTPException(409, _sentence(error)) from error
        except SinkError as error:
            raise HTTPException(503, str(error)) from error
        except InputError as error:
            raise HTTPException(409, str(error)) from error


def _sentence(error: ConfigError) -> str:
    """The first fault, without the file name: it is shown on the page."""
    first = error.problems[0]
    return first.split(": ", 1)[-1] if ".yaml" in first.split(": ", 1)[0] else first


def _put_place(
    box: NodeBackend, d: Drawn, camera: str, kind: str, name: str, points: tuple[Point, ...], *, new: bool
) -> None:
    if new and name in getattr(box.loaded.config.cameras[camera], kind):
        raise HTTPException(409, f"{camera} has a {kind[:-1]} {name!r} already; choose another name")
    places = d.setdefault("cameras", {}).setdefault(camera, {}).setdefault(kind, {})
    if name not in places and len(places) >= MOST_PLACES:
        raise HTTPException(409, f"{camera} has {MOST_PLACES} drawn {kind} already; remove one")
    places[name] = [[float(x), float(y)] for x, y in points]


def _delete_place(box: NodeBackend, d: Drawn, camera: str, kind: str, name: str) -> None:
    if name not in _part(_part(d, "cameras", camera), kind):
        raise _not_drawn(kind[:-1], name, name in getattr(box.loaded.config.cameras[camera], kind))
    del d["cameras"][camera][kind][name]


def _plain(rule: RuleConfig) -> dict[str, Any]:
    return rule.model_dump(mode="json", exclude_none=True)


def _name_taken(name: str, known: RuleConfig, *, is_drawn: bool) -> str:
    """The sentence that shows the rule that would be replaced."""
    where = "drawn here" if is_drawn else "in config.yaml"
    text = yaml.dump(
        _plain(known), Dumper=_FlowDumper, sort_keys=False, allow_unicode=True, default_flow_style=True, width=999
    )
    return f"there is a rule {name!r} already, {where}: {text.strip()}; choose another name, or replace it"


def _overridden_rules(loaded: LoadedConfig, own: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The rules of config.yaml that drawn ones replace; empty when the file cannot be read now."""
    names = _part(own, "events")
    if not names:
        return {}
    try:
        places = {"cameras": _part(own, "cameras")}
        events = parse(loaded.path.read_text(encoding="utf-8"), loaded.path, drawn=places).config.events
    except (OSError, UnicodeDecodeError, ConfigError):
        return {}
    return {name: _plain(events[name]) for name in names if name in events}


def _not_drawn(what: str, name: str, in_config: bool) -> HTTPException:
    if in_config:
        return HTTPException(409, f"{what} {name!r} stands in config.yaml; remove it there")
    return HTTPException(404, f"there is no {what} {name!r}")


def _part(value: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    for name in path:
        below = value.get(name)
        value = below if isinstance(below, Mapping) else {}
    return value


def _tidy(d: Drawn) -> Drawn:
    """Remove parts that have become empty."""
    cameras = {
        camera: {kind: places for kind, places in kinds.items() if places}
        for camera, kinds in _part(d, "cameras").items()
    }
    kept = {"cameras": {camera: kinds for camera, kinds in cameras.items() if kinds}, "events": d.get("events")}
    return {name: value for name, value in kept.items() if value}
