"""Counters, gauges and histograms of the whole daemon, in Prometheus' terms.

One `Metrics` object is made by the composer (node, replay, test) and handed to the stages; nothing is global.
Names: ``edge_`` prefix, base units, ``_total`` for counters; labels camera, source, label, place, part and reason only.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_FINE_S = (0.001, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5,
           1.0, 2.5, 5.0)  # fmt: skip


Stage = Literal[
    "decode",
    "scale",
    "sound",
    "gather",
    "gate",
    "vision",
    "audio",
    "fusion",
    "model",
    "detect",
    "evidence",
    "publish",
]
"""Stages of the work in the order in which the data flows. ``gate`` decides whether anything changed; ``model`` is a
graph in one piece, and what is around its parts."""
StageTimer = Callable[[Stage], AbstractContextManager[object]]
"""``with timer("decode"):`` accounts what is inside to a stage, without what a stage within it takes."""
_UNTIMED = nullcontext()


def untimed(_stage: Stage) -> AbstractContextManager[object]:
    """The timer of whoever does not ask where the time goes."""
    return _UNTIMED


class Metrics:
    """All metrics, registered in a registry of their own, and ``stage``, which times stages where somebody asks.

    ``latency`` is the class of the histograms of latencies, one that also keeps values for benchmarks.
    """

    def __init__(self, stage: StageTimer = untimed, latency: type[Histogram] = Histogram) -> None:
        self.stage = stage
        self.registry = CollectorRegistry()
        r = self.registry
        self.frames = Counter("edge_frames", "Pictures decoded", ["source"], registry=r)
        self.windows = Counter("edge_windows", "Windows scored", ["camera"], registry=r)
        self.gaps = Counter("edge_gaps", "Breaks of a media clock", ["source", "reason"], registry=r)
        self.drops = Counter("edge_drops", "Things lost, by place", ["source", "place"], registry=r)
        self.reconnects = Counter("edge_reconnects", "Tries to reopen a source", ["source"], registry=r)
        self.decode_s = Histogram(
            "edge_decode_seconds", "Reading, decoding and scaling a picture", ["source"], buckets=_LATENCY_S, registry=r
        )
        self.skipped_pictures = Counter(
            "edge_pictures_skipped", "Pictures not decoded, because nothing changed", ["camera"], registry=r
        )
        self.wakes = Counter(
            "edge_wakes", "Times a quiet camera's pictures were all decoded again", ["camera", "reason"], registry=r
        )
        self.awake = Gauge(
            "edge_camera_awake", "1 while all of a camera's pictures are decoded", ["camera"], registry=r
        )
        self.infer_s = latency("edge_infer_seconds", "One call of the model", buckets=_LATENCY_S, registry=r)
        self.encoded = Counter(
            "edge_encoded", "Windows for which a part of the model was run", ["camera", "part"], registry=r
        )
        self.reused = Counter(
            "edge_reused",
            "Windows for which a part of the model was not run: its input was as before",
            ["camera", "part"],
            registry=r,
        )
        self.publish_s = Histogram(
            "edge_publish_seconds", "Outbox to broker acknowledgement", buckets=_LATENCY_S, registry=r
        )
        self.end_to_end_s = latency(
            "edge_end_to_end_seconds",
            "Arrival of the media that completed a window to broker acknowledgement",
            buckets=_FINE_S,
            registry=r,
        )
        self.added_s = latency(
            "edge_added_seconds", "The same without the model's own time", buckets=_FINE_S, registry=r
        )
        self.wait_s = latency(
            "edge_window_wait_seconds",
            "End of a window to the arrival of the media that completed it",
            buckets=_FINE_S,
            registry=r,
        )
        self.queue_s = latency(
            "edge_queue_seconds",
            "Arrival of the media that completed a window to the model's turn",
            buckets=_FINE_S,
            registry=r,
        )
        self.left_out = Counter(
            "edge_windows_left_out", "Windows of the model's hop left out by a longer one", ["camera"], registry=r
        )
        self.hop_s = Gauge("edge_hop_seconds", "Time between two windows that are looked at", ["camera"], registry=r)
        self.events = Counter("edge_events", "Events begun", ["camera", "label"], registry=r)
        self.held_back = Counter(
            "edge_held_back",
            "Scores at or above their threshold that were over without an event",
            ["camera", "label", "reason"],
            registry=r,
        )
        self.av_offset_s = Gauge("edge_av_offset_seconds", "Measured sound minus picture", ["camera"], registry=r)
        self.source_up = Gauge("edge_source_up", "1 while the source delivers", ["source"], registry=r)
        self.outbox_depth = Gauge("edge_outbox_messages", "Messages waiting for the broker", registry=r)
        self.outbox_age_s = Gauge("edge_outbox_age_seconds", "Age of the oldest waiting message", registry=r)
        self.outbox_held = Gauge(
            "edge_outbox_held_messages", "Messages in memory alone, which the disk has not taken yet", registry=r
        )
        self.broker_up = Gauge("edge_broker_up", "1 while connected to the broker", registry=r)
        self.runtime = Info("edge_runtime", "Model, runtime and versions", registry=r)
