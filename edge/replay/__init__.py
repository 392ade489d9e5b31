"""`edge replay`: the daemon's own pipeline over recordings, without pacing and with the same result each time."""

from edge.replay.command import run
from edge.replay.core import Moment, Replay, Replayed, camera_name

__all__ = ["Moment", "Replay", "Replayed", "camera_name", "run"]
