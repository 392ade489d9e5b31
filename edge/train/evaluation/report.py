"""Builds the report from what was measured: summary, goals, and the sections on pictures and clips."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Final

from edge.train.evaluation import sections
from edge.train.evaluation.datasets import DATASETS, TRUTH
from edge.train.evaluation.document import Block, HeadingBlock, ListBlock, TableBlock, TextBlock
from edge.train.evaluation.goals import goal_results, goal_rows, interval_text, number_text, protocol_figures
from edge.train.evaluation.label_metrics import (
    LabelCalibration,
    LabelMetrics,
    ScoredRecording,
    average_precision_gain,
    average_precision_of,
    macro_average_precision_gain,
    measure_label,
)
from edge.train.evaluation.run import EvaluationResults
from edge.train.evaluation.sections import false_event_text, label_names
from edge.train.evaluation.yamnet import CLASS_PREFIX


def report_blocks(findings: EvaluationResults) -> list[Block]:
    """The whole report."""
    sounds, _ = sections.sound_section(findings)
    fire, fire_figures = fire_section(findings)
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
        *case_section(findings),
        *fire,
        *people_section(findings),
        *sections.look_section(findings),
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
        "[`edge replay`](../how-to/replay.md), which is the daemon's, with the shipped thresholds and "
        "nothing learned of a site "
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


SMOKE_SETS: Final = {"fire8": "Smoke with fire or indoors", "smoke_hpwren": "Wildfire smoke"}
ORDINARY_PICTURES: Final = ("fire_cair", "surveillance", "av_events")
LOOKALIKES: Final = {
    "normal_001": "aurora", "normal_012": "the moon over a dark house", "normal_013": "a lit church at dusk",
    "normal_032": "a sunlit wooden room", "normal_035": "a red bedroom, lamps lit", "normal_036": "a room, lamps lit",
    "normal_037": "a red canyon", "normal_041": "a city at sunset", "normal_047": "a street, lamps lit",
    "normal_054": "a yellow bedroom, lamps lit", "normal_055": "a red wooden hall", "normal_062": "red autumn woods",
    "normal_073": "aurora", "normal_095": "a red bedroom", "normal_099": "a fireplace without a fire",
    "normal_101": "an orange wooden house", "normal_102": "a dark room with a lit wall",
    "normal_106": "red and white shelves", "normal_112": "a bedroom, warm light", "normal_114": "a red carpet",
    "normal_118": "a meeting room, warm light", "normal_132": "a street at night, warm light",
    "normal_134": "a bedroom, red curtains", "normal_138": "a bedroom, lamps lit", "normal_144": "sunset",
    "normal_145": "sunset", "normal_146": "a lit house in snow at dusk", "normal_158": "a bedroom, lamps lit",
}  # fmt: skip


def fire_section(findings: EvaluationResults) -> tuple[list[Block], LabelMetrics | None]:
    """Fire and smoke in pictures, with every false fire by name."""
    lot = [one for one in findings.whole if one.row.set_name == "fire_cair"]
    if not lot or "fire" not in label_names(findings):
        return [], None
    f = measure_label(lot, "fire")
    reported = [one for one in lot if any(b.label == "fire" for b in one.result.events)]
    false = [_fire_item(one) for one in _sorted_by_fire(reported) if one.row.label != "fire"]
    nearest = [_fire_item(one) for one in _sorted_by_fire(lot) if one.row.label != "fire"][:5]
    warm = [one for one in lot if one.row.path.stem in LOOKALIKES]
    text = (
        f"Fire photographs, as still pictures for three seconds: AP "
        f"{interval_text(f.average_precision)}, ROC AUC {number_text(f.auc, 3)}; "
        f"as shipped, fire began in {f.recall:.0%} of {f.positives} fires and falsely in {f.false_events} of "
        f"{f.negatives} others; in {sum(one in reported for one in warm)} of the {len(warm)} others with "
        f"sunsets, lamps, "
        "red rooms and the like. No photograph of a candle is in the set."
    )
    blocks: list[Block] = [HeadingBlock(2, "Fire and smoke in pictures"), TextBlock(text)]
    blocks.append(TextBlock("False fires, by name:" if false else "No false fire. The highest scores without one:"))
    return [*blocks, ListBlock(false or nearest), *_smoke(findings)], f


def case_section(findings: EvaluationResults) -> list[Block]:
    """The clips of single events, one by one."""
    rows = []
    for one in findings.whole:
        if one.row.set_name not in {"av_events", "surveillance"}:
            continue
        expected = ", ".join(TRUTH.get(one.row.label, ())) or "–"
        began = sorted({b.label for b in one.result.events})
        peaks = ", ".join(f"{x} {one.result.peak(x):.2f}" for x in TRUTH.get(one.row.label, ()))
        rows.append([one.row.path.name, one.row.tier, expected, ", ".join(began) or "none", peaks])
    head = ["clip", "tier", "named by its set", "events that began", "highest score"]
    return [HeadingBlock(2, "Clips, case by case"), TableBlock(head, rows)] if rows else []


def people_section(findings: EvaluationResults) -> list[Block]:
    """Falls and fights."""
    blocks: list[Block] = []
    for label, positive, quiet in (
        ("fall", ("fall_upfall", "fall_urfd"), ("fall_upfall", "fall_urfd", "surveillance")),
        ("fight", ("fight_surv",), ("fight_surv", "surveillance", "fall_upfall")),
    ):
        if not any(one.row.set_name in positive for one in findings.whole):
            continue
        if label not in label_names(findings):
            blocks.append(TextBlock(f"The model has no label `{label}`: nothing of it is found as shipped."))
            continue
        rows = []
        for sets in dict.fromkeys((positive[:1], positive, quiet)):
            f = measure_label([one for one in findings.whole if one.row.set_name in sets], label)
            cells = [
                " + ".join(DATASETS[s].title for s in sets),
                f"{f.positives} / {f.negatives}",
                interval_text(f.average_precision),
            ]
            rows.append([label, *cells, number_text(f.auc, 3), number_text(f.recall), false_event_text(f)])
        blocks.append(
            TableBlock(["label", "sets", "with / without", "AP [95 %]", "ROC AUC", "recall", "false events"], rows)
        )
    return [HeadingBlock(2, "Falls and fights, as shipped"), *blocks] if blocks else []


def _smoke(findings: EvaluationResults) -> list[Block]:
    """Each set of smoke against its own and other pictures without."""
    blocks: list[Block] = []
    for name, title in SMOKE_SETS.items():
        pool = [one for one in findings.whole if one.row.set_name in (name, *ORDINARY_PICTURES)]
        if "smoke" not in label_names(findings) or not any(one.row.set_name == name for one in pool):
            continue
        s = measure_label(pool, "smoke")
        blocks.append(
            TextBlock(
                f"{title} against pictures without ({s.positives} / {s.negatives}): AP "
                f"{interval_text(s.average_precision)}; "
                f"as shipped, recall {number_text(s.recall)}, false events {false_event_text(s)}."
            )
        )
    return blocks


def _sorted_by_fire(lot: Sequence[ScoredRecording]) -> list[ScoredRecording]:
    return sorted(lot, key=lambda one: -one.result.peak("fire"))


def _fire_item(one: ScoredRecording) -> str:
    shows = LOOKALIKES.get(one.row.path.stem, "an ordinary scene")
    return f"`{one.row.path.name}`: {shows} ({one.result.peak('fire'):.2f})"
