"""The floor that the daemon's cost is compared with: decode at the recording's own pace, and call the model once a hop.

``python -m edge.bench.floor``. One thread a camera reads and decodes picture and sound; one thread runs the model's
runtime, chosen as the daemon chooses it, on ready inputs, a row a camera, once a hop. Nothing is scaled, resampled,
gathered, detected, kept or sent, unless ``--prepare`` is given: then pictures are also scaled to the model's size at
its rate, and sound resampled. Pictures and sound are encoded anew in each row, as where everything moves.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from edge import sd_notify
from edge.bench.processes import now_s, pause
from edge.engine.manifest import DEFAULT_MODEL, ModelFolder, find_folder, load_folder


def main() -> None:
    """Run until killed."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(prog="edge.bench.floor", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--source", action="append", required=True, help="file or rtsp:// address, one a camera")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--decode-only", action="store_true")
    args = parser.parse_args()
    folder = load_folder(find_folder(args.model))
    rows = len(args.source)
    runtime = None if args.decode_only else open_runtime_with_inputs(folder, rows)
    tally = FloorCounters()
    for source in args.source:
        target = decode_live if source.startswith("rtsp:") else decode_recording
        work = (lambda: MediaPreparation(folder)) if args.prepare else (lambda: None)
        threading.Thread(target=target, args=(source, tally, work), daemon=True).start()
    sd_notify.ready("")
    hop_s = folder.manifest.geometry.hop_s
    threading.Thread(target=tally.serve, daemon=True).start()
    due_s, began_s = now_s(), time.thread_time()
    while True:
        if runtime is not None:
            runtime.run(rows)
        tally.calls_s = time.thread_time() - began_s
        tally.hops += 1
        due_s += hop_s
        pause(due_s - now_s())


@dataclass
class FloorCounters:
    """What was done: on a box that is too busy, less than was due."""

    hops: int = 0
    pictures: int = 0
    calls_s: float = 0.0

    def serve(self) -> None:
        """One JSON object for each line of standard input."""
        for _ in sys.stdin:
            print(json.dumps({**asdict(self), "cpu_s": time.process_time()}), flush=True)


def open_runtime_with_inputs(folder: ModelFolder, rows: int) -> Any:
    """The runtime that the daemon would choose, its first ``rows`` rows filled with golden inputs."""
    from edge.config.models import ModelConfig as Settings
    from edge.engine.select import open_runtime

    runtime = open_runtime(folder, Settings(), rows)
    fill_with_golden(runtime.inputs, folder)
    return runtime


def fill_with_golden(inputs: Any, folder: ModelFolder) -> None:
    """Golden inputs into every row of a runtime's buffers."""
    from edge.engine.selftest import load_golden

    golden, _ = load_golden(folder.golden)
    for name, buffer in inputs.items():
        buffer[...] = golden[name][:1]


def decode_recording(path: str, tally: FloorCounters, prepare: Callable[[], MediaPreparation | None]) -> None:
    """Decode a recording over and over at its own pace."""
    import av

    while True:
        began_s = now_s()
        work = prepare()
        with av.open(path) as container:
            streams = [*container.streams.video[:1], *container.streams.audio[:1]]
            for stream in container.streams.video[:1]:
                stream.thread_type = "NONE"
            for packet in container.demux(*streams):
                if packet.dts is not None and packet.time_base is not None:
                    pause(began_s + float(packet.dts * packet.time_base) - now_s())
                decode(packet, tally, work)


def decode_live(url: str, tally: FloorCounters, prepare: Callable[[], MediaPreparation | None]) -> None:
    """Decode a network camera; it paces itself."""
    import av

    work = prepare()
    with av.open(url, options={"rtsp_transport": "tcp"}, timeout=(10.0, 5.0)) as container:
        for stream in container.streams.video[:1]:
            stream.thread_type = "NONE"
        for packet in container.demux():
            decode(packet, tally, work)


def decode(packet: Any, tally: FloorCounters, work: MediaPreparation | None) -> None:
    """Decode a packet and, with ``work``, make of it what the model takes."""
    is_picture = packet.stream.type == "video"
    for frame in packet.decode():
        tally.pictures += is_picture
        if work is not None:
            (work.picture if is_picture else work.sound)(frame)


class MediaPreparation:
    """Scaling at the model's rate and resampling, as plain library calls."""

    def __init__(self, folder: ModelFolder) -> None:
        from av.video.reformatter import VideoReformatter

        self._video, self._audio = folder.manifest.geometry.video, folder.manifest.geometry.audio
        self._scaler: Any = VideoReformatter()
        self._resampler: Any = None
        self._next_s = 0.0

    def picture(self, frame: Any) -> None:
        """Scale a picture when the model's grid asks for one."""
        if frame.time < self._next_s:
            return
        self._next_s = max(self._next_s + 1 / self._video.fps, frame.time)
        small = self._scaler.reformat(frame, self._video.width, self._video.height, "rgb24", interpolation="AREA")
        small.to_ndarray()

    def sound(self, frame: Any) -> None:
        """Resample sound to the model's rate."""
        import numpy as np
        import soxr

        if self._resampler is None:
            self._resampler = soxr.ResampleStream(frame.sample_rate, self._audio.rate_hz, 1, quality="HQ")
        self._resampler.resample_chunk(np.ascontiguousarray(frame.to_ndarray().mean(axis=0, dtype=np.float32)))


if __name__ == "__main__":
    main()
