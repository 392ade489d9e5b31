"""The sections of the report that rest on single recordings, as blocks."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median

from edge.train.evaluation.datasets import DATASETS, TRUTH, UNLABELLED, ambiguous_classes
from edge.train.evaluation.document import (
    Block,
    HeadingBlock,
    ListBlock,
    PlotBlock,
    PlotPoint,
    TableBlock,
    TextBlock,
    dot_plot,
    reliability_plot,
)
from edge.train.evaluation.goals import interval_text, number_text
from edge.train.evaluation.label_metrics import (
    LabelCalibration,
    LabelMetrics,
    ScoredRecording,
    average_precision_of,
    false_positive_classes,
    label_calibration,
    measure_label,
    missed_recordings,
)
from edge.train.evaluation.run import LONG_ENOUGH_S, EvaluationResults
from edge.train.labels import HOP_S


def set_section(findings: EvaluationResults) -> list[Block]:
    """Every set and label that has positives."""
    rows = []
    for name in sorted({one.row.set_name for one in findings.whole}):
        lot = [one for one in findings.whole if one.row.set_name == name]
        for label in labels_present(findings, lot):
            f = measure_label(lot, label)
            cells = [
                DATASETS[name].title,
                tier_text(lot),
                label,
                f"{f.positives} / {f.negatives}",
                interval_text(f.average_precision),
            ]
            cells += [number_text(f.recall_hour), number_text(f.recall), false_event_text(f)]
            rows.append(cells)
    head = ["set", "tier", "label", "with / without", "AP [95 %]", "recall at 1 false/h", "recall", "false events"]
    return [
        HeadingBlock(2, "Set by set, as shipped"),
        TextBlock(
            "Each recording counts once, by its highest score (average precision, AP, and recall at one false alarm an "
            "hour of the set's other recordings; where they last less than an hour, at none) and by the events that "
            "began in it (recall, false events and hours without the label). Intervals draw whole sources; there is "
            "none where a set has fewer than four. Everything in a set that is not the label is a negative, but for "
            "the classes listed under *What is judged*."
        ),
        TableBlock(head, rows),
    ]


def sound_section(findings: EvaluationResults) -> tuple[list[Block], dict[str, LabelMetrics]]:
    """Sound events over all sound sets together, of unseen sources alone and of all, beside YAMNet."""
    sounds = [one for one in findings.whole if one.row.kind == "sound"]
    unseen = [one for one in sounds if not one.row.was_trained]
    found: dict[str, LabelMetrics] = {}
    rows, dots = [], []
    for label in labels_present(findings, sounds):
        every, new = measure_label(sounds, label), measure_label(unseen, label)
        found[label] = new if new.positives and new.negatives else every
        theirs = yamnet_average_precision(findings, unseen, label)
        worst = "; ".join(f"{name} {k}/{n}" for name, k, n in false_positive_classes(sounds, label))
        cells = [
            label,
            f"{new.positives} / {new.negatives}",
            interval_text(new.average_precision),
            number_text(theirs, 3),
        ]
        rows.append(
            [
                *cells,
                number_text(new.recall_hour),
                number_text(new.recall),
                false_event_text(new),
                interval_text(every.average_precision),
                worst,
            ]
        )
        p = new.average_precision
        dots.append((label, [PlotPoint("fused model", p.value, p.low, p.high), PlotPoint("YAMNet", theirs)]))
    head = ["label", "with / without", "AP, unseen", "YAMNet", "recall at 1 false/h", "recall", "false events",
            "AP, all", "false in (recordings of the class)"]  # fmt: skip
    hours = sum(one.result.media_s for one in unseen) / 3600
    blocks: list[Block] = [
        HeadingBlock(2, "Sound events, all sound sets together"),
        TextBlock(
            f"Every label against every other sound: {len(unseen)} recordings of sources that were not open to "
            f"training ({hours:.2f} h), and all {len(sounds)}. These sets hold an event in nearly every clip, many of "
            "them near-misses; a rate an hour of them is far above a rate an hour of ordinary life."
        ),
        TableBlock(head, rows),
        PlotBlock(
            "sounds", "Average precision of sound events on unseen sources, with 95 % intervals", dot_plot(dots, "AP")
        ),
    ]
    return blocks, found


def modality_section(findings: EvaluationResults) -> list[Block]:
    """Fused, picture only and sound only on the clips that have both."""
    rows, dots = [], []
    for name in sorted({one.row.set_name for one in findings.cut.get("whole", ())}):
        lots = {view: [one for one in lot if one.row.set_name == name] for view, lot in findings.cut.items()}
        for label in labels_present(findings, lots["whole"]):
            found = {view: measure_label(lot, label) for view, lot in lots.items()}
            if found["whole"].positives < 3:
                continue
            cells = [f"{found[view].average_precision.value:.3f}" for view in ("whole", "picture", "sound")]
            rows.append(
                [DATASETS[name].title, label, f"{found['whole'].positives} / {found['whole'].negatives}", *cells]
            )
            shown_as = {"whole": "fused", "picture": "picture only", "sound": "sound only"}
            line = [
                PlotPoint(shown_as[v], f.average_precision.value, f.average_precision.low, f.average_precision.high)
                for v, f in found.items()
            ]
            dots.append((f"{name} {label}", line))
    blocks: list[Block] = [
        HeadingBlock(2, "Fused against its parts"),
        TextBlock(
            "The same clips, played whole, without their sound and without their picture (the stream is taken out of "
            "the file). Average precision; only labels with three clips or more."
        ),
    ]
    if not rows:
        return [*blocks, TextBlock("None of the labels of this model has three clips with picture and sound.")]
    blocks.append(TableBlock(["set", "label", "with / without", "fused", "picture only", "sound only"], rows))
    return [*blocks, PlotBlock("parts", "Average precision, whole and in part", dot_plot(dots, "AP"))]


def look_section(findings: EvaluationResults) -> list[Block]:
    """The same recordings with every window scored, every second and every fourth."""
    if not findings.looks:
        return []
    whole = findings.looks[1]
    rows = []
    for label in labels_present(findings, whole):
        found = {stride: measure_label(lot, label) for stride, lot in findings.looks.items()}
        if found[1].positives < 3 or not found[1].negatives:
            continue
        precision = " / ".join(f"{f.average_precision.value:.3f}" for f in found.values())
        recall = " / ".join(number_text(f.recall) for f in found.values())
        false = " / ".join(str(f.false_events) for f in found.values())
        rows.append([label, f"{found[1].positives} / {found[1].negatives}", precision, recall, false])
    times = ", ".join(f"{stride * HOP_S:g} s" for stride in findings.looks)
    return [
        HeadingBlock(2, "Looking less often"),
        TextBlock(
            f"A box with more cameras than it can look at scores some windows only. The {len(whole)} recordings of at "
            f"least {LONG_ENOUGH_S:g} s with a look every {times}; by the highest score and by the events that began."
        ),
        TableBlock(["label", "with / without", "AP", "recall", "false events"], rows),
    ]


def latency_section(findings: EvaluationResults) -> list[Block]:
    """From onset to telling."""
    rows, dots = [], []
    for label in dict.fromkeys(x.label for x in findings.latencies):
        lot = [x for x in findings.latencies if x.label == label]
        delays = sorted(x.seconds for x in lot if x.seconds is not None)
        if not delays:
            rows.append([label, f"0 of {len(lot)}", "–", "–"])
            continue
        rows.append([label, f"{len(delays)} of {len(lot)}", f"{median(delays):.1f}", f"{delays[-1]:.1f}"])
        dots.append((label, [PlotPoint("median, least to most", median(delays), delays[0], delays[-1])]))
    if not rows:
        return []
    return [
        HeadingBlock(2, "From onset to event"),
        TextBlock(
            "Recordings made here: three seconds of near silence, then a real recording from the 50 ms in which it is "
            "first at a tenth of its loudest. Media time from that onset to the window on which the event is told, the "
            "label's shortest duration included; computing and sending add what [benchmarks.md](benchmarks.md) says."
        ),
        TableBlock(["label", "told", "median, s", "longest, s"], rows),
        PlotBlock("latency", "Seconds from onset to event", dot_plot(dots, "s", (0, 6), 6)),
    ]


def calibration_section(findings: EvaluationResults) -> tuple[list[Block], list[LabelCalibration]]:
    """Reliability and expected calibration error on unseen sources."""
    lot = [one for one in findings.whole if not one.row.was_trained]
    found = []
    for label in labels_present(findings, lot):
        kinds = {one.row.kind for one in lot if one.row.truth(label)}
        same = [one for one in lot if one.row.kind in kinds]
        c = label_calibration(same, label, findings.spans)
        if c is not None:
            found.append(c)
    if not found:
        return [], found
    rows = [
        [
            c.label,
            f"{c.positives} / {c.recordings - c.positives}",
            number_text(c.by_recording, 3),
            number_text(c.by_window, 3),
        ]
        for c in found
    ]
    mean = [fmean(c.by_recording for c in found), fmean(c.by_window for c in found if c.by_window == c.by_window)]
    rows.append(["**mean**", "", f"{mean[0]:.3f}", f"{mean[1]:.3f}"])
    blocks: list[Block] = [
        HeadingBlock(2, "Calibration on unseen sources"),
        TextBlock(
            "Expected calibration error over ten equal-width bins of the score: the sum over bins of (share of the "
            "scores in it) x |mean score - share with the event|. By recording: its highest score against whether it "
            "holds the event. By window: windows of recordings with the event count where the sound is active (a tenth "
            "of its loudest, half a second or all of it within the window); all windows of the others count as "
            "without. The recordings of each label are those of its own kind (sounds, pictures, clips), with the "
            "shares that these sets happen to have."
        ),
        TableBlock(["label", "with / without", "ECE by recording", "ECE by window"], rows),
        PlotBlock(
            "reliability",
            "Share with the event over mean score, by recording; larger dots hold more recordings",
            reliability_plot({c.label: c.bins for c in found}),
        ),
    ]
    return blocks, found


def failure_section(findings: EvaluationResults) -> list[Block]:
    """The labels that do worst, and some of what was missed, by name."""
    items = []
    for label in labels_present(findings, findings.whole):
        lot = missed_recordings(findings.whole, label)
        total = sum(bool(one.row.truth(label)) for one in findings.whole)
        if lot:
            some = ", ".join(f"`{name}` ({peak:.2f})" for name, peak in lot[:3])
            items.append(f"**{label}**: missed in {len(lot)} of {total} recordings; lowest: {some}")
    return [HeadingBlock(2, "Where it fails"), ListBlock(items)] if items else []


def dataset_section(findings: EvaluationResults) -> list[Block]:
    """What was measured on what, and what was not judged."""
    rows = []
    for name in sorted({row.set_name for row in findings.rows}):
        lot = [row for row in findings.rows if row.set_name == name]
        tier = ", ".join(sorted({row.tier for row in lot}))
        use = (
            f"{sum(r.was_trained for r in lot)} of {len(lot)} from sources open to training"
            if "open" in tier
            else "measured only"
        )
        rows.append([DATASETS[name].title, f"`{name}`", tier, str(len(lot)), use, DATASETS[name].note])
    unclear = [
        f"**{label.name}**: {', '.join(names)}" for label in findings.labels if (names := ambiguous_classes(label.name))
    ]
    return [
        HeadingBlock(2, "What is judged"),
        TextBlock(
            "Sets of the tier *open* have licences under which parts of them were trained on; *noncommercial* and "
            "*restricted* ones were never trained, chosen or calibrated on. A recording of an unseen set whose source "
            "(Freesound number) also lies in training counts as seen."
        ),
        TableBlock(["set", "name", "tier", "recordings", "use", "note"], rows),
        TextBlock("Classes that may hold a label without being named for it count neither way:"),
        ListBlock(unclear),
        TextBlock(
            "`person`, `vehicle` and `animal` may be in any picture and are judged only where a class names them."
        ),
    ]


def tier_text(lot: Sequence[ScoredRecording]) -> str:
    """The tier of a set, and whether parts of it were open to training."""
    tiers = ", ".join(sorted({one.row.tier for one in lot}))
    return f"{tiers} (trained in part)" if any(one.row.was_trained for one in lot) else tiers


def labels_present(findings: EvaluationResults, lot: Sequence[ScoredRecording]) -> list[str]:
    """The model's labels that occur in ``lot``."""
    held = {label for one in lot for label in TRUTH.get(one.row.label, ())}
    return [name for name in label_names(findings) if name in held]


def label_names(findings: EvaluationResults) -> list[str]:
    """The labels measured, in the model's order."""
    return [label.name for label in findings.labels]


def yamnet_average_precision(findings: EvaluationResults, lot: Sequence[ScoredRecording], label: str) -> float:
    """YAMNet's average precision over the same recordings; NaN where it was not run."""
    scores = findings.yamnet.get(label)
    return average_precision_of(lot, scores, label) if scores else float("nan")


def false_event_text(f: LabelMetrics) -> str:
    """False events, and in how many hours; a dash without negatives."""
    if f.label in UNLABELLED or not f.negatives:
        return "–"
    return f"{f.false_events} in {f.hours:.2f} h"
