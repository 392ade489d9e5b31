"""The report: what was measured, in the order in which one asks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from edge.learn.evaluation import pictures, sections
from edge.learn.evaluation.bars import goal_results, goal_rows, interval_text, number_text, protocol_figures
from edge.learn.evaluation.collect import EvaluationResults
from edge.learn.evaluation.document import Block, HeadingBlock, TableBlock, TextBlock
from edge.learn.evaluation.figures import (
    LabelCalibration,
    LabelMetrics,
    average_precision_gain,
    average_precision_of,
    macro_average_precision_gain,
)
from edge.learn.evaluation.sets import DATASETS
from edge.learn.evaluation.yamnet import CLASS_PREFIX


def report_blocks(findings: EvaluationResults) -> list[Block]:
    """The whole report."""
    sounds, _ = sections.sound_section(findings)
    fire, fire_figures = pictures.fire_section(findings)
    calibration, calibrated = sections.calibration_section(findings)
    measured = protocol_figures(findings.learned)
    measured |= _goal_figures(findings, fire_figures, calibrated)
    measured |= _compute_figure(findings.compute)
    return [
        HeadingBlock(1, "Evaluation"),
        TextBlock(_introduction(findings)),
        HeadingBlock(2, "Against the goals"),
        TableBlock(["figure", "goal", "measured", "margin", "", "note"], goal_rows(goal_results(measured))),
        TextBlock("Goals were set before these weights existed. " + _yamnet_reference(findings)),
        *sections.set_section(findings),
        *sounds,
        *sections.modality_section(findings),
        *pictures.case_section(findings),
        *fire,
        *pictures.people_section(findings),
        *sections.latency_section(findings),
        *calibration,
        *protocol_section(findings.learned),
        *ablation_section(findings.ablation),
        *compute_section(findings.compute),
        *sections.failure_section(findings),
        *sections.dataset_section(findings),
    ]


def protocol_section(found: Mapping[str, Any]) -> list[Block]:
    """What is learned on the box, and what is asked in words."""
    if not found:
        return []
    rows, absent = [], []
    for lot in found.values():
        if lot.get("failed"):
            absent.append(f"{lot['title']}: not measured in this run.")
        rows += [[lot["title"], x["setting"], x["figure"], f"{x['value']:.3f}", x["note"]] for x in lot["lines"]]
    out: list[Block] = [HeadingBlock(2, "Learned on the box, and asked in words")]
    if rows:
        out.append(TableBlock(["protocol", "setting", "figure", "value", "note"], rows))
    return [*out, *(TextBlock(text) for text in absent)]


def ablation_section(found: Any) -> list[Block]:
    """Fusions trained alike, on held-out composed scenes."""
    if not found:
        return []
    by: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in found:
        by[run["fusion"]].append(run)
    views = list(next(iter(by.values()))[0]["precision"])
    rows = []
    for name, runs in sorted(by.items(), key=lambda x: -_mean(x[1], views[0])):
        cells = [number_text(_mean(runs, view), 3) for view in views]
        rows.append([name, str(len(runs)), *cells, f"{runs[0]['parameters']:,}".replace(",", " ")])
    return [
        HeadingBlock(2, "What relating the modalities is worth"),
        TextBlock(
            "Mean average precision over hops of held-out scenes composed by this project's code (not real "
            "recordings), each fusion trained alike on the same cached features; `none` is the soft-or of the parts "
            "without a fusion."
        ),
        TableBlock(["fusion", "seeds", *views, "parameters"], rows),
    ]


def compute_section(found: Mapping[str, Any] | None) -> list[Block]:
    """CPU against a bare loop of separate nets."""
    if not found:
        return []
    rows = [[x["name"], number_text(x["ms"], 1), number_text(x["ratio"], 2)] for x in found["lines"]]
    return [
        HeadingBlock(2, "Compute"),
        TextBlock(str(found["about"])),
        TableBlock(["what runs", "CPU-ms a second of camera", "over the bare loop"], rows),
    ]


def _goal_figures(
    findings: EvaluationResults, fire: LabelMetrics | None, calibrated: Sequence[LabelCalibration]
) -> dict[str, tuple[float, str]]:
    found: dict[str, tuple[float, str]] = {}
    if fire is not None and not math.isnan(fire.average_precision.value):
        found["fire"] = (
            fire.average_precision.value,
            f"[{fire.average_precision.low:.2f}, {fire.average_precision.high:.2f}]; as shipped",
        )
    judged = [c for c in calibrated if not math.isnan(c.by_recording)]
    if judged:
        worst = max(judged, key=lambda c: c.by_recording)
        note = f"{len(judged)} labels; worst {worst.label} {worst.by_recording:.3f}"
        found["ece"] = (fmean(c.by_recording for c in judged), note)
    unseen = [one for one in findings.whole if one.row.kind == "sound" and not one.row.was_trained]
    labels = [n for n in sections.labels_present(findings, unseen) if n in findings.yamnet]
    labels = [n for n in labels if not math.isnan(average_precision_of(unseen, findings.yamnet[n], n))]
    if labels:
        ours, theirs, more = macro_average_precision_gain(unseen, findings.yamnet, labels)
        note = (
            f"{len(labels)} labels, unseen sources: ours {interval_text(ours)}, YAMNet "
            f"{interval_text(theirs)}, gain {interval_text(more)}"
        )
        found["yamnet"] = (more.low, note)
    fights = [one for one in findings.cut.get("whole", ()) if one.row.set_name == "fight_surv"]
    if fights and "fight" in sections.label_names(findings):
        lone = [one for one in findings.cut["picture"] if one.row.set_name == "fight_surv"]
        x = average_precision_gain(fights, {str(one.row.path): one.result.peak("fight") for one in lone}, "fight")
        note = f"as shipped, clips with sound; [{x.low:+.3f}, {x.high:+.3f}]"
        taught = protocol_figures(findings.learned).get("fight")
        found["fight"] = (x.value, f"{note}; {taught[0]:+.3f} {taught[1]}" if taught else note)
    return found


def _compute_figure(found: Mapping[str, Any] | None) -> dict[str, tuple[float, str]]:
    return {"compute": (float(found["ratio"]), str(found["note"]))} if found else {}


def _introduction(findings: EvaluationResults) -> str:
    trained = sum(row.was_trained for row in findings.rows)
    minutes = sum(one.result.media_s for one in findings.whole) / 60
    whole = ", ".join(DATASETS[name].title for name in sorted(findings.whole_sets))
    text = (
        f"Model {findings.model} (`{findings.digest}`), {len(findings.whole)} recordings, {minutes:.0f} minutes, at "
        f"most {findings.most} of each class of each set (all of {whole}), evenly by "
        "name. All went through the pipeline of "
        "[`edge replay`](replay.md), which is the daemon's, with the shipped thresholds and nothing learned of a site "
        f"unless a line says so. {trained} of the recordings come from sources that training could use; nothing was "
        f"chosen by results. Made by `{findings.command}`."
    )
    return text + (f" Not readable: {', '.join(findings.unreadable)}." if findings.unreadable else "")


def _yamnet_reference(findings: EvaluationResults) -> str:
    text = (
        "Quoted, not measured here: YAMNet's 0.764 from names alone and 0.742 by a linear probe, on a larger part of "
        "ESC-50 than this one."
    )
    classes = {name: scores for name, scores in findings.yamnet.items() if name.startswith(CLASS_PREFIX)}
    rows = [row for row in findings.rows if row.set_name == "esc50_part" and CLASS_PREFIX + row.label in classes]
    if not rows:
        return text
    best = [max(classes, key=lambda name: classes[name][str(row.path)]) for row in rows]
    right = sum(name == CLASS_PREFIX + row.label for name, row in zip(best, rows, strict=True))
    known = sorted({row.label for row in rows})
    return (
        f"{text} Measured here: YAMNet by its own class names on this part, {right} of {len(rows)} "
        f"({right / len(rows):.3f}) among {len(known)} classes."
    )


def _mean(runs: Sequence[Mapping[str, Any]], view: str) -> float:
    return fmean(run["precision"][view] for run in runs)
