"""Decodes a camera's pictures on demand: key pictures alone while nothing happens, all of them when something does.

Packets since the last key picture are kept. What wakes the camera has them decoded after the fact, so that its windows
come late by at most a group of pictures and none is lost; when the next key picture shows nothing new, they are told
of as pictures like the one before (`SkippedPictures`). While the box is behind, key pictures alone are decoded although
something happens. Runs on the capture thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from edge.capture.normaliser import MediaNormaliser
from edge.capture.wake_policy import DEFAULT_WAKE_LIMITS, PacketSizes, PictureReference, WakeLimits, WakePolicy
from edge.demand import DecodeState, PictureDemand, WakeReason
from edge.engine.manifest import Geometry
from edge.metrics import Metrics
from edge.signal_change import SoundOnset
from edge.types import NS_PER_S, U8, AudioChunk, Frame, MediaItem, Stream, nanoseconds


@dataclass(frozen=True, slots=True)
class KeptPacket:
    """A picture's packet that is not decoded yet: its ``av.Packet``, pts on the source's axis, and arrival."""

    packet: Any
    pts_ns: int
    arrival_ns: int


class OnDemandDecoder:
    """Decides, keeps and decodes; one for the life of a source.

    ``decode`` turns a packet into pictures, ``None`` into those that the decoder still holds, after which it starts
    over; it counts and swallows what cannot be decoded. ``emit`` turns one picture into items; ``pts_of`` is its time.
    """

    def __init__(
        self,
        name: str,
        geometry: Geometry,
        demand: PictureDemand,
        normaliser: MediaNormaliser,
        metrics: Metrics,
        decode: Callable[[Any], list[Any]],
        emit: Callable[[Any], Iterator[MediaItem]],
        pts_of: Callable[[Any], int],
        limits: WakeLimits = DEFAULT_WAKE_LIMITS,
    ) -> None:
        self._demand, self._normaliser = demand, normaliser
        self._decode, self._emit, self._pts_of, self._wake_limits = decode, emit, pts_of, limits
        self._policy, self._sizes = WakePolicy(limits), PacketSizes(limits)
        self._reference = PictureReference(geometry.video.height, geometry.video.width)
        self._onset = SoundOnset(geometry.audio.rate_hz, round(geometry.audio.rate_hz * geometry.hop_s))
        self._skipped = metrics.skipped_pictures.labels(name)
        self._wakes = {reason: metrics.wakes.labels(name, reason.value) for reason in WakeReason}
        self._awake = metrics.awake.labels(name)
        self._kept: list[KeptPacket] = []
        self._kept_bytes = self._keys = self._changed_ns = 0
        self._limited_ns: int | None = None
        self._last_ns: int | None = None
        self._awaits_key, self._frame_ns = True, geometry.frame_ns
        self._publish()

    @property
    def _is_quiet(self) -> bool:
        """Whether packets are kept and not decoded."""
        return self._policy.state is DecodeState.QUIET

    @property
    def is_sparing(self) -> bool:
        """Whether key pictures alone are decoded, for whatever reason."""
        state = self._policy.state
        return state is DecodeState.QUIET or state is DecodeState.LIMITED

    @property
    def _must_limit(self) -> bool:
        """Whether key pictures alone are to be decoded, whatever happens. Rare ones only where packets lag."""
        return self._demand.lags or (self._demand.is_limited and self._policy.unfit is not WakeReason.KEYS_APART)

    def open(self) -> None:
        """Begin a connection."""
        self._drop_kept()
        self._policy.restart(WakeReason.START)
        self._reference.forget()
        self._last_ns, self._awaits_key = None, True
        self._publish()

    def add(self, kept: KeptPacket) -> Iterator[MediaItem]:
        """The next packet with a picture."""
        packet, policy = kept.packet, self._policy
        is_key = bool(packet.is_keyframe)
        self._demand.packet_ns = kept.arrival_ns
        policy.add_packet(kept.pts_ns, is_key=is_key)
        if is_key:
            self._publish()
        has_jumped = not is_key and self._sizes.jump(kept.pts_ns, packet.size)
        if policy.state is DecodeState.LIMITED:
            if self._last_ns is not None and self._normaliser.is_break(kept.pts_ns - self._last_ns):
                yield from self._leave_out(self._kept)
            yield from self._add_limited(kept, is_key=is_key)
        elif self._is_quiet:
            self._demand.settle()
            reason = self._demand.wanted(kept.arrival_ns) or (WakeReason.PACKET_SIZE if has_jumped else None)
            yield from self._add_quiet(kept, reason, is_key=is_key)
        elif is_key and self._may_sleep(kept.arrival_ns):
            yield from self._fall_quiet(kept)
        else:
            if self._must_limit:
                yield from self._limit(kept.arrival_ns)
            yield from self._go_on(kept, is_key=is_key)
        self._last_ns = kept.pts_ns

    def _may_sleep(self, now_ns: int) -> bool:
        """Whether neither picture nor sound nor anybody's demand speaks against it."""
        if not self._policy.may_sleep(now_ns):
            return False
        self._demand.settle()
        reason, until_ns = self._demand.latest()
        self._policy.keep_awake(reason, min(until_ns, now_ns))
        return self._policy.may_sleep(now_ns)

    def add_sound(self, chunk: AudioChunk) -> Iterator[MediaItem]:
        """Listen to a chunk of the source's own sound; what its onset wakes. Nothing does while packets lag."""
        if not self._demand.lags and self._onset.rises(chunk.samples):
            self._policy.keep_awake(WakeReason.SOUND, chunk.arrival_ns)
            yield from self.wake(WakeReason.SOUND)

    def look(self, now_ns: int) -> Iterator[MediaItem]:
        """Whether somebody asked for pictures meanwhile; what that wakes."""
        reason = self._demand.wanted(now_ns) if self._is_quiet else None
        if reason is not None:
            self._policy.keep_awake(reason, now_ns)
            yield from self.wake(reason)

    def wake(self, reason: WakeReason) -> Iterator[MediaItem]:
        """Decode what is kept, after the fact, and everything from now on; nothing when the camera is awake. While the
        box is behind, what is kept is left out."""
        if not self._is_quiet:
            return
        self._wakes[reason].inc()
        self._policy.reason = reason
        if self._must_limit:
            self._policy.state = DecodeState.LIMITED
            self._publish()
            kept = self._kept[1:]
            self._drop_kept()
            yield from self._leave_out(kept)
            return
        self._policy.state = DecodeState.WAKING
        self._publish()
        kept = self._kept
        self._drop_kept()
        yield from self._catch_up(kept)
        self._policy.state = DecodeState.AWAKE
        self._publish()

    def end(self) -> Iterator[MediaItem]:
        """The connection, the recording or its clock breaks: what is kept, after the fact; then everything anew."""
        if self._policy.state is DecodeState.LIMITED:
            yield from self._leave_out(self._kept)
            return
        yield from self.wake(WakeReason.BREAK)
        if not self.is_sparing:
            self._policy.restart(WakeReason.BREAK)
            self._publish()

    def pass_by(self, packet: Any, pts_ns: int) -> Iterator[MediaItem]:
        """A packet with a picture is left out: tell of what is kept, and go on with the next key picture."""
        self._policy.add_packet(pts_ns, is_key=bool(packet.is_keyframe))
        self._last_ns = pts_ns
        if self._policy.state is DecodeState.LIMITED and self._awaits_key:
            return
        if self._policy.state is DecodeState.AWAKE:
            yield from self._limit(self._normaliser.arrival_ns)
        yield from self.end()
        self._policy.state, self._awaits_key = DecodeState.LIMITED, True
        self._publish()

    def _catch_up(self, kept: list[KeptPacket]) -> Iterator[MediaItem]:
        """The pictures of ``kept`` after its first one, a key picture that was told of."""
        ready_ns = max((one.arrival_ns for one in kept), default=0)
        for one in kept:
            for frame in self._decode(one.packet):
                if self._pts_of(frame) > kept[0].pts_ns:
                    with self._normaliser.late(one.arrival_ns, ready_ns):
                        yield from self._emit_awake(frame, one.arrival_ns)

    def _decode_now(self, kept: KeptPacket) -> Iterator[MediaItem]:
        self._awaits_key = False
        for frame in self._decode(kept.packet):
            yield from self._emit_awake(frame, kept.arrival_ns)

    def _emit_awake(self, frame: Any, arrival_ns: int) -> Iterator[MediaItem]:
        """The items of a picture; one that differs from the reference keeps the camera awake."""
        for item in self._emit(frame):
            if isinstance(item, Frame):
                self._compare(item.image, arrival_ns)
            yield item

    def _emit_key(self, frame: Any) -> Iterator[MediaItem]:
        """The items of a key picture decoded alone, after which no decoded picture is kept."""
        yield from self._emit(frame)
        self._normaliser.release()

    def _compare(self, image: U8, arrival_ns: int) -> None:
        if self._reference.moves(image):
            self._policy.keep_awake(WakeReason.PICTURE, arrival_ns)
            self._changed_ns = arrival_ns
            self._sizes.discard()
        elif arrival_ns - self._changed_ns >= NS_PER_S:
            self._sizes.confirm()

    def _fall_quiet(self, kept: KeptPacket) -> Iterator[MediaItem]:
        """From this key picture on, unless it differs or cannot be decoded."""
        for frame in self._decode(None):
            yield from self._emit_awake(frame, kept.arrival_ns)
        frame = self._decode_key(kept.packet)
        if frame is None or self._reference.settle(self._normaliser.scaled(frame)):
            self._policy.keep_awake(WakeReason.DAMAGED if frame is None else WakeReason.PICTURE, kept.arrival_ns)
            yield from self._go_on(kept, is_key=True)
            return
        self._policy.state = DecodeState.QUIET
        self._publish()
        yield from self._emit_key(frame)
        self._keep(kept)

    def _add_quiet(self, kept: KeptPacket, reason: WakeReason | None, *, is_key: bool) -> Iterator[MediaItem]:
        last = self._kept[-1] if self._kept else None
        if reason is None and last is not None and self._normaliser.is_break(kept.pts_ns - last.pts_ns):
            reason = WakeReason.BREAK
        if reason is None and not is_key:
            if self._kept_bytes + kept.packet.size > self._wake_limits.most_bytes:
                reason = WakeReason.OVERFLOW
            elif self._policy.is_overdue(kept.pts_ns):
                reason = WakeReason.KEY_LATE
        if reason is WakeReason.BREAK:
            yield from self.end()
            yield from self._go_on(kept, is_key=is_key)
        elif reason is not None:
            self._policy.keep_awake(reason, kept.arrival_ns)
            yield from self.wake(reason)
            yield from self._go_on(kept, is_key=is_key)
        elif is_key:
            yield from self._add_key(kept)
        elif self._kept and kept.pts_ns > self._kept[0].pts_ns:  # not a picture before the key picture
            self._keep(kept)

    def _add_key(self, kept: KeptPacket) -> Iterator[MediaItem]:
        """A key picture while quiet: look at it, or take it as one more like the last under load."""
        self._keys += 1
        if self._keys % self._demand.key_stride:
            yield from self._skip(kept.arrival_ns, [*self._kept[1:], kept])
            self._keep(kept)
            return
        frame = self._decode_key(kept.packet)
        reason = WakeReason.DAMAGED if frame is None else None
        if frame is not None and self._reference.key_differs(self._normaliser.scaled(frame)):
            reason = WakeReason.PICTURE
        if reason is not None:
            self._policy.keep_awake(reason, kept.arrival_ns)
            yield from self.wake(reason)
            yield from self._go_on(kept, is_key=True)
            return
        self._sizes.confirm()
        yield from self._skip(kept.arrival_ns, self._kept[1:])
        yield from self._emit_key(frame)
        self._keep(kept)

    def _go_on(self, kept: KeptPacket, *, is_key: bool) -> Iterator[MediaItem]:
        """A packet of a camera that is not quiet."""
        if self._policy.state is DecodeState.LIMITED:
            yield from self._add_limited(kept, is_key=is_key)
        else:
            yield from self._decode_now(kept)

    def _limit(self, arrival_ns: int) -> Iterator[MediaItem]:
        """Decode key pictures alone from here on."""
        for frame in self._decode(None):
            yield from self._emit_awake(frame, arrival_ns)
        self._policy.state = DecodeState.LIMITED
        self._publish()

    def _add_limited(self, kept: KeptPacket, *, is_key: bool) -> Iterator[MediaItem]:
        """A packet while limited. That ends with a key picture, or where one is overdue: others cannot be decoded."""
        if is_key and self._may_sleep(kept.arrival_ns):
            yield from self._leave_out(self._kept)
            yield from self._fall_quiet(kept)
        elif not self._must_limit and (is_key or self._policy.is_overdue(kept.pts_ns)):
            yield from self._leave_out(self._kept)
            self._policy.state, self._limited_ns = DecodeState.AWAKE, None
            self._publish()
            yield from self._decode_now(kept)
        elif is_key and self._is_next_limited(kept.pts_ns):
            yield from self._leave_out(self._kept)
            yield from self._add_limited_key(kept)
        elif self._awaits_key:
            yield from self._normaliser.pass_over(Stream.VIDEO, kept.pts_ns, self._normaliser.step_ns)
            self._demand.left_out_ns = kept.arrival_ns
            self._normaliser.drop("limited")
        else:
            self._keep(kept)
            if kept.pts_ns - self._kept[0].pts_ns >= self._frame_ns:
                yield from self._leave_out(self._kept)

    def _is_next_limited(self, pts_ns: int) -> bool:
        last_ns = self._limited_ns
        return last_ns is None or not 0 <= pts_ns - last_ns < nanoseconds(self._wake_limits.limited_s)

    def _add_limited_key(self, kept: KeptPacket) -> Iterator[MediaItem]:
        frame = self._decode_key(kept.packet)
        if frame is None:
            self._keep(kept)
            return
        self._limited_ns = kept.pts_ns
        self._compare(self._normaliser.scaled(frame), kept.arrival_ns)
        yield from self._emit_key(frame)

    def _leave_out(self, pictures: Sequence[KeptPacket]) -> Iterator[MediaItem]:
        """Tell of ``pictures``, which the box cannot decode in time, as like the one before; they count as drops."""
        if pictures:
            self._normaliser.drop("limited", len(pictures))
            yield from self._skip(pictures[-1].arrival_ns, pictures)

    def _skip(self, ready_ns: int, skipped: Sequence[KeptPacket]) -> Iterator[MediaItem]:
        """Tell of pictures as like the one before; nothing is kept any more."""
        self._drop_kept()
        self._skipped.inc(len(skipped))
        yield from self._normaliser.skip_pictures([(one.pts_ns, one.arrival_ns) for one in skipped], ready_ns)

    def _decode_key(self, packet: Any) -> Any | None:
        """A key picture decoded alone; None when that gives no whole picture. The decoder starts over after it."""
        frames = [*self._decode(packet), *self._decode(None)]
        if not frames or frames[0].is_corrupt:
            return None
        self._awaits_key = False
        return frames[0]

    def _keep(self, kept: KeptPacket) -> None:
        self._kept.append(kept)
        self._kept_bytes += kept.packet.size

    def _drop_kept(self) -> None:
        self._kept, self._kept_bytes = [], 0

    def _publish(self) -> None:
        self._demand.status = self._policy.status
        self._awake.set(float(not self.is_sparing))
