"""Decoding on demand: what is skipped, what wakes a camera, and that nothing is lost or altered by it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from capture.media import write
from conformance.numbered import ffmpeg

from edge.capture.base import SourceOptions
from edge.capture.lag import CaptureLag
from edge.capture.normaliser import MediaNormaliser
from edge.capture.on_demand import KeptPacket, OnDemandDecoder
from edge.capture.registry import open_source
from edge.capture.wake_policy import WakeLimits
from edge.clock import VirtualClock
from edge.config.sources import FileSourceConfig
from edge.demand import DecodeState, PictureDemand, WakeReason
from edge.engine.manifest import Geometry
from edge.metrics import Metrics
from edge.types import NS_PER_S, AudioChunk, Frame, Gap, LumaSample, MediaItem, SkippedPictures

GEOMETRY = Geometry.model_validate(
    {
        "hop_s": 0.5,
        "video": {"fps": 4, "frames": 2, "width": 160, "height": 96},
        "audio": {"rate_hz": 16000, "window_s": 2.0},
        "memory": {"tokens": 2, "dim": 4},
    }
)
SIZE = (320, 192)
START_S = 5000  # the source's clock
QUIET_S = 10.0


def still(_t: float) -> np.ndarray:
    image = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    image[40:80, 60:120] = (200, 40, 30)
    return image


def passes(begin_s: float, end_s: float) -> Callable[[float], np.ndarray]:
    """Something bright moves through the picture for a while."""

    def picture(t: float) -> np.ndarray:
        image = still(t)
        if begin_s <= t < end_s:
            x = 20 + round((t - begin_s) * 60) % 200
            image[100:160, x : x + 40] = (240, 230, 60)
        return image

    return picture


def hum(t: np.ndarray) -> np.ndarray:
    return 0.01 * np.sin(2 * np.pi * 200 * t)


def bang_at(at_s: float) -> Callable[[np.ndarray], np.ndarray]:
    def sound(t: np.ndarray) -> np.ndarray:
        return hum(t) + np.where((t >= at_s) & (t < at_s + 0.3), 0.5 * np.sin(9000 * t), 0.0)

    return sound


def made(path: Path, seconds: float, picture: Callable[[float], np.ndarray] = still, **more: object) -> Path:
    plain = write(path, seconds, **{"size": SIZE, "picture": picture, "sound": hum, **more})  # type: ignore[arg-type]
    return remuxed(plain, path.with_name(f"{path.stem}_late.mkv"), bytes)


def remuxed(path: Path, to: Path, change: Callable[[av.Packet], bytes | None], start_s: float = START_S) -> Path:
    """The recording on a clock that starts at ``start_s``, its packets changed; None drops one."""
    with av.open(str(path)) as source, av.open(str(to), "w") as out:
        copies = {s.index: out.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            data = change(packet) if packet.dts is not None else None
            if data is None:
                continue
            copy, shift = av.Packet(data), round(start_s / packet.time_base)
            copy.pts, copy.dts, copy.time_base = packet.pts + shift, packet.dts + shift, packet.time_base
            copy.is_keyframe = packet.is_keyframe
            copy.stream = copies[packet.stream.index]
            out.mux(copy)
    return to


@dataclass(frozen=True)
class Packet:
    """A picture's packet as far as it is looked at before it is decoded."""

    number: int
    is_keyframe: bool
    size: int


class Played:
    """All items of a file, pictures copied."""

    def __init__(self, path: Path, demand: PictureDemand | None, on_item: Callable[[MediaItem], None] | None = None):
        self.metrics = Metrics()
        options = SourceOptions(demand=demand)
        file = FileSourceConfig(type="file", path=path.absolute(), pace="fast")
        source = open_source("cam", file, GEOMETRY, VirtualClock(), self.metrics, Path(), options)
        self.items: list[MediaItem] = []
        self.frames: dict[int, np.ndarray] = {}
        self.late: dict[int, int] = {}
        for item in source.items():
            self.items.append(item)
            if isinstance(item, Frame):
                self.frames[item.pts_ns] = item.image.copy()
                if item.ready_ns is not None:
                    self.late[item.pts_ns] = item.ready_ns - item.arrival_ns
            if on_item is not None:
                on_item(item)

    @property
    def slots(self) -> list[int]:
        """The pts of all pictures at the model's rate, decoded or not."""
        found: list[int] = []
        for item in self.items:
            if isinstance(item, Frame):
                found.append(item.pts_ns)
            if isinstance(item, SkippedPictures):
                found += [pts_ns for pts_ns, _ in item.stand_ins]
        return found

    @property
    def pictures(self) -> int:
        return sum(
            item.count if isinstance(item, SkippedPictures) else isinstance(item, LumaSample) for item in self.items
        )

    def wakes(self) -> dict[str, int]:
        samples = (s for family in self.metrics.registry.collect() for s in family.samples)
        return {s.labels["reason"]: int(s.value) for s in samples if s.name == "edge_wakes_total" and s.value}


def both(path: Path) -> tuple[Played, Played]:
    return Played(path, None), Played(path, PictureDemand())


def within(pts_ns: Iterable[int], begin_s: float, end_s: float) -> list[int]:
    """Those between two moments of the recording."""
    return [t for t in pts_ns if begin_s * NS_PER_S <= t - START_S * NS_PER_S < end_s * NS_PER_S]


def test_a_still_camera_decodes_its_key_pictures_alone(tmp_path: Path) -> None:
    every, some = both(made(tmp_path / "still.mp4", 20))
    assert some.slots == every.slots
    assert some.pictures == every.pictures
    assert len(within(some.frames, QUIET_S, 18)) == 4
    assert len(within(every.frames, QUIET_S, 18)) == 32


@pytest.mark.parametrize("begin_s", [10.1, 11.3, 12.0])
@pytest.mark.parametrize("last_s", [0.3, 3.0])
def test_what_happens_is_decoded_after_the_fact(tmp_path: Path, begin_s: float, last_s: float) -> None:
    """Whatever the phase of the group of pictures: the very pictures that decoding everything gives."""
    path = made(tmp_path / "passes.mp4", 24, passes(begin_s, begin_s + last_s))
    every, some = both(path)
    assert some.slots == every.slots
    shown = within(every.frames, begin_s, begin_s + last_s)
    assert shown
    assert all(np.array_equal(some.frames[t], every.frames[t]) for t in shown if t in some.frames)
    assert set(shown) <= set(some.frames)
    assert all(0 <= late_ns <= 2.5 * NS_PER_S for late_ns in some.late.values())
    assert {"packet_size", "picture"} & set(some.wakes())


def test_a_bang_wakes_the_picture(tmp_path: Path) -> None:
    played = Played(made(tmp_path / "bang.mp4", 20, sound=bang_at(13.2)), PictureDemand())
    assert played.wakes().get("sound") == 1
    assert len(within(played.frames, 12, 14)) >= 6
    woken = next(i for i, item in enumerate(played.items) if isinstance(item, Frame) and item.ready_ns is not None)
    heard = [item for item in played.items[:woken] if isinstance(item, AudioChunk)][-1]
    assert abs(heard.pts_ns - (START_S + 13.2) * NS_PER_S) < NS_PER_S


@pytest.mark.parametrize("reason", [WakeReason.DOUBT, WakeReason.EVENT, WakeReason.RULE, WakeReason.PAGE,
                                    WakeReason.CAMERA])  # fmt: skip
def test_requests_wake_it_and_keep_it_awake(tmp_path: Path, reason: WakeReason) -> None:
    demand = PictureDemand()

    def ask(item: MediaItem) -> None:
        if isinstance(item, Frame) and item.pts_ns == (START_S + 12) * NS_PER_S:
            demand.want(reason, round(15.0 * NS_PER_S))

    played = Played(made(tmp_path / "asked.mp4", 30), demand, ask)
    assert played.wakes() == {reason.value: 1, "break": 1}
    assert len(within(played.frames, 12, 20)) == 32
    assert len(within(played.frames, 20, 28)) == 4


def test_it_sleeps_again_four_seconds_after_the_last_change(tmp_path: Path) -> None:
    played = Played(made(tmp_path / "again.mp4", 30, passes(10.5, 12.5)), PictureDemand())
    assert len(within(played.frames, 10, 16)) == 24
    assert len(within(played.frames, 20, 28)) == 4


def encode(path: Path, seconds: float, picture: Callable[[float], np.ndarray], codec: str, options: dict[str, str],
           pixels: str = "yuv420p") -> Path:  # fmt: skip
    """Pictures alone, with any encoder's options."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=15, options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, pixels
        for k in range(round(seconds * 15)):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture(k / 15), format="rgb24")))
        out.mux(stream.encode(None))
    return remuxed(path, path.with_name(f"{path.stem}_late.mkv"), bytes)


def test_pictures_that_depend_on_later_ones(tmp_path: Path) -> None:
    """B-frames: the decoder holds pictures back, and a key picture alone must come out all the same."""
    options = {"g": "30", "bf": "3", "preset": "veryfast"}
    every, some = both(encode(tmp_path / "b.mp4", 24, passes(12.6, 14.0), "libx264", options))
    assert some.slots == every.slots
    assert len(within(some.frames, 8, 12)) < len(within(every.frames, 8, 12))
    shown = within(every.frames, 12.6, 14.0)
    assert all(np.array_equal(some.frames[t], every.frames[t]) for t in shown)


@pytest.mark.parametrize(
    ("codec", "options", "reason"),
    [
        ("libx264", {"g": "60", "bf": "0", "preset": "ultrafast"}, WakeReason.KEYS_APART),
        ("mjpeg", {}, WakeReason.ALL_KEYS),
    ],
)
def test_streams_of_which_everything_is_decoded(
    tmp_path: Path, codec: str, options: dict[str, str], reason: WakeReason
) -> None:
    demand = PictureDemand()
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = encode(tmp_path / "all.mkv", 20, still, codec, options, pixels)
    statuses = []
    played = Played(path, demand, lambda _item: statuses.append(demand.status))
    assert not any(isinstance(item, SkippedPictures) for item in played.items)
    assert all(status.state is DecodeState.AWAKE for status in statuses)
    assert statuses[-20].reason is reason
    assert reason.text


def test_other_codecs_sleep_as_well(tmp_path: Path) -> None:
    options = {"g": "30", "preset": "ultrafast", "x265-params": "bframes=0:log-level=none:keyint=30"}
    every, some = both(encode(tmp_path / "hevc.mp4", 20, still, "libx265", options))
    assert some.slots == every.slots
    assert len(some.frames) < len(every.frames) / 2


def spoiled(path: Path, begin_s: float, end_s: float, change: Callable[[bytes], bytes | None], *, keys: bool) -> Path:
    """The recording with its pictures' packets changed between two times; None drops a packet."""

    def changed(packet: av.Packet) -> bytes | None:
        at_s = float(packet.pts * packet.time_base) - START_S
        is_one = packet.stream.type == "video" and begin_s <= at_s < end_s and packet.is_keyframe == keys
        return change(bytes(packet)) if is_one else bytes(packet)

    return remuxed(path, path.with_name("spoiled.mkv"), changed, 0)


def test_a_key_picture_that_cannot_be_decoded_wakes_it(tmp_path: Path) -> None:
    path = spoiled(made(tmp_path / "good.mkv", 24), 13.9, 14.1, lambda data: b"\0\0\0\1\x65" + bytes(64), keys=True)
    demand = PictureDemand()
    played = Played(path, demand)
    assert played.wakes().get("damaged") == 1
    assert len(within(played.frames, 20, 24)) < 16  # and it sleeps again


def test_a_key_picture_that_never_comes_wakes_it(tmp_path: Path) -> None:
    path = spoiled(made(tmp_path / "good.mkv", 24), 13.9, 14.1, lambda _data: None, keys=True)
    every, some = both(path)
    assert some.wakes().get("key_late") == 1
    assert some.slots == every.slots


def test_lost_packets_while_asleep_break_nothing(tmp_path: Path) -> None:
    path = spoiled(made(tmp_path / "good.mkv", 24), 12.2, 12.5, lambda _data: None, keys=False)
    played = Played(path, PictureDemand())
    assert not any(isinstance(item, Gap) for item in played.items)
    assert len(within(played.slots, 14, 22)) == 32


def test_a_clock_that_jumps_while_asleep_begins_an_epoch(tmp_path: Path) -> None:
    times = [k / 15 + (7.0 if k >= 180 else 0.0) for k in range(330)]
    played = Played(made(tmp_path / "jump.mp4", 30, times=times, rate=None), PictureDemand())
    assert sum(isinstance(item, Gap) for item in played.items) == 1
    gap = next(i for i, item in enumerate(played.items) if isinstance(item, Gap))
    before = [item.pts_ns for item in played.items[:gap] if isinstance(item, Frame)]
    assert max(before) >= (START_S + 11.7) * NS_PER_S  # what was kept came before the break


def test_a_truncated_recording_gives_what_was_kept(tmp_path: Path) -> None:
    path = made(tmp_path / "whole.ts", 20)
    cut = tmp_path / "cut.ts"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size * 4 // 5])
    every, some = both(cut)
    assert some.slots == every.slots


def test_too_many_bytes_wake_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = partial(OnDemandDecoder, limits=WakeLimits(most_bytes=200))
    path = made(tmp_path / "still.mp4", 16)
    every = Played(path, None)
    monkeypatch.setattr("edge.capture.decode.OnDemandDecoder", small)
    some = Played(path, PictureDemand())
    assert some.wakes().get("overflow", 0) >= 1
    assert some.slots == every.slots


def test_joined_in_the_middle_of_a_group(tmp_path: Path) -> None:
    """The first key picture comes after a second of pictures that cannot be decoded."""
    path = made(tmp_path / "still.mp4", 24)
    first = next(iter(within([(START_S + 1) * NS_PER_S], 0, 2)))

    def later(packet: av.Packet) -> bytes | None:
        return bytes(packet) if packet.pts * packet.time_base * NS_PER_S >= first else None

    every, some = both(remuxed(path, tmp_path / "joined.mkv", later, 0))
    assert some.slots == every.slots
    assert len(within(some.frames, QUIET_S, 20)) == 5


def test_a_stream_that_changes_size_while_asleep_goes_on(tmp_path: Path) -> None:
    parts = []
    for n, size in enumerate([SIZE, (640, 384)]):
        scale = size[0] // SIZE[0]
        picture = partial(lambda scale, t: np.kron(still(t), np.ones((scale, scale, 1), np.uint8)), scale)
        plain = write(tmp_path / f"{n}.mp4", 12, size=size, picture=picture, rate=None)
        part = tmp_path / f"{n}.ts"
        ffmpeg("-i", plain, "-c", "copy", "-output_ts_offset", START_S + 12 * n, "-muxdelay", 0, "-muxpreload", 0, part)
        parts.append(part)
    whole = tmp_path / "whole.ts"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    every, some = both(whole)
    assert some.slots == every.slots
    assert some.slots[-1] - some.slots[0] > 23 * NS_PER_S
    assert len(some.frames) < len(every.frames)


def test_packets_out_of_order_while_asleep_break_nothing(tmp_path: Path) -> None:
    """What two packets in the middle of a kept group hold has changed places."""
    path = made(tmp_path / "passes.mp4", 24, passes(12.2, 12.9))
    with av.open(str(path)) as source:
        held = [bytes(packet) for packet in source.demux(video=0) if packet.dts is not None]
    held[190], held[191] = held[191], held[190]
    count = iter(held)

    def swapped(packet: av.Packet) -> bytes:
        return next(count) if packet.stream.type == "video" else bytes(packet)

    every, some = both(remuxed(path, tmp_path / "swapped.mkv", swapped, 0))
    assert not any(isinstance(item, Gap) for item in some.items)
    assert some.slots == every.slots
    assert within(some.frames, 12.5, 13)  # it woke


def test_a_slow_camera_is_not_broken(tmp_path: Path) -> None:
    """Pictures that lie further apart than a clock may jump otherwise."""
    times = [k * 0.6 for k in range(40)]
    path = write(tmp_path / "slow.mp4", 24, size=SIZE, picture=still, rate=None, times=times, key_every=3)
    played = Played(path, PictureDemand())
    assert not any(isinstance(item, Gap) for item in played.items)
    assert set(played.wakes()) <= {"break"}
    assert played.wakes().get("break", 0) <= 1  # the end


def test_looked_at_less_often_under_load(tmp_path: Path) -> None:
    demand = PictureDemand()
    demand.key_stride = 4
    path = made(tmp_path / "still.mp4", 40)
    every, some = Played(path, None), Played(path, demand)
    assert some.slots == every.slots
    assert len(within(some.frames, QUIET_S, 34)) == 3


def limited(begin_s: float, end_s: float, demand: PictureDemand) -> Callable[[MediaItem], None]:
    """Limits the camera between two moments of the recording."""

    def limit(item: MediaItem) -> None:
        if isinstance(item, AudioChunk | LumaSample):
            demand.is_limited = begin_s <= item.pts_ns / NS_PER_S - START_S < end_s

    return limit


def test_limited_it_decodes_key_pictures_alone_though_something_moves(tmp_path: Path) -> None:
    demand = PictureDemand()
    path = made(tmp_path / "moves.mp4", 24, passes(0, 24))
    every, some = Played(path, None), Played(path, demand, limited(8.5, 16.5, demand))
    assert some.slots == every.slots, "the last picture stands for those that are left out"
    assert some.pictures == every.pictures
    assert set(within(some.frames, 10, 17.5)) == {(START_S + at_s) * NS_PER_S for at_s in (10, 12, 14, 16)}
    for begin_s, end_s in ((0, 8.4), (10, 10.1), (12, 12.1), (14, 14.1), (16, 16.1), (18, 23.5)):
        shown = within(every.frames, begin_s, end_s)
        assert within(some.frames, begin_s, end_s) == shown
        assert all(np.array_equal(some.frames[t], every.frames[t]) for t in shown)
    left_out = some.metrics.registry.get_sample_value("edge_drops_total", {"source": "cam", "place": "limited"})
    assert left_out == sum(item.count for item in some.items if isinstance(item, SkippedPictures))


def test_a_camera_that_lags_goes_on_with_its_next_key_picture_until_it_has_caught_up() -> None:
    demand, metrics, decoded = PictureDemand(), Metrics(), list[int]()
    normaliser = MediaNormaliser("cam", GEOMETRY, VirtualClock(), metrics)

    def decode(packet: Packet | None) -> list[Packet]:
        decoded.extend([] if packet is None else [packet.number])
        return []  # nothing that a picture could be made of

    parts: Any = (decode, lambda frame: iter([frame]), lambda _frame: 0)
    decoder = OnDemandDecoder("cam", GEOMETRY, demand, normaliser, metrics, *parts)
    decoder.open()
    lag, states = CaptureLag(demand), list[DecodeState]()
    for k in range(300):
        arrival_ns = START_S * NS_PER_S + k * NS_PER_S // 15
        is_late = 50 <= k < 135
        lag.note(3 * NS_PER_S // 2 if is_late else 0, arrival_ns)
        assert demand.lag_ns == (3 * NS_PER_S // 2 if is_late else 0)
        list(decoder.add(KeptPacket(Packet(k, k % 30 == 0, 100), arrival_ns, arrival_ns)))
        states.append(demand.status.state)
    assert [k for k in range(300) if states[k] is DecodeState.LIMITED] == list(range(65, 150))
    assert sorted(set(decoded)) == [*range(65), 90, 120, *range(150, 300)]


def test_a_key_picture_beside_the_models_grid_is_shown_all_the_same(tmp_path: Path) -> None:
    """The picture that the grid chooses is not decoded; the key picture before it shows what is new."""
    demand = PictureDemand()
    demand.is_limited = True
    path = made(tmp_path / "moves.mp4", 24, passes(0, 24), key_every=28)
    every, some = Played(path, None), Played(path, demand)
    assert some.slots == every.slots
    keys = [START_S * NS_PER_S + round(k * 28 * NS_PER_S / 15) for k in range(12)]
    shown = [[t for t in some.frames if 500 * (t - key) > -NS_PER_S and 3 * (t - key) < NS_PER_S] for key in keys]
    assert all(len(pts) == 1 for pts in shown)
    assert sum(np.array_equal(some.frames[t], every.frames[t]) for (t,) in shown) < len(keys)


def test_every_decoded_picture_is_counted_at_once(tmp_path: Path) -> None:
    """Wherever the key pictures lie between those that the model's grid chooses."""
    decoded, behind = 0, list[int]()
    played = Played.__new__(Played)

    def note(item: MediaItem) -> None:
        nonlocal decoded
        decoded += isinstance(item, LumaSample)
        if isinstance(item, SkippedPictures) and item.count:
            counted = played.metrics.registry.get_sample_value("edge_frames_total", {"source": "cam"})
            behind.append(decoded - int(counted or 0))

    Played.__init__(played, made(tmp_path / "still.mp4", 40, key_every=28), PictureDemand(), note)
    assert len(behind) > 10
    assert set(behind) == {0}


def test_what_is_left_out_is_told_of_soon(tmp_path: Path) -> None:
    """Windows do not wait for the next key picture."""
    demand = PictureDemand()
    demand.is_limited = True
    played = Played(made(tmp_path / "moves.mp4", 16, passes(0, 16)), demand)
    told = [item for item in played.items if isinstance(item, SkippedPictures) and item.count]
    assert len(told) > 40
    assert max(item.count for item in told) <= 5


def test_limited_it_falls_quiet_and_wakes_without_catching_up(tmp_path: Path) -> None:
    demand = PictureDemand()
    demand.is_limited = True
    states: list[DecodeState] = []
    path = made(tmp_path / "passes.mp4", 30, passes(14.5, 17.5))
    every, some = Played(path, None), Played(path, demand, lambda _item: states.append(demand.status.state))
    order = [state for k, state in enumerate(states) if not k or states[k - 1] is not state]
    assert order[:4] == [DecodeState.LIMITED, DecodeState.QUIET, DecodeState.LIMITED, DecodeState.QUIET]
    assert DecodeState.AWAKE not in order
    assert some.slots == every.slots
    assert len(some.frames) <= 16
    assert not some.late


def test_limited_a_request_decodes_nothing_more(tmp_path: Path) -> None:
    demand = PictureDemand()
    demand.is_limited = True
    demand.want(WakeReason.EVENT, 1 << 62)
    played = Played(made(tmp_path / "still.mp4", 24), demand)
    assert len(played.frames) <= 13
    assert demand.hold_ns(0) == PictureDemand.LIMITED_HOLD_NS


def test_limited_where_all_are_key_pictures_one_a_second_is_decoded(tmp_path: Path) -> None:
    demand = PictureDemand()
    demand.is_limited = True
    path = encode(tmp_path / "all.mkv", 20, passes(0, 20), "mjpeg", {}, "yuvj420p")
    every, some = Played(path, None), Played(path, demand)
    assert some.slots == every.slots
    assert 18 <= len(some.frames) <= 23


def test_rare_key_pictures_limit_nothing_while_packets_come_in_time(tmp_path: Path) -> None:
    demand = PictureDemand()
    options = {"g": "60", "bf": "0", "preset": "ultrafast"}
    path = encode(tmp_path / "rare.mkv", 20, passes(0, 20), "libx264", options)
    every, some = Played(path, None), Played(path, demand, limited(10, 20, demand))
    assert some.frames.keys() == every.frames.keys()


@pytest.mark.parametrize("keys", [True, False])
def test_limited_with_broken_packets_it_goes_on(tmp_path: Path, keys: bool) -> None:
    demand = PictureDemand()
    demand.is_limited = True
    path = spoiled(
        made(tmp_path / "good.mkv", 24, passes(0, 24)), 9.9, 12.1, lambda data: data[:5] + bytes(64), keys=keys
    )
    played = Played(path, demand)
    assert not any(isinstance(item, Gap) for item in played.items)
    assert within(played.frames, 13.9, 20)
    assert len(within(played.slots, 8, 20)) == 48


def test_no_longer_limited_where_no_key_picture_comes_it_decodes_what_there_is(tmp_path: Path) -> None:
    demand = PictureDemand()
    path = spoiled(made(tmp_path / "good.mkv", 30, passes(0, 30)), 11.9, 20.1, lambda _data: None, keys=True)
    states: list[DecodeState] = []

    def note(item: MediaItem) -> None:
        limited(8.5, 11.0, demand)(item)
        states.append(demand.status.state)

    played = Played(path, demand, note)
    assert DecodeState.LIMITED in states
    assert states[-1] is not DecodeState.LIMITED
    assert len(within(played.frames, 22, 28)) == 24


def test_a_clock_that_jumps_while_limited_begins_an_epoch(tmp_path: Path) -> None:
    demand = PictureDemand()
    demand.is_limited = True
    times = [k / 15 + (7.0 if k >= 170 else 0.0) for k in range(330)]
    path = made(tmp_path / "jump.mp4", 30, passes(0, 30), times=times, rate=None)
    played = Played(path, demand)
    assert sum(isinstance(item, Gap) for item in played.items) == 1
    assert within(played.frames, 20, 26)


def test_the_same_recording_gives_the_same_items(tmp_path: Path) -> None:
    path = made(tmp_path / "passes.mp4", 24, passes(10.5, 12.5))
    one, other = Played(path, PictureDemand()), Played(path, PictureDemand())
    assert [type(item) for item in one.items] == [type(item) for item in other.items]
    assert one.slots == other.slots
    assert all(np.array_equal(one.frames[t], other.frames[t]) for t in one.frames)
