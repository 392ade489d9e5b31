"""Looking at a camera asks for its pictures, unless somebody looks at a whole wall of them."""

from __future__ import annotations

from typing import Any, cast

from edge.clock import VirtualClock
from edge.demand import PictureDemand, WakeReason
from edge.engine.manifest import AudioGeometry, Geometry, MemoryGeometry, VideoGeometry
from edge.node.live_state import MOST_WATCHED, WATCHED_NS, LiveState
from edge.web.hub import Hub

GEOMETRY = Geometry(
    hop_s=0.5,
    video=VideoGeometry(fps=4.0, frames=2, width=96, height=64),
    audio=AudioGeometry(rate_hz=16000, window_s=2.0),
    memory=MemoryGeometry(tokens=4, dim=4),
)


class Camera:
    """A camera's buffer that has no picture yet."""

    def __init__(self) -> None:
        self.demand = PictureDemand()

    def newest_picture(self, _taken: object = None) -> None:
        return None

    def newest_sound(self, _out: object) -> int:
        return 0


def opened(count: int) -> tuple[LiveState, dict[str, Camera], VirtualClock]:
    cameras, clock = {f"cam{n}": Camera() for n in range(count)}, VirtualClock()
    return LiveState(cast("Any", cameras), GEOMETRY, clock, Hub()), cameras, clock


def asked(camera: Camera, clock: VirtualClock) -> WakeReason | None:
    return camera.demand.wanted(clock.mono_ns())


def test_a_look_asks_for_a_while() -> None:
    live, cameras, clock = opened(2)
    assert live.frame("cam0", None) is None
    assert asked(cameras["cam0"], clock) is WakeReason.PAGE
    assert asked(cameras["cam1"], clock) is None
    clock.advance(WATCHED_NS)
    assert asked(cameras["cam0"], clock) is None


def test_a_wall_of_cameras_stays_asleep() -> None:
    live, cameras, clock = opened(MOST_WATCHED + 2)
    for name in cameras:
        live.frame(name, None)
    clock.advance(WATCHED_NS)
    for _ in range(2):
        for name in cameras:
            live.frame(name, None)
        clock.advance(WATCHED_NS // 3)
    assert sum(asked(camera, clock) is not None for camera in cameras.values()) <= MOST_WATCHED
    clock.advance(2 * WATCHED_NS)
    live.frame("cam7", None)
    assert asked(cameras["cam7"], clock) is WakeReason.PAGE
