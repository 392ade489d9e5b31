"""The report: one self-contained HTML file without scripts; light or dark as the reader's system is set."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from edge.tune import plots
from edge.tune.offline_detector import DetectionResult
from edge.tune.result import (
    LabelTuning,
    TuningMistake,
    TuningResult,
    arrow,
    frequency,
    notable_rows,
    rate,
    share,
    short_names,
    speed_text,
    worst_mistakes,
)
from edge.tune.suggest import DAY_S, LEAST_QUIET_S, ThresholdEffect
from edge.tune.sweep import FALSE, FOUND, QUIET_S, SPANS, TunedRecording

MOST_RECORDINGS = 40


def report_html(outcome: TuningResult) -> str:
    """The whole report as text."""
    names = short_names([r.path for r in outcome.recordings])
    notable = notable_rows(outcome)
    silent = [row.sweep.label for row in outcome.rows if row not in notable]
    body = [_head(outcome), _summary(notable, silent, is_labelled=outcome.has_labels), _diff_section(outcome)]
    body += [_label(outcome, row, names) for row in notable]
    body.append(_recordings(outcome, notable, names))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Tuning</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main>{''.join(body)}</main></body></html>\n"
    )


def _head(outcome: TuningResult) -> str:
    hours = outcome.passed.media_s / 3600
    target = f"at most {outcome.per_day:g} false alarm{'' if outcome.per_day == 1 else 's'} a day for each event"
    labelled = sum(len(r.spans) for r in outcome.recordings)
    known = f"{labelled} labelled events" if outcome.has_labels else "no labels: what would be missed is not known"
    remarks = "".join(f"<p class='remark'>{escape(text)}</p>" for text in (*outcome.remarks, *outcome.unreadable))
    return (
        f"<header><h1>Tuning</h1><p class='lead'>Asked for: {target}.</p>"
        f"<p>{_recordings_counted(outcome)}, {hours:.2f} h, {known}; {escape(speed_text(outcome))}.</p>"
        f"{remarks}</header>"
    )


def _recordings_counted(outcome: TuningResult) -> str:
    count = len(outcome.recordings)
    return f"{count} recording{'' if count == 1 else 's'}"


def _summary(notable: Sequence[LabelTuning], silent: Sequence[str], *, is_labelled: bool) -> str:
    head = ("event", "enter", "recall", "precision", "F1", "false alarms a day", "not above*", "held apart**")
    rows = "".join(_summary_row(row, is_labelled) for row in notable)
    rest = f"<p class='note'>Nothing to say of {escape(', '.join(silent))}.</p>" if silent else ""
    notes = (
        "<p class='note'>* 95 % certain, if false alarms come by chance: few hours bound a rate loosely. "
        "** each recording with a threshold chosen on the others alone: spans found, false alarms. "
        "The other figures are of the recordings that the threshold was chosen on.</p>"
    )
    cells = "".join(f"<th>{text}</th>" for text in head)
    return f"<section><table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>{rest}{notes}</section>"


def _summary_row(row: LabelTuning, is_labelled: bool) -> str:
    s = row.suggestion
    before, after = s.before, s.after
    cells = (
        f"<a href='#{s.label}'>{s.label}</a>",
        f"<b>{arrow(f'{before.enter:g}', f'{after.enter:g}' if after else None)}</b>",
        _change(before.recall, after.recall if after else None),
        _change(before.precision, after.precision if after else None) if is_labelled else "–",
        _change(before.f1, after.f1 if after else None),
        arrow(frequency(before), frequency(after) if after else None),
        rate((after or before).at_most_per_day),
        f"{s.apart.found} of {s.apart.spans}, {s.apart.false} false" if s.apart else "–",
    )
    kind = "changed" if after else ""
    remark = (
        f"<tr class='said'><td></td><td colspan='{len(cells) - 1}'>{escape(s.remark)}</td></tr>" if s.remark else ""
    )
    return f"<tr class='{kind}'>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>{remark}"


def _change(before: float | None, after: float | None) -> str:
    return arrow(share(before), share(after) if after is not None else None)


def _diff_section(outcome: TuningResult) -> str:
    if not outcome.diff:
        return "<section><h2>config.yaml</h2><p>No change is suggested.</p></section>"
    lines = "".join(
        f"<span class='{'plus' if text[0] == '+' else 'minus' if text[0] == '-' else 'same'}'>{escape(text)}</span>\n"
        for text in outcome.diff.splitlines()
        if text
    )
    return f"<section><h2>config.yaml</h2><pre>{lines}</pre></section>"


def _label(outcome: TuningResult, row: LabelTuning, names: dict[Path, str]) -> str:
    swept, s = row.sweep, row.suggestion
    total = swept.counts.sum(axis=0)
    marks = [("current", s.before.enter), *([("suggested", s.after.enter)] if s.after else [])]
    is_long = total[:, QUIET_S] >= LEAST_QUIET_S
    per_day = np.divide(total[:, FALSE] * DAY_S, total[:, QUIET_S], out=np.full(len(total), np.nan), where=is_long)
    bands = s.bands
    right = plots.rate_plot(swept.thresholds, per_day, bands.per_day if bands else None, outcome.per_day, marks)
    left = ""
    if s.before.spans:
        positives = total[:, FOUND] + total[:, FALSE]
        recall = total[:, FOUND] / total[:, SPANS]
        precision = np.divide(total[:, FOUND], positives, out=np.full(len(positives), np.nan), where=positives > 0)
        curves = [
            ("recall", recall, bands.recall if bands else None),
            ("precision", precision, bands.precision if bands else None),
        ]
        key = "<p class='key'><i class='recall'></i>recall <i class='precision'></i>precision</p>"
        left = f"<figure>{plots.share_plot(swept.thresholds, curves, marks)}{key}</figure>"
    keys = "<p class='key'><i class='false'></i>false alarms a day <i class='current'></i>in force"
    keys += " <i class='suggested'></i>suggested</p>" if s.after else "</p>"
    if not is_long.any():
        keys = f"<p class='note'>Less than {LEAST_QUIET_S / 3600:g} h without it: too short to tell a rate.</p>{keys}"
    coarse = (
        "" if swept.is_exact else "<p class='note'>Counted by the whole detector at a coarse list of thresholds.</p>"
    )
    return (
        f"<section id='{s.label}'><h2>{s.label}</h2>{_effect_text(s.before, s.after, s.remark)}"
        f"<div class='pair'>{left}<figure>{right}{keys}</figure></div>{coarse}"
        f"{_mistakes(worst_mistakes(outcome, s.label), names)}</section>"
    )


def _effect_text(before: ThresholdEffect, after: ThresholdEffect | None, remark: str) -> str:
    found = f"{before.found} of {before.spans} found, " if before.spans else ""
    text = f"At {before.enter:g}: {found}{before.false} false in {before.quiet_s / 3600:.2f} h without it."
    if after:
        found = f"{after.found} of {after.spans} found, " if after.spans else ""
        text += f" At {after.enter:g}: {found}{after.false} false."
    return f"<p>{text} <span class='remark'>{escape(remark)}</span></p>"


def _mistakes(found: Sequence[TuningMistake], names: dict[Path, str]) -> str:
    if not found:
        return ""
    rows = "".join(
        f"<tr><td><span class='tag {m.kind}'>{m.kind}</span></td><td>{escape(names[m.path])}</td>"
        f"<td>{plots.clock_time(m.begin_s)}–{plots.clock_time(m.end_s)}</td><td>{m.peak:.3f}</td>"
        f"<td class='note'>{escape(m.why)}</td></tr>"
        for m in found
    )
    head = "<tr><th>worst of what is left</th><th>recording</th><th>time</th><th>highest score</th><th></th></tr>"
    return f"<table class='small'><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _recordings(outcome: TuningResult, notable: Sequence[LabelTuning], names: dict[Path, str]) -> str:
    shown = list(zip(outcome.recordings, outcome.after, strict=True))[:MOST_RECORDINGS]
    key = (
        "<p class='key'><i class='score'></i>score <i class='span'></i>labelled <i class='before'></i>events before "
        "<i class='after'></i>events after <i class='current'></i>in force <i class='suggested'></i>suggested</p>"
    )
    left = len(outcome.recordings) - len(shown)
    more = f"<p class='note'>{left} more recordings are not drawn.</p>" if left else ""
    parts = "".join(_recording(recording, after, notable, names[recording.path]) for recording, after in shown)
    return f"<section><h2>Recordings</h2>{key}{parts}{more}</section>"


def _recording(recording: TunedRecording, after: DetectionResult, notable: Sequence[LabelTuning], name: str) -> str:
    trace = recording.judged.trace
    media_s = trace.media_s
    length_s = float(media_s.max()) if len(media_s) else 0.0
    strips = []
    for row in notable:
        label, s = row.sweep.label, row.suggestion
        spans, old, new = recording.spans_of(label), recording.judged.intervals(label), after.intervals(label)
        column = trace.column(label)
        if not (spans or old or new):
            continue
        levels = [("current", s.before.enter), *([("suggested", s.after.enter)] if s.after else [])]
        events = [("before", old), *([("after", new)] if s.after else [])]
        strips.append(f"<h4>{label}</h4>" + plots.timeline_plot(media_s, column, spans, events, levels, length_s))
    inside = "".join(strips) or "<p class='note'>Nothing labelled, no event.</p>"
    return f"<article><h3>{escape(name)} <small>{plots.clock_time(length_s)}</small></h3>{inside}</article>"


STYLE = """
:root{--ink:#1d2530;--soft:#5d6b7c;--line:#e3e8ee;--ground:#f6f8fa;--paper:#fff;--recall:#1769aa;--precision:#8a4fbe;
--false:#c2410c;--current:#7a8796;--suggested:#0f8a5f;--span:#bfe3cf;--score:#9db8d4}
@media(prefers-color-scheme:dark){:root{--ink:#e4e9ef;--soft:#98a5b3;--line:#2c343e;--ground:#12161b;--paper:#1a2027;
--recall:#63b3f0;--precision:#c39bf0;--false:#f48a5a;--current:#8f9cab;--suggested:#3fce98;--span:#1f5a41;--score:#47617c}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1080px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:28px;margin:0 0 4px;letter-spacing:-.01em}h2{font-size:19px;margin:0 0 8px}
h3{font-size:15px;margin:18px 0 2px}h3 small{color:var(--soft);font-weight:400;margin-left:6px}
h4{font-size:12px;margin:8px 0 0;color:var(--soft);font-weight:600}
p{margin:4px 0}.lead{font-size:17px}.note,.remark,.key{color:var(--soft);font-size:13px}
section{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:18px 20px;margin:16px 0;
overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{font-size:12px;color:var(--soft);font-weight:600;text-align:left;padding:4px 14px 6px 0;white-space:nowrap}
td{padding:6px 14px 6px 0;border-top:1px solid var(--line);vertical-align:top;white-space:nowrap}
td:last-child{white-space:normal}tr.said td{border-top:0;padding-top:0;color:var(--soft);font-size:13px}
tr.changed b{color:var(--suggested)}
table.small{font-size:13px;margin-top:10px;width:auto}a{color:inherit}
.pair{display:flex;gap:20px;flex-wrap:wrap}figure{margin:10px 0 0;flex:1 1 400px;min-width:300px;max-width:510px}
svg{display:block;width:100%;height:auto}svg text{font-size:11px;fill:var(--soft)}svg text.row{font-size:8px}
.grid{stroke:var(--line)}.curve{fill:none;stroke-width:2;stroke-linejoin:round}
.curve.recall{stroke:var(--recall)}.curve.precision{stroke:var(--precision)}.curve.false{stroke:var(--false)}
.band{opacity:.14}.band.recall{fill:var(--recall)}.band.precision{fill:var(--precision)}.band.false{fill:var(--false)}
line.current{stroke:var(--current);stroke-dasharray:4 3;stroke-width:1.5}line.suggested{stroke:var(--suggested);
stroke-width:1.8}
line.asked{stroke:var(--soft);stroke-dasharray:2 3}svg text.asked{fill:var(--soft)}
rect.ground{fill:var(--ground)}rect.span{fill:var(--span)}polygon.score{fill:var(--score);stroke:var(--score);
stroke-width:.6;opacity:.85}
rect.before{fill:var(--current)}rect.after{fill:var(--suggested)}
.key i{display:inline-block;width:14px;height:3px;margin:0 5px 3px 12px;background:var(--soft)}
.key i:first-child{margin-left:0}.key i.recall{background:var(--recall)}.key i.precision{background:var(--precision)}
.key i.false{background:var(--false)}.key i.current{background:var(--current)}.key i.suggested,.key i.after{
background:var(--suggested)}
.key i.score{background:var(--score);height:9px;margin-bottom:0}.key i.span{background:var(--span);height:9px;
margin-bottom:0}
.key i.before{background:var(--current);height:6px;margin-bottom:1px}.key i.after{height:6px;margin-bottom:1px}
pre{background:var(--ground);border:1px solid var(--line);border-radius:8px;padding:12px 14px;overflow-x:auto;
margin:6px 0;
font:13px/1.5 ui-monospace,Menlo,Consolas,monospace}
.plus{color:var(--suggested)}.minus{color:var(--false)}.same{color:var(--soft)}
.tag{font-size:12px;border-radius:9px;padding:1px 8px;border:1px solid}.tag.missed{color:var(--recall)}
.tag.false{color:var(--false)}article+article{border-top:1px solid var(--line);margin-top:14px}
@media print{body{background:#fff}section{break-inside:avoid}}
"""
