"""The report's sections on pictures and clips: fire photographs, single clips, falls and fights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edge.learn.evaluation.bars import interval_text, number_text
from edge.learn.evaluation.collect import EvaluationResults
from edge.learn.evaluation.document import Block, HeadingBlock, ListBlock, TableBlock, TextBlock
from edge.learn.evaluation.figures import LabelMetrics, ScoredRecording, measure_label
from edge.learn.evaluation.sections import false_event_text, label_names
from edge.learn.evaluation.sets import DATASETS, TRUTH

PICTURE_SETS: Final = ("fire_cair", "smoke_hpwren", "surveillance", "av_events")
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
    pool = [one for one in findings.whole if one.row.set_name in PICTURE_SETS]
    if "smoke" not in label_names(findings) or not any(one.row.label == "smoke" for one in pool):
        return []
    s = measure_label(pool, "smoke")
    text = (
        f"Wildfire smoke against pictures without ({s.positives} / {s.negatives}): AP "
        f"{interval_text(s.average_precision)}; "
        f"as shipped, recall {number_text(s.recall)}, false events {false_event_text(s)}."
    )
    return [TextBlock(text)]


def _sorted_by_fire(lot: Sequence[ScoredRecording]) -> list[ScoredRecording]:
    return sorted(lot, key=lambda one: -one.result.peak("fire"))


def _fire_item(one: ScoredRecording) -> str:
    shows = LOOKALIKES.get(one.row.path.stem, "an ordinary scene")
    return f"`{one.row.path.name}`: {shows} ({one.result.peak('fire'):.2f})"
