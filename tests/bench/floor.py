"""The floor that the daemon's cost is compared with: decode at the recording's own pace, and call the model once a hop.

One thread a camera reads and decodes picture and sound; one thread runs the graph on ready inputs, a row a camera,
once a hop, with the session options of the daemon. Nothing is scaled, resampled, gathered, detected or sent,
unless ``--prepare`` is given: then pictures are also scaled to the model's size at its rate, and sound resampled.
With ``--throughput`` it runs the graph on ready batches as fast as it goes instead, and prints windows a second.
"""

from __future__ import annotations

import argparse
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnxruntime as ort
import soxr

from edge.engine.manifest import ModelFolder, find_folder, load_folder
from edge.engine.onnx import options


def main() -> None:
    """Run until killed, or for ``--throughput`` seconds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cameras", type=int, default=1)
    parser.add_argument("--source", action="append", default=[], help="file or rtsp:// address, one for all cameras")
    parser.add_argument("--model", default="fused")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--throughput", type=float, metavar="SECONDS")
    args = parser.parse_args()
    folder = load_folder(find_folder(args.model))
    call = ready_call(folder, args.cameras, args.threads)
    if args.throughput:
        print(throughput(call, args.cameras, args.throughput))
        return
    for index in range(args.cameras):
        source = args.source[index % len(args.source)]
        target = watch_live if source.startswith("rtsp:") else play
        threading.Thread(target=target, args=(source, folder, args.prepare), daemon=True).start()
    notify("READY=1")
    hop_s = folder.manifest.geometry.hop_s
    due_s = time.monotonic()
    while True:
        call()
        due_s += hop_s
        time.sleep(max(0.0, due_s - time.monotonic()))


def ready_call(folder: ModelFolder, rows: int, threads: int) -> Any:
    """A function without arguments that runs the graph on golden inputs for ``rows`` cameras, one call a row.

    On the CPU the daemon does the same: a batch of rows takes as long as its rows one by one, and more memory.
    """
    session = ort.InferenceSession(str(folder.graph), options(threads), providers=["CPUExecutionProvider"])
    with np.load(folder.golden) as golden:
        wanted = [node.name for node in session.get_inputs()]
        feed = {name: np.ascontiguousarray(golden[f"in_{name}"][:1]) for name in wanted}

    def call() -> None:
        for _ in range(rows):
            session.run(None, feed)

    return call


def throughput(call: Any, rows: int, seconds: float) -> float:
    """Windows a second on ready batches."""
    call()
    began_s, calls = time.perf_counter(), 0
    while time.perf_counter() - began_s < seconds:
        call()
        calls += 1
    return rows * calls / (time.perf_counter() - began_s)


def play(path: str, folder: ModelFolder, prepare: bool) -> None:
    """Decode a recording over and over at its own pace."""
    while True:
        began_s = time.monotonic()
        work = Work(folder) if prepare else None
        with av.open(path) as container:
            streams = [*container.streams.video[:1], *container.streams.audio[:1]]
            for stream in container.streams.video[:1]:
                stream.thread_type = "NONE"
            for packet in container.demux(*streams):
                if packet.dts is not None:
                    time.sleep(max(0.0, began_s + float(packet.dts * packet.time_base) - time.monotonic()))
                decode(packet, work)


def watch_live(url: str, folder: ModelFolder, prepare: bool) -> None:
    """Decode a network camera; it paces itself."""
    work = Work(folder) if prepare else None
    with av.open(url, options={"rtsp_transport": "tcp"}, timeout=(10.0, 5.0)) as container:
        for stream in container.streams.video[:1]:
            stream.thread_type = "NONE"
        for packet in container.demux():
            decode(packet, work)


def decode(packet: Any, work: Work | None) -> None:
    """Decode a packet and, with ``work``, make of it what the model takes."""
    for frame in packet.decode():
        if work is not None and isinstance(frame, av.VideoFrame):
            work.picture(frame)
        elif work is not None:
            work.sound(frame)


class Work:
    """Scaling at the model's rate and resampling, as plain library calls."""

    def __init__(self, folder: ModelFolder) -> None:
        self._video, self._audio = folder.manifest.geometry.video, folder.manifest.geometry.audio
        self._scaler = av.video.reformatter.VideoReformatter()
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
        if self._resampler is None:
            self._resampler = soxr.ResampleStream(frame.sample_rate, self._audio.rate_hz, 1, quality="HQ")
        self._resampler.resample_chunk(np.ascontiguousarray(frame.to_ndarray().mean(axis=0, dtype=np.float32)))


def notify(message: str) -> None:
    """Tell whoever started this, as systemd would be told."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path and Path(path).exists():
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.sendto(message.encode(), path)


if __name__ == "__main__":
    main()
