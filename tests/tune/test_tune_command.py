"""`edge tune` from end to end, with the shipped model: what live would have decided, and what becomes of bad input."""

from __future__ import annotations

import argparse
import io
import json
import logging
import re
from pathlib import Path

import pytest

from edge.assemble import build_derivers
from edge.config import load, parse
from edge.engine.manifest import find_folder, load_folder
from edge.engine.model import Model
from edge.errors import InputError
from edge.logs import other_loggers_muted
from edge.metrics import Metrics
from edge.replay import Replay, ReplayStep
from edge.replay.writers import EventJsonLines
from edge.tune import scoring
from edge.tune.cache import ScoreCache, ScoringFacts, pack_moments, scoring_key, unpack_moments
from edge.tune.command import register
from edge.tune.offline_detector import OfflineDetector
from edge.tune.scoring import LOGGER_NAME
from edge.types import Event

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE = ROOT / "samples" / "yard.mp4"
CONFIG = """cameras:
  yard:
    source: {type: file, path: yard.mp4}
    zones: {left: [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}
events:
  defaults: {cooldown_s: 10, severity: alert}  # all
  person: {severity: info}
  person_left: {when: person, zones: [left]}
  pets: {when: [dog_bark, crying_baby], merge_s: 5}
  both: {all_of: [person, crying_baby], within_s: 20}
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[ReplayStep]]:
    """A configuration, and the sample's moments under it."""
    folder = tmp_path_factory.mktemp("tune")
    path = folder / "config.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    loaded = load(path)
    model_folder = load_folder(find_folder("fused"))
    model = Model.open(model_folder, loaded.config.model, 1, Metrics())
    derivers = build_derivers(loaded, model_folder, None)
    moments = list(Replay(loaded.config, model, 0, derivers, camera="yard").steps(SAMPLE))
    model.close()
    key = scoring_key(loaded.config, model_folder.manifest, None)
    cache = ScoreCache(folder / "out" / "cache", key)
    windows = sum(len(m.step.scores) for m in cache.store(SAMPLE, map(scoring.without_features, moments)))
    cache.commit(SAMPLE, ScoringFacts(78.0, windows, 1.0))
    return path, moments


def lines(events: list[Event], config: Path) -> str:
    out = io.StringIO()
    writer = EventJsonLines(out, load(config).config, "fused")
    for event in events:
        writer.write(SAMPLE, event)
    return out.getvalue()


def test_decisions_are_those_of_a_replay_to_the_byte(seen: tuple[Path, list[ReplayStep]]) -> None:
    config, moments = seen
    live = [event for moment in moments for event in moment.step.events]
    kept = unpack_moments(pack_moments([scoring.without_features(m) for m in moments]), "yard")
    judged = OfflineDetector(load(config).config, load_folder(find_folder("fused")).manifest).detect(kept, "yard")
    assert lines(list(judged.events), config) == lines(live, config)
    assert {e.label for e in live} >= {"person", "person_left", "pets", "both"}
    rules = [values for moment in moments for values in moment.step.rules]
    assert len(rules) == len(judged.trace.t_ns)


def run(*args: object) -> int:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    parsed = parser.parse_args(["tune", *map(str, args)])
    code: int = parsed.handler(parsed)
    return code


def test_the_whole_command_on_kept_scores(
    seen: tuple[Path, list[ReplayStep]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, _ = seen
    monkeypatch.setattr(scoring, "RecordingScorer", None)  # what is kept is not scored again
    out = config.parent / "out"
    table = tmp_path / "labels.csv"
    rows = (ROOT / "samples" / "yard.csv").read_text(encoding="utf-8").splitlines()[1:]
    spans = [f"{SAMPLE},{label},{begin},{end}" for begin, end, label, *_ in (row.split(",") for row in rows)]
    table.write_text("\n".join(["file,label,begin_s,end_s", *spans]) + "\n", encoding="utf-8")
    assert run(SAMPLE, "-c", config, "--labels", table, "--out", out, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["scored_s"] == 0
    barks = told["events"]["dog_bark"]["before"]
    assert (barks["found"], barks["spans"]) == (2, 4), "the second dog stays below the model's threshold"
    assert told["diff"] == "", "a minute of recording is too little to suggest anything"
    assert "too little" in told["events"]["dog_bark"]["remark"]
    assert all(entry["exact"] for entry in told["events"].values())
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "http" not in page
    assert page.count("<svg") >= 4
    (out / "suggestion.diff").write_text("of an earlier run")
    assert run(SAMPLE, "-c", config, "--out", out) == 0
    said = capsys.readouterr().out
    assert "not known" in said
    assert "1 recording, " in said
    assert not (out / "suggestion.diff").exists(), "there is nothing to apply"


def test_a_minute_is_counted_and_not_made_a_day_of(
    seen: tuple[Path, list[ReplayStep]], capsys: pytest.CaptureFixture[str]
) -> None:
    config, _ = seen
    out = config.parent / "out"
    assert run(SAMPLE, "-c", config, "--out", out) == 0
    told = capsys.readouterr().out
    (person,) = (line for line in told.splitlines() if line.startswith("person "))
    assert re.search(r" \d in 78 s ", person)
    assert "Less than 1 h is too short to tell how many come in a day" in told
    assert run(SAMPLE, "-c", config, "--out", out, "--json") == 0
    before = json.loads(capsys.readouterr().out)["events"]["person"]["before"]
    assert before["false"] > 0
    assert (before["false_per_day"], before["false_per_day_at_most"]) == (None, None)
    assert "too short to tell a rate" in (out / "report.html").read_text(encoding="utf-8")


def test_other_modules_are_silent_while_it_works() -> None:
    other, own = logging.getLogger("edge.engine.select"), logging.getLogger("edge.tune.scoring")
    root = logging.getLogger()
    before = root.level
    try:
        for level, expected in ((logging.INFO, (False, True)), (logging.DEBUG, (True, True))):
            root.setLevel(level)
            with other_loggers_muted(LOGGER_NAME):
                now = (other.isEnabledFor(logging.INFO), own.isEnabledFor(logging.INFO))
                assert other.isEnabledFor(logging.WARNING)
            assert now == expected
            assert other.isEnabledFor(logging.INFO)
    finally:
        root.setLevel(before)


def test_one_unreadable_recording_does_not_stop_the_rest(
    seen: tuple[Path, list[ReplayStep]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, _ = seen
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"nothing that can be played")
    assert run(SAMPLE, broken, "-c", config, "--out", config.parent / "out") == 2
    told = capsys.readouterr()
    assert "broken.mp4" in told.err
    assert "person" in told.out
    with pytest.raises(InputError, match=r"no recording could be read[\s\S]*broken\.mp4"):
        run(broken, "-c", config, "--out", tmp_path / "out")


def test_bad_input_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="no recording there"):
        run(tmp_path / "none.mp4", "--out", tmp_path)
    for rate in ("0", "-1", "nan", "x"):
        with pytest.raises(SystemExit):
            run(SAMPLE, "--false-alarms-per-day", rate)
    assert "above 0" in capsys.readouterr().err
    bad = tmp_path / "labels.csv"
    bad.write_text("file,label,begin_s,end_s\nyard.mp4,persn,1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"labels\.csv:2: label: no event 'persn'; did you mean 'person'"):
        run(SAMPLE, "--labels", bad, "--out", tmp_path)


def test_a_setting_that_scores_follow_from_is_another_setting() -> None:
    manifest = load_folder(find_folder("fused")).manifest
    base = "cameras: {a: {source: {type: file, path: x}}}\n"
    plain = scoring_key(parse(base).config, manifest, None)
    assert scoring_key(parse(base + "events: {person: {enter: 0.5}}").config, manifest, None) == plain
    assert scoring_key(parse(base + "prompts: {cat_seen: {text: a cat}}").config, manifest, None) != plain
    masked = base.replace("x}}", "x}, privacy_masks: [[[0, 0], [1, 0], [1, 1]]]}")
    assert scoring_key(parse(masked).config, manifest, None) != plain
