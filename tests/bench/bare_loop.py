"""The fused graph at its rate against a bare loop of separate nets, on one thread, as CPU time.

Both sides decode the same clip. The bare loop scales pictures at 5 fps and runs one picture net (or two) on each, and
runs one sound net on the last two seconds twice a second; ours scales at the manifest's rate and runs the fused graph
once a hop. No side keeps queues, decides or sends. The whole of `edge replay` is measured beside them. They alternate
within one run, and the figures are medians; the ratio is the median of the rounds' own.

    python tests/bench/bare_loop.py --weights DIR [--clip FILE] [--rounds 5] [--out compute.json]

``DIR`` holds the starting weights: `yolox_nano_416.onnx` and `mn04_as_mAP_432.pt`; EfficientNet-Lite0 is a package.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnxruntime as ort
import soxr

from edge.engine.manifest import ModelFolder, find_folder, load_folder
from edge.engine.onnx_graph import session_options

SAMPLE = Path(__file__).resolve().parent.parent.parent / "samples" / "yard.mp4"
FPS, SOUND_S, HEARD_S, RATE_HZ = 5.0, 0.5, 2.0, 32000


def main() -> None:
    """Measure, print, and write what the report reads."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--engine", type=Path, default=None)
    parser.add_argument("--clip", type=Path, default=SAMPLE)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30.0, help="of the clip, each time")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    folder = load_folder(args.engine or find_folder("fused"))
    with tempfile.TemporaryDirectory() as name:
        detector, tagger, sound = nets(args.weights, Path(name))
        sides: dict[str, Callable[[], float]] = {
            "decoding alone": lambda: bare(args.clip, args.seconds, [], None),
            "bare loop: detector and sound net": lambda: bare(args.clip, args.seconds, [detector], sound),
            "bare loop: picture tagger and sound net": lambda: bare(args.clip, args.seconds, [tagger], sound),
            "bare loop: detector, picture tagger and sound net": lambda: bare(
                args.clip, args.seconds, [detector, tagger], sound
            ),
            "decoding and the fused graph": lambda: fused(args.clip, args.seconds, folder),
            "`edge replay`, everything": lambda: replay(args.clip, folder),
        }
        rounds = [{side: run() for side, run in sides.items()} for _ in range(args.rounds)]
    found = summary(rounds, args)
    print(json.dumps(found, indent=1))
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def summary(rounds: list[dict[str, float]], args: argparse.Namespace) -> dict[str, Any]:
    """Medians, and ratios within rounds; the bar is the bare loop with as many nets as the graph has in it."""
    base, ours = "bare loop: detector and sound net", "decoding and the fused graph"
    ratio = {side: statistics.median(r[side] / r[base] for r in rounds) for side in rounds[0]}
    lines = [
        {"name": side, "ms": statistics.median(r[side] for r in rounds), "ratio": ratio[side]} for side in rounds[0]
    ]
    others = {
        "picture tagger and sound net": "it is a tagger",
        "detector, picture tagger and sound net": "there are both",
    }
    shares = [
        f"{statistics.median(r[ours] / r['bare loop: ' + side] for r in rounds):.2f} where {words}"
        for side, words in others.items()
    ]
    note = f"its picture net is a detector; {', '.join(shares)}, as ours has"
    about = (
        f"One thread, ONNX Runtime, {args.clip.name}, {args.rounds} rounds in alternation, medians of CPU time. The "
        "bare loop decodes, scales and runs YOLOX-nano (416 x 416) and, where said, EfficientNet-Lite0 at 5 fps, and "
        "the sound tagger mn04 on two seconds twice a second. Ours runs the fused graph, which has all three kinds "
        "inside, on two pictures and two seconds of sound twice a second. `tests/bench/bare_loop.py`."
    )
    return {"about": about, "lines": lines, "ratio": ratio[ours], "note": note}


def nets(weights: Path, folder: Path) -> tuple[Any, Any, Any]:
    """Sessions of the detector, the picture tagger and the sound net, on one thread."""
    import torch

    from edge.train.nets.audio import load_mn04
    from edge.train.nets.image import load_efficientnet_lite0

    for name, net, example in (
        ("lite0", load_efficientnet_lite0(), torch.zeros(1, 3, 224, 224)),
        ("mn04", load_mn04(weights / "mn04_as_mAP_432.pt"), torch.zeros(1, round(HEARD_S * RATE_HZ))),
    ):
        torch.onnx.export(net.eval(), (example,), str(folder / f"{name}.onnx"), dynamo=True, verbose=False)
    return tuple(
        ort.InferenceSession(str(path), session_options(1), providers=["CPUExecutionProvider"])
        for path in (weights / "yolox_nano_416.onnx", folder / "lite0.onnx", folder / "mn04.onnx")
    )  # type: ignore[return-value]


def bare(clip: Path, seconds: float, pictures: list[Any], sound: Any) -> float:
    """CPU-ms a second of camera of the bare loop."""
    scalers = [av.video.reformatter.VideoReformatter() for _ in pictures]
    heard: deque[np.ndarray] = deque(maxlen=round(HEARD_S / SOUND_S))

    def see(frame: Any) -> None:
        for net, scaler in zip(pictures, scalers, strict=True):
            (taken,) = net.get_inputs()
            height, width = taken.shape[2:]
            small = scaler.reformat(frame, width, height, "rgb24", interpolation="AREA").to_ndarray()
            net.run(None, {taken.name: np.ascontiguousarray(small.transpose(2, 0, 1)[None], np.float32)})

    def hear(samples: np.ndarray) -> None:
        heard.append(samples)
        if sound is not None and len(heard) == heard.maxlen:
            sound.run(None, {sound.get_inputs()[0].name: np.concatenate(heard)[None]})

    return loop(clip, seconds, FPS if pictures else 0.0, see, hear)


def fused(clip: Path, seconds: float, folder: ModelFolder) -> float:
    """The same for the fused graph, with everything that it takes."""
    geometry = folder.manifest.geometry
    session = ort.InferenceSession(str(folder.graph), session_options(1), providers=["CPUExecutionProvider"])
    with np.load(folder.golden) as golden:
        feed = {node.name: np.ascontiguousarray(golden[f"in_{node.name}"][:1]) for node in session.get_inputs()}
    feed = {name: np.ones_like(x) if name.endswith("_ok") else x for name, x in feed.items()}
    scaler = av.video.reformatter.VideoReformatter()
    heard: deque[np.ndarray] = deque(maxlen=round(HEARD_S / SOUND_S))

    def see(frame: Any) -> None:
        g = geometry.video
        small = scaler.reformat(frame, g.width, g.height, "rgb24", interpolation="AREA").to_ndarray()
        feed["frames"][0, :-1] = feed["frames"][0, 1:]
        feed["frames"][0, -1] = small

    def hear(samples: np.ndarray) -> None:
        heard.append(samples)
        if len(heard) == heard.maxlen:
            feed["audio"][0] = np.concatenate(heard)[-geometry.audio.samples :]
            session.run(None, feed)

    return loop(clip, seconds, geometry.video.fps, see, hear)


def loop(clip: Path, seconds: float, fps: float, see: Callable[[Any], None], hear: Callable[[Any], None]) -> float:
    """Decode ``seconds`` of the clip as fast as it goes; ``see`` gets pictures at ``fps``, ``hear`` half seconds."""
    began_s, next_s, at_s = time.process_time(), 0.0, 0.0
    waiting = np.zeros(0, np.float32)
    with av.open(str(clip)) as container:
        for stream in container.streams.video[:1]:
            stream.thread_type = "NONE"
        resampler: Any = None
        for packet in container.demux(*container.streams.video[:1], *container.streams.audio[:1]):
            for frame in packet.decode():
                at_s = max(at_s, float(frame.time))
                if isinstance(frame, av.VideoFrame):
                    if fps and frame.time >= next_s:
                        next_s += 1 / fps
                        see(frame)
                    continue
                resampler = resampler or soxr.ResampleStream(frame.sample_rate, RATE_HZ, 1, quality="HQ")
                mono = np.ascontiguousarray(frame.to_ndarray().mean(axis=0, dtype=np.float32))
                waiting = np.concatenate([waiting, resampler.resample_chunk(mono)])
                while len(waiting) >= SOUND_S * RATE_HZ:
                    size = round(SOUND_S * RATE_HZ)
                    hear(waiting[:size])
                    waiting = waiting[size:]
            if at_s >= seconds:
                break
    return 1000 * (time.process_time() - began_s) / at_s


def replay(clip: Path, folder: ModelFolder) -> float:
    """The same for the whole pipeline, over the whole clip, without opening the model."""
    from edge.config import parse
    from edge.engine.model import Model
    from edge.metrics import Metrics
    from edge.replay import Replay

    class Nobody:
        def on_scores(self, scores: object) -> None: ...

        def on_event(self, event: object) -> None: ...

    config = parse("cameras: {c: {source: {type: file, path: c}}}\nmodel: {threads: 1}\nmqtt: null\n").config
    model = Model.open(folder, config.model, 1, Metrics())
    began_s = time.process_time()
    played = Replay(config, model).run(clip, Nobody())
    took_s = time.process_time() - began_s
    model.close()
    return 1000 * took_s / played.media_s


if __name__ == "__main__":
    main()
