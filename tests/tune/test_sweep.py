"""Curves: by the hysteresis where that is exact, by the whole detector otherwise; and the text means what was swept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_config_edit import HEAD, WRITTEN
from tune_parts import HOP_NS, barks, moments, recording

from edge.config import parse
from edge.engine.manifest import Manifest, find_folder, load_folder
from edge.tune.config_edit import with_enters
from edge.tune.labels import LabelledSpan
from edge.tune.offline_detector import DetectionResult, OfflineDetector
from edge.tune.report import report_html
from edge.tune.result import LabelTuning, TuningResult, TuningTimes, worst_mistakes
from edge.tune.suggest import suggest_by_labels
from edge.tune.sweep import COARSE_THRESHOLDS, TunedRecording, sweep_thresholds, with_enter


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return load_folder(find_folder("fused")).manifest


def judge_of(manifest: Manifest, rules: str = "") -> OfflineDetector:
    return OfflineDetector(parse(f"cameras: {{a: {{source: {{type: file, path: x}}}}}}\n{rules}").config, manifest)


def bark_site(judge: OfflineDetector) -> TunedRecording:
    values = barks(400, [40, 140], 0.75)
    values[240:244] = [0.35] * 4
    return recording(judge, values, [LabelledSpan("dog_bark", 20, 22), LabelledSpan("dog_bark", 70, 72)])


def test_the_detector_itself_gives_the_same_curve(manifest: Manifest) -> None:
    """A rule whose events the hysteresis alone does not give is swept by the detector, slower and as true."""
    judge = judge_of(manifest, "events: {dog_bark: {merge_s: 4, most_per_hour: 3}}")
    one = bark_site(judge)
    quick = sweep_thresholds(judge, [one], "dog_bark", HOP_NS)
    other = replace(one, judged=DetectionResult((), one.judged.trace))
    slow = sweep_thresholds(judge, [other], "dog_bark", HOP_NS)
    assert quick.is_exact
    assert not slow.is_exact
    for k, enter in enumerate(slow.thresholds.tolist()):
        if enter in COARSE_THRESHOLDS and enter != slow.thresholds[slow.current]:
            at = int(np.flatnonzero(quick.thresholds == enter)[0])
            assert quick.counts[0, at].tolist() == slow.counts[0, k].tolist(), enter
    assert quick.counts[0, :, 1].max() == 2


def test_what_is_always_on_finds_nothing(manifest: Manifest) -> None:
    swept = sweep_thresholds(judge_of(manifest), [bark_site(judge_of(manifest))], "dog_bark", HOP_NS, (0.04,))
    assert swept.thresholds[0] == 0.04, "below the floor of the trace"
    assert swept.counts[0, 0, 1] == 0
    assert swept.counts[0, 0, 2] == 1


@pytest.mark.parametrize("kind", sorted(set(WRITTEN)))
@pytest.mark.parametrize("enter", [0.05, 0.55, 0.95])
def test_the_pasted_text_holds_what_was_swept(manifest: Manifest, kind: str, enter: float) -> None:
    text = HEAD + WRITTEN[kind]
    swept = OfflineDetector(with_enter(parse(text).config, "person", enter), manifest).limits("a", "person")
    pasted = OfflineDetector(parse(with_enters(text, {"person": enter})).config, manifest).limits("a", "person")
    assert pasted == swept


def test_the_report_lists_what_is_left_and_escapes_names(manifest: Manifest) -> None:
    judge = judge_of(manifest)
    one = replace(bark_site(judge), path=Path("<b>&.wav"))
    missed = replace(one, spans=(*one.spans, LabelledSpan("dog_bark", 120, 122), LabelledSpan("dog_bark", 180, 181)))
    swept = sweep_thresholds(judge, [missed], "dog_bark", HOP_NS)
    row = LabelTuning(swept, suggest_by_labels(swept, 1.0))
    outcome = TuningResult(
        (missed,), (missed.judged,), (row,), 1.0, True, "", (), (), TuningTimes(200.0, 0.0, 0.0, 0.1)
    )
    left = worst_mistakes(outcome, "dog_bark")
    assert [(m.kind, m.begin_s, m.why) for m in left] == [
        ("missed", 180, "below enter"),
        ("missed", 120, "below enter"),
    ]
    assert left[1].peak == pytest.approx(0.35)
    text = report_html(outcome)
    assert "&lt;b&gt;&amp;.wav" in text
    assert "<b>&" not in text
    assert text.count('class="span"') == 4


def test_moments_of_a_quiet_camera_have_no_curve(manifest: Manifest) -> None:
    """Where the microphone heard nothing that counts there is no quiet time either."""
    judge = judge_of(manifest)
    steps = moments([None] * 50)
    deaf = TunedRecording(Path("a.wav"), "a", judge.detect(steps, "a"), (), lambda: steps)
    assert sweep_thresholds(judge, [deaf], "dog_bark", HOP_NS).counts[:, :, 3].max() == 0
