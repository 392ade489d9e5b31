"""`edge engine list | verify | choose | build`: thin handlers around what does the work.

What `edge engine build` does before an engine is built, or instead on a CPU: graphs of other precisions.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from edge.errors import InputError, RuntimeUnavailable

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from edge.engine.built import BuiltEngine
    from edge.engine.manifest import ModelFolder
    from edge.engine.precision.quantise import CalibrationSet
    from edge.engine.precision.variants import GraphVariant, Precision
    from edge.engine.runtime import RuntimeInfo

_log = logging.getLogger(__name__)
Progress = Callable[[str, int, int], bool]
Record = Callable[["ModelFolder", Sequence[Path], int, Progress], "CalibrationSet"]
"""Recordings as windows: files, how many windows at most, progress (`edge.replay.calibration_windows.record`)."""
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
    from edge.engine.precision.make_variants import make_variants, parts_for
    from edge.engine.precision.onnx_editing import open_onnx
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


T = TypeVar("T")
PRECISIONS = ("auto", "fp32", "fp16", "int8")


def add_commands(parser: argparse.ArgumentParser, record: Record | None = None) -> None:
    """Add the subcommands to `edge engine`; each sets ``handler``. ``record`` reads recordings, for calibration."""
    commands = parser.add_subparsers(dest="engine_command", required=True, metavar="COMMAND")
    listed = _add(commands, "list", "engines built here, and what they were built for", _list)
    listed.add_argument("--json", action="store_true", help="as JSON, for programs")
    proved = _add(commands, "verify", "check digests and reproduce the golden file on a runtime", _verify)
    proved.add_argument("--runtime", choices=("auto", "onnx", "openvino", "tensorrt"), default="auto")
    proved.add_argument("--precision", choices=(*PRECISIONS, "bf16"), default="auto")
    proved.add_argument(
        "--admit", action="store_true", help="prove and admit engines that were built ahead for this GPU"
    )
    choice = _add(commands, "choose", "measure the ways to run the model on this CPU, and remember the best", _choose)
    choice.add_argument("--threads", type=_threads, default=1, metavar="N", help="as model.threads; default: 1")
    choice.add_argument("--json", action="store_true", help="as JSON, for programs")
    built = _add(
        commands, "build", "build a TensorRT engine for this machine's GPU, or INT8 graphs for its CPU", _build
    )
    add_options(built, record)
    built.add_argument("--precision", choices=PRECISIONS, default="auto")
    built.add_argument("--max-batch", type=_batch, default=8, metavar="N", help="cameras in one call; default: 8")
    built.add_argument("--target", metavar="SM", help="build ahead for other GPUs, such as sm_86,sm_89 (tensorrt_rtx)")
    built.add_argument(
        "--version-compatible", action="store_true", help="an engine that newer versions of TensorRT take, too"
    )


def built_engines_of(name: str) -> list[BuiltEngine]:
    """What was built of model ``name``."""
    from edge.engine.built import list_engines

    return list_engines(_folder(name))


def verify(name: str, runtime: str, precision: str) -> RuntimeInfo:
    """Open the model as the daemon would and run its self-test; ModelError or RuntimeUnavailable say what is wrong."""
    from edge.config.models import ModelConfig as Settings
    from edge.engine.model import Model
    from edge.metrics import Metrics

    settings = Settings.model_validate({"name": name, "runtime": runtime, "precision": precision})
    model = Model.open(_folder(name), settings, 1, Metrics())
    try:
        return model.info
    finally:
        model.close()


def build(
    name: str, precision: str, max_batch: int, target: str | None, *, version_compatible: bool = False
) -> BuiltEngine:
    """Build with a progress bar on a terminal, a log line a phase otherwise."""
    from edge.engine.trt import build as building

    folder = _folder(name)

    def work(progress: Callable[[str, int, int], bool]) -> BuiltEngine:
        if target is not None:
            return building.build_ahead(folder, target, max_batch, progress, precision=precision)
        return building.build_engine(folder, precision, max_batch, progress, is_version_compatible=version_compatible)

    return _with_progress(work)


class LoggedProgress:
    """Build progress as one log line a phase."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def __call__(self, phase: str, step: int, steps: int) -> bool:
        """Always go on."""
        if phase not in self._logged:
            self._logged.add(phase)
            _log.info("engine build: %s (%d of %d)", phase, step, steps)
        return True


def _with_progress(work: Callable[[Callable[[str, int, int], bool]], T]) -> T:
    return _with_bar(work) if sys.stderr.isatty() else work(LoggedProgress())


def _with_bar(work: Callable[[Callable[[str, int, int], bool]], T]) -> T:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        bar.add_task("building", total=None)
        return work(_ProgressBars(bar))


class _ProgressBars:
    """Build progress as one bar a phase."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, phase: str, step: int, steps: int) -> bool:
        if phase not in self._tasks:
            self._tasks[phase] = self._bar.add_task(phase, total=steps or None)
        self._bar.update(self._tasks[phase], completed=step, visible=step < steps)
        return True


def _list(args: argparse.Namespace) -> int:
    from edge.engine.runtime_trial import saved_choice_line

    built_engines = built_engines_of(args.model)
    if args.json:
        rows = [
            {**dataclasses.asdict(e.key), "file": str(e.path), "max_batch": e.max_batch, "is_admitted": e.is_admitted}
            for e in built_engines
        ]
        print(json.dumps(rows))
        return 0
    for e in built_engines:
        state = "admitted" if e.is_admitted else "not admitted yet (edge engine verify --admit)"
        print(f"{e.path.name}: {e.key.library} {e.key.version}, {e.key.device}, {e.key.precision}, "
              f"up to {e.max_batch} rows, {'newer versions too, ' * e.is_version_compatible}{state}")  # fmt: skip
    if not built_engines:
        print(f"no engine is built for {args.model}; build one for a GPU: edge engine build")
    print(saved_choice_line(args.model))
    return 0


def _choose(args: argparse.Namespace) -> int:
    from edge.engine.runtime_trial import handle

    return handle(args)


def _verify(args: argparse.Namespace) -> int:
    if args.admit:
        from edge.engine.trt.build import admit_engine

        folder = _folder(args.model)
        folder.verify()
        for engine in built_engines_of(args.model):
            if not engine.is_admitted:
                print(f"{admit_engine(folder, engine).path.name}: reproduces the golden file, admitted")
    info = verify(args.model, args.runtime, args.precision)
    print(f"{args.model}: digests match; {info} reproduces the golden file")
    return 0


def _build(args: argparse.Namespace) -> int:
    from edge.engine.precision.make_variants import report_lines

    folder = _folder(args.model)
    if runtime_for(args) == "cpu":
        print("\n".join(report_lines(_with_progress(lambda progress: for_cpu(args, folder, progress)))))
        return 0
    made = _with_progress(lambda progress: make_tensorrt_graphs(args, folder, progress))
    if made:
        print("\n".join(report_lines(made)))
    compatible = args.version_compatible
    engine = build(args.model, args.precision, args.max_batch, args.target, version_compatible=compatible)
    proof = "reproduces the golden file" if engine.is_admitted else "to be admitted on its machine"
    print(f"{engine.path}: {engine.key.precision}, up to {engine.max_batch} rows, {proof}")
    return 0


def _folder(name: str) -> ModelFolder:
    from edge.engine.manifest import find_folder, load_folder

    return load_folder(find_folder(name))


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    handler: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text)
    parser.add_argument("--model", default="fused", metavar="NAME", help="model name or folder; default: fused")
    parser.set_defaults(handler=handler)
    return parser


def _batch(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to 256")
    return int(text)


def _threads(text: str) -> int:
    if not text.isdigit() or int(text) > 256:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 256")
    return int(text)
