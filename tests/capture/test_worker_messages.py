"""What a capture worker and the daemon tell each other: every record comes as it went, and nothing else is read."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.capture.worker.messages import (
    COMMAND_BYTES,
    Began,
    Ended,
    EndKind,
    MalformedBatchError,
    Opened,
    PacketsBegin,
    Record,
    apply_command,
    attend_command,
    pack,
    plain_record,
    unpack,
    want_command,
)
from edge.capture.worker.recorded_metrics import RecordedMetrics, add_changes
from edge.demand import CaptureProgress, DecodeState, DecodeStatus, PictureDemand, WakeReason
from edge.metrics import Metrics
from edge.types import AudioChunk, Frame, Gap, LumaSample, Packet, SkippedPictures, Stream

TIMES = st.integers(-(2**62), 2**62)
RECORDS = st.one_of(
    st.builds(LumaSample, TIMES, TIMES, st.floats(0, 255), st.none() | TIMES),
    st.builds(
        SkippedPictures, st.lists(st.tuples(TIMES, TIMES), max_size=4).map(tuple), st.integers(0, 99), TIMES, TIMES
    ),
    st.builds(Gap, st.text(max_size=9), TIMES),
    st.builds(Packet, st.sampled_from(Stream), TIMES, TIMES, TIMES, TIMES, st.booleans(), st.binary(max_size=99)),
    st.builds(PacketsBegin, st.binary(max_size=99)),
    st.builds(Began, st.integers(1, 2**63)),
    st.builds(Opened, st.booleans(), st.booleans()),
    st.builds(Ended, st.sampled_from(EndKind), st.text(max_size=99)),
)
PROGRESS = st.builds(
    CaptureProgress,
    st.builds(DecodeStatus, st.sampled_from(DecodeState), st.sampled_from(WakeReason), st.none() | st.floats(0, 99)),
    st.booleans(),
    TIMES,
    st.none() | TIMES,
    st.none() | TIMES,
    st.none() | TIMES,
)


def sent(*records: Record) -> list[Record]:
    return list(unpack(pack([plain_record(record) for record in records], (), None, 0)).records)


@given(st.lists(RECORDS, max_size=6), st.none() | PROGRESS, TIMES)
def test_a_batch_comes_as_it_went(records: list[Record], progress: CaptureProgress | None, processor_ns: int) -> None:
    changes = [("drops", ("yard", "decode"), "inc", 2.0)]
    batch = unpack(pack([plain_record(record) for record in records], changes, progress, processor_ns))
    assert (batch.records, batch.metrics, batch.progress, batch.processor_ns) == (
        *(records, changes, progress, processor_ns),
    )


def test_pixels_and_samples_come_as_they_were_when_they_were_added() -> None:
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    samples = np.linspace(-1, 1, 100, dtype=np.float32)
    plain = [
        plain_record(Frame(5, 7, image, (0.0, 0.1, 1.0, 0.9), 9)),
        plain_record(AudioChunk(11, 13, samples)),
    ]
    before, heard = image.copy(), samples.copy()
    image[:], samples[:] = 0, 0
    frame, chunk = unpack(pack(plain, (), None, 0)).records
    assert isinstance(frame, Frame)
    assert isinstance(chunk, AudioChunk)
    assert (frame.pts_ns, frame.arrival_ns, frame.content, frame.ready_ns) == (5, 7, (0.0, 0.1, 1.0, 0.9), 9)
    assert np.array_equal(frame.image, before)
    assert np.array_equal(chunk.samples, heard)
    assert (chunk.pts_ns, chunk.arrival_ns) == (11, 13)


class Harmful:
    """Were it looked up, reading it would call what it names."""

    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("read",))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        pickle.dumps(Harmful()),
        pickle.dumps(((Harmful(),), (), None, 0)),
        pickle.dumps(((("unknown", 1),), (), None, 0)),
        pickle.dumps(((("luma", 1),), (), None, 0)),
        pickle.dumps(((("frame", 0, 0, (4, 4, 3), b"short", (0, 0, 1, 1), None),), (), None, 0)),
        pickle.dumps(((), (), ("asleep", "start", None, False, 0, None, None, None), 0)),
        pickle.dumps(((), (), None)),
        pack([plain_record(Gap("jump", 1))], (), None, 0)[:-4],
    ],
)
def test_anything_else_is_refused(data: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MalformedBatchError):
        unpack(data)
    assert capsys.readouterr().out == ""


@given(st.sampled_from(WakeReason), TIMES, st.integers(1, 4), st.booleans())
def test_commands_do_on_the_other_side_what_was_asked(
    reason: WakeReason, until_ns: int, stride: int, limited: bool
) -> None:
    demand = PictureDemand()
    commands = want_command(reason, until_ns) + attend_command(stride, is_limited=limited)
    for at in range(0, len(commands), COMMAND_BYTES):
        apply_command(
            commands[at : at + COMMAND_BYTES],
            demand.want,
            lambda stride, limited: demand.attend(stride, is_limited=limited),
        )
    assert demand.asked() == {reason: until_ns}
    assert (demand.key_stride, demand.is_limited) == (stride, limited)


def test_recorded_metrics_add_up_to_the_same_as_direct_ones() -> None:
    direct, total, recorded = Metrics(), Metrics(), RecordedMetrics()
    for metrics in (direct, recorded):
        metrics.frames.labels("yard").inc(3)
        metrics.frames.labels("yard").inc()
        metrics.drops.labels("yard", "decode").inc(0)
        metrics.awake.labels("yard").set(1)
        metrics.awake.labels("yard").set(0)
        metrics.decode_s.labels("yard").observe(0.02)
        metrics.decode_s.labels("yard").observe(3.0)
    add_changes(total, recorded.take())
    assert recorded.take() == []

    def values(metrics: Metrics) -> dict[tuple[str, str], float]:
        return {
            (sample.name, str(sample.labels)): sample.value
            for family in metrics.registry.collect()
            for sample in family.samples
            if sample.value and not sample.name.endswith("_created")
        }

    assert values(total) == values(direct)


@pytest.mark.parametrize("change", [("registry", (), "inc", 1.0), ("frames", ("yard",), "clear", 1.0)])
def test_changes_of_anything_else_are_refused(change: tuple[str, tuple[str, ...], str, float]) -> None:
    with pytest.raises(ValueError, match="is not recorded"):
        add_changes(Metrics(), [change])
