"""Names and exit codes that people's scripts rely on, frozen."""

from __future__ import annotations

import argparse
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge import cli
from edge.errors import ConfigError, MediaError, ModelError, RuntimeUnavailable, SinkError, SourceError

ROOT = Path(__file__).resolve().parent.parent

COMMANDS = {
    "run": {"-c"},
    "check": {"-c", "--json"},
    "devices": {"--json"},
    "watch": {"-c", "--json", "--count", "--until-gone"},
    "prompts": {"--unlike", "--model", "--json"},
    "replay": {"-c", "--events", "--scores", "--start", "--profile", "--camera"},
    "tune": {"-c", "--labels", "--profile", "--false-alarms-per-day", "--out", "--json"},
    "events": {
        "-c",
        "--search",
        "--camera",
        "--label",
        "--since",
        "--until",
        "--marked",
        "--limit",
        "--json",
        "--mark",
        "--export",
        "--digest",
        "--near",
    },
    "bench": {"--quick", "--cameras", "--clip", "--json"},
    "engine": set(),
    "learn": set(),
    "train": {"--data", "--weights", "--work", "--out", "--small", "--fusion"},
}


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    handlers = list(logging.root.handlers)
    yield
    logging.root.handlers[:] = handlers


def help_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.build_parser().parse_args([*words, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def subcommands(text: str) -> set[str]:
    """The commands that a help text lists."""
    return set(re.findall(r"^    ([a-z][a-z-]*)(?=\s)", text, re.MULTILINE))


def test_commands_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert subcommands(help_of(capsys)) == set(COMMANDS)
    for name, options in COMMANDS.items():
        assert options <= set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", help_of(capsys, name)))
    assert {"list", "verify", "build"} <= subcommands(help_of(capsys, "engine"))
    assert {"events", "normal", "versions", "rollback"} <= subcommands(help_of(capsys, "learn"))
    assert {"ablate", "export", "words", "evaluate", "gating"} <= subcommands(help_of(capsys, "train"))


def caused_by(cause: Exception, error: Exception) -> Exception:
    """``error`` as it is raised while ``cause`` is handled, with ``from None``."""
    error.__context__, error.__suppress_context__ = cause, True
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError(["config.yaml:1: x"]), 2),
        (ModelError("m"), 2),
        (MediaError("m"), 2),
        (SinkError("s"), 1),
        (SourceError("s"), 1),
        (RuntimeUnavailable("r"), 1),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 0),
        (RuntimeError("can't start new thread"), 1),
        (OSError(24, "Too many open files"), 1),
        (MemoryError(), 1),
        (ImportError("libx.so: failed to map segment from shared object"), 1),
        (caused_by(OSError(24, "Too many open files"), ModelError("model.onnx: cannot be read")), 1),
        (caused_by(OSError(5, "Input/output error"), ConfigError(["config.yaml: cannot be read"])), 1),
        (caused_by(OSError(2, "No such file or directory"), ConfigError(["config.yaml: cannot be read"])), 2),
    ],
)
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    def failing(_args: argparse.Namespace) -> int:
        raise error

    def parser() -> argparse.ArgumentParser:
        built = argparse.ArgumentParser()
        built.set_defaults(handler=failing, verbose=False)
        return built

    monkeypatch.setattr(cli, "build_parser", parser)
    monkeypatch.setattr(cli.os, "dup2", lambda *_: None)
    assert cli.main([]) == code
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert said.count("\n") == (0 if code in {0, 130} else 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "most", "said"),
    [
        ("RLIMIT_NOFILE", 10, "no more open files"),
        ("RLIMIT_NOFILE", 12, "no more open files"),
        ("RLIMIT_AS", 250_000_000, "no more memory"),
    ],
)
def test_a_system_that_gives_no_more_is_a_sentence_and_tried_again(
    tmp_path: Path, limit: str, most: int, said: str
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        f"node: {{data_dir: '{tmp_path}/data'}}\nmqtt: null\nevidence: {{}}\n"
        f"cameras: {{yard: {{source: {{type: file, path: '{ROOT}/samples/yard.mp4', pace: live}}}}}}\n"
    )
    code = (
        f"import resource, sys; resource.setrlimit(resource.{limit}, ({most}, {most}))\n"
        f"from edge.cli import main; sys.exit(main(['run', '-c', {str(config)!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False
    )
    assert done.returncode == 1, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_args: argparse.Namespace) -> int:
        raise RuntimeError("bug")

    parser = argparse.ArgumentParser()
    parser.set_defaults(handler=failing, verbose=False)
    monkeypatch.setattr(cli, "build_parser", lambda: parser)
    with pytest.raises(RuntimeError):
        cli.main([])


def test_a_reader_that_goes_away_is_no_fault() -> None:
    command = f"{sys.executable} -m edge engine list --json | true"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert "Traceback" not in done.stderr


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"`edge {name}" in readme


@pytest.mark.parametrize("words", [["train"], ["train", "ablate"], ["train", "export"]])
def test_training_without_torch_says_what_to_install(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert cli.main(words) == 2
    assert "scripts/setup learn" in capsys.readouterr().err
