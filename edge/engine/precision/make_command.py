"""What `edge engine build` does before an engine is built, or instead on a CPU: graphs of other precisions."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from edge.errors import InputError, RuntimeUnavailable

if TYPE_CHECKING:
    from edge.engine.manifest import ModelFolder
    from edge.engine.precision.calibration import CalibrationSet
    from edge.engine.precision.variants import GraphVariant, Precision

_log = logging.getLogger(__name__)
Progress = Callable[[str, int, int], bool]
Record = Callable[["ModelFolder", Sequence[Path], int, Progress], "CalibrationSet"]
"""Recordings as windows: files, how many windows at most, progress (`edge.replay.windows.record`)."""
RUNTIMES: Final = ("auto", "onnx", "openvino", "tensorrt")
WINDOWS: Final = 256
MEDIA: Final = frozenset({".mp4", ".mkv", ".mov", ".avi", ".ts", ".webm", ".wav", ".flac", ".ogg", ".mp3"})


def add_options(parser: argparse.ArgumentParser, record: Record | None) -> None:
    """The options of `edge engine build` that say for whom and from what."""
    parser.add_argument(
        "--runtime", choices=RUNTIMES, default="auto", help="who is to run it; default: TensorRT where it is installed"
    )
    parser.add_argument(
        "--from",
        dest="recordings",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="recordings of your cameras (or folders of them, such as that of the evidence) to find INT8's ranges on",
    )
    parser.add_argument(
        "--windows", type=_windows, default=WINDOWS, metavar="N", help=f"windows to calibrate on; default: {WINDOWS}"
    )
    parser.set_defaults(record=record)


def runtime_for(args: argparse.Namespace) -> Literal["cpu", "tensorrt"]:
    """Whom to build for: what was asked for; otherwise TensorRT, but where 8 bits are asked for and it is not there."""
    if args.runtime != "auto":
        return "tensorrt" if args.runtime == "tensorrt" else "cpu"
    if args.precision != "int8" or args.target is not None:
        return "tensorrt"
    from edge.engine.trt.library import load_library

    try:
        load_library()
    except RuntimeUnavailable as error:
        _log.info("%s; making graphs for the CPU", str(error).split(";", maxsplit=1)[0])
        return "cpu"
    return "tensorrt"


def for_cpu(args: argparse.Namespace, folder: ModelFolder, progress: Progress) -> list[GraphVariant]:
    """The INT8 graphs that runtimes on a CPU read; InputError for precisions that need no graph or that no CPU runs."""
    if args.precision != "int8":
        plain = "a CPU runs the graphs as they are"
        why = {"fp16": "CPUs run no 16-bit graphs"}
        raise InputError(
            f"{why.get(args.precision, plain)}: nothing to build. Give --precision int8, or "
            "measure which runtime and precision is fastest here: edge engine choose"
        )
    return _make(args, folder, "int8", "cpu", progress)


def make_tensorrt_graphs(args: argparse.Namespace, folder: ModelFolder, progress: Progress) -> list[GraphVariant]:
    """The graph that TensorRT's engine is made from, where it is not the model's own and not there yet."""
    from edge.engine.precision.variants import find_variant
    from edge.engine.trt.library import load_library

    typed = not load_library().is_weakly_typed
    needed: Precision | None = None
    if args.precision == "int8":
        needed = "int8"
    elif typed and (args.precision == "fp16" or (args.precision == "auto" and args.target is None)):
        needed = "fp16"
    if needed is None:
        return []
    there = find_variant(folder, needed)
    if there is not None and there.is_admitted and not args.recordings:
        return []
    return _make(args, folder, needed, "tensorrt", progress)


def find_recordings(paths: Sequence[Path]) -> list[Path]:
    """The files of ``paths``, folders searched through; the bundled sample where nothing is given. InputError where
    there is none."""
    if not paths:
        sample = Path(__file__).resolve().parents[2] / "samples" / "yard.mp4"
        if not sample.is_file():
            raise InputError("--from: give recordings of your cameras; no sample is installed to calibrate on")
        _log.warning("calibrating on the bundled sample alone; ranges are better found on your cameras: --from FILE...")
        return [sample]
    recordings: list[Path] = []
    for path in paths:
        if path.is_dir():
            recordings += sorted(p for p in path.rglob("*") if p.suffix.lower() in MEDIA and p.is_file())
        elif path.is_file():
            recordings.append(path)
        else:
            raise InputError(f"--from {path}: no such file")
    if not recordings:
        raise InputError(f"--from {', '.join(map(str, paths))}: no recording in it")
    return recordings


def _make(
    args: argparse.Namespace, folder: ModelFolder, precision: Precision, runtime: str, progress: Progress
) -> list[GraphVariant]:
    from edge.engine.precision.graphs import open_onnx
    from edge.engine.precision.making import make_variants, parts_for
    from edge.engine.precision.variants import source_graph

    if args.record is None:
        raise InputError("recordings cannot be read here; run `edge engine build`")
    parts = parts_for(folder, runtime, precision)
    open_onnx(source_graph(folder, parts[0])[0])  # says what is missing before minutes of reading
    files = find_recordings(args.recordings)
    recorded = args.record(folder, files, args.windows, progress)
    origin = ", ".join(path.name for path in files[:5]) + (f" and {len(files) - 5} more" if len(files) > 5 else "")
    return make_variants(folder, precision, parts, recorded, origin, progress)


def _windows(text: str) -> int:
    if not text.isdigit() or not 16 <= int(text) <= 4096:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 16 to 4096")
    return int(text)
