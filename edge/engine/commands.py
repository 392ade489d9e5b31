"""`edge engine list | verify | choose | build`: thin handlers around what does the work."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from edge.engine.manifest import DEFAULT_MODEL
from edge.errors import InputError

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from edge.engine.built import BuiltEngine
    from edge.engine.manifest import ModelFolder
    from edge.engine.runtime import RuntimeInfo
    from edge.engine.trt.quantise import CalibrationSet
    from edge.engine.trt.variants import GraphVariant, Precision

_log = logging.getLogger(__name__)
T = TypeVar("T")
Progress = Callable[[str, int, int], bool]
"""``progress(phase, step, steps)`` is told of each step; False stops."""
Record = Callable[["ModelFolder", Sequence[Path], int, Progress], "CalibrationSet"]
"""Recordings as windows: files, how many at most, progress (`edge.replay.calibration_windows.record_windows`)."""
RUNTIMES: Final = ("auto", "onnx", "openvino", "tensorrt")
PRECISIONS: Final = ("auto", "fp32", "fp16", "int8")
WINDOWS: Final = 256
MEDIA: Final = frozenset({".mp4", ".mkv", ".mov", ".avi", ".ts", ".webm", ".wav", ".flac", ".ogg", ".mp3"})


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], record: Record | None = None) -> None:
    """Add `edge engine` and its subcommands; each sets ``handler``. ``record`` reads recordings, for calibration."""
    parser = subparsers.add_parser("engine", help="model engines: list, verify, choose, build")
    commands = parser.add_subparsers(dest="engine_command", required=True, metavar="COMMAND")
    listed = _add(commands, "list", "engines built here, and what they were built for", _list)
    listed.add_argument("--json", action="store_true", help="as JSON, for programs")
    proved = _add(commands, "verify", "check digests and reproduce the golden file on a runtime", _verify)
    proved.add_argument("--runtime", choices=RUNTIMES, default="auto")
    proved.add_argument("--precision", choices=PRECISIONS, default="auto")
    proved.add_argument(
        "--admit", action="store_true", help="prove and admit engines that were built ahead for this GPU"
    )
    choice = _add(commands, "choose", "measure the runtimes on this CPU, and remember the best", _choose)
    choice.add_argument("--threads", type=_threads, default=1, metavar="N", help="as model.threads; default: 1")
    choice.add_argument("--json", action="store_true", help="as JSON, for programs")
    _add_build(commands, record)


def _add_build(commands: argparse._SubParsersAction[argparse.ArgumentParser], record: Record | None) -> None:
    parser = _add(commands, "build", "build a TensorRT engine for this machine's GPU", _build)
    parser.add_argument("--runtime", choices=RUNTIMES, default="auto", help="TensorRT alone needs engines")
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
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    parser.add_argument("--max-batch", type=_batch, default=8, metavar="N", help="cameras in one call; default: 8")
    parser.add_argument("--target", metavar="SM", help="build ahead for other GPUs, such as sm_86,sm_89 (tensorrt_rtx)")
    parser.add_argument(
        "--version-compatible", action="store_true", help="an engine that newer versions of TensorRT take, too"
    )
    parser.set_defaults(record=record)


def make_graph(args: argparse.Namespace, folder: ModelFolder, progress: Progress) -> GraphVariant | None:
    """The graph that TensorRT's engine is made from, where it is not the model's own and not there yet."""
    from edge.engine.trt.library import load_library
    from edge.engine.trt.variants import find_variant

    typed = not load_library().is_weakly_typed
    needed: Precision | None = None
    if args.precision == "int8":
        needed = "int8"
    elif typed and (args.precision == "fp16" or (args.precision == "auto" and args.target is None)):
        needed = "fp16"
    if needed is None:
        return None
    there = find_variant(folder, needed)
    if there is not None and there.is_admitted and not args.recordings:
        return None
    return _record_and_make(args, folder, needed, progress)


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


def _record_and_make(
    args: argparse.Namespace, folder: ModelFolder, precision: Precision, progress: Progress
) -> GraphVariant:
    from edge.engine.trt.make_variants import make_variant
    from edge.engine.trt.onnx_editing import open_onnx

    if args.record is None:
        raise InputError("recordings cannot be read here; run `edge engine build`")
    open_onnx(folder.graph)  # says what is missing before minutes of reading
    files = find_recordings(args.recordings)
    recorded = args.record(folder, files, args.windows, progress)
    origin = ", ".join(path.name for path in files[:5]) + (f" and {len(files) - 5} more" if len(files) > 5 else "")
    return make_variant(folder, precision, recorded, origin, progress)


def _windows(text: str) -> int:
    if not text.isdigit() or not 16 <= int(text) <= 4096:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 16 to 4096")
    return int(text)


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

    def work(progress: Progress) -> BuiltEngine:
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


def _with_progress(work: Callable[[Progress], T]) -> T:
    return _with_bar(work) if sys.stderr.isatty() else work(LoggedProgress())


def _with_bar(work: Callable[[Progress], T]) -> T:
    from rich.console import Console
    from rich.progress import Progress as RichProgress

    with RichProgress(console=Console(stderr=True), transient=True) as bar:
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
    from edge.engine.trt.make_variants import report_line

    if args.runtime in {"onnx", "openvino"}:
        raise InputError(
            f"--runtime {args.runtime}: there is nothing to build, a CPU runs the model's graphs as they are, in 32 "
            "bits; measure which runtime is fastest here: edge engine choose"
        )
    folder = _folder(args.model)
    made = _with_progress(lambda progress: make_graph(args, folder, progress))
    if made is not None:
        print(report_line(made))
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
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, metavar="NAME", help="model name or folder; default: %(default)s"
    )
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
