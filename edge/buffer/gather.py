"""A due window's media, copied from the rings into one row of the runtime's input buffers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.buffer.microphone import MicrophoneBuffer
from edge.buffer.rings import FrameRing
from edge.buffer.sound_track import AudioTrack
from edge.buffer.timeline import DueWindow
from edge.engine.manifest import Geometry
from edge.media_time import MediaTime
from edge.types import F32, Batch, Rect, Window

_WHOLE: Rect = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class WindowAssembler:
    """Where one camera's windows come from; a ``microphone`` stands in for the camera's own ``sound``.

    ``sensors`` fills the readings known at a local time and says which channels there are.
    """

    camera: str
    geometry: Geometry
    frames: FrameRing
    sound: AudioTrack
    microphone: MicrophoneBuffer | None
    sensors: Callable[[int, F32, F32], tuple[bool, ...]]

    def assemble(self, due: DueWindow, batch: Batch, row: int, ready_ns: int) -> Window:
        """Fill ``row``; what is missing is masked (pictures) or zero with its share stated (sound).

        ``ready_ns`` is when the last of it came.
        """
        g = self.geometry
        last_ns, n = due.end_ns + g.slack_ns, g.video.frames
        spans = [(last_ns - (n - i) * g.frame_ns, last_ns - (n - 1 - i) * g.frame_ns) for i in range(n)]
        video_ok, newest = self.frames.gather(due.epoch, spans, batch.frames[row])
        media_end = MediaTime(due.epoch, due.end_ns, due.seq * g.hop_ns)
        if self.microphone is not None:
            audio_ok = self.microphone.read(due.t_end_ns, batch.audio[row])
        else:
            audio_ok = self.sound.read(due.epoch, due.end_ns, batch.audio[row])
        batch.video_ok[row] = video_ok
        batch.audio_ok[row] = audio_ok
        return Window(
            camera=self.camera,
            seq=due.seq,
            t_end_ns=due.t_end_ns,
            media_end=media_end,
            row=row,
            video_ok=video_ok,
            audio_ok=audio_ok,
            sensor_ok=self.sensors(due.t_end_ns, batch.sensors[row], batch.sensor_ok[row]),
            content=_WHOLE if newest is None else newest.content,
            ready_ns=ready_ns,
            picture=None if newest is None else media_end + (newest.pts_ns - due.end_ns),
        )
