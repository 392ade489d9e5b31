"""`edge replay`: the daemon's own pipeline over recordings, without pacing and with the same result each time."""

from edge.replay.command import run
from edge.replay.replayer import Replay, ReplayStep, ReplaySummary, camera_name

__all__ = ["Replay", "ReplayStep", "ReplaySummary", "camera_name", "run"]
