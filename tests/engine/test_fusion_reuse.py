"""The fusion is left out where its answer is known, and only there; what is encoded for its age may be dropped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import toy_model
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_parts import Toy

from edge.engine.gating.caches import AnswerInputs
from edge.engine.manifest import ModelFolder, find_folder, load_folder
from edge.engine.model import Model
from edge.engine.select import open_parts
from edge.metrics import Metrics
from edge.signal_change import DEFAULT_GATE_LIMITS
from edge.types import Scores, Window

HOPS_TO_EXPIRY = round(DEFAULT_GATE_LIMITS.pictures_s / 0.5)
SCRIPTS = st.lists(
    st.tuples(
        st.sampled_from([100, 101, 102, 180]),  # grey of one camera
        st.sampled_from([0, 200]),  # and of another
        st.sampled_from([0.0, 0.0, 0.0, 0.5]),  # sensors
        st.sampled_from([0.0, 0.0, 0.1]),  # sound
        st.integers(1, 7),  # times
    ),
    min_size=1,
    max_size=8,
)
Script = list[tuple[int, int, float, float, int]]


def never(_inputs: AnswerInputs, _window: Window) -> bool:
    return False


def play(toy: Toy, script: Script) -> list[Scores]:
    seq, found = 0, []
    for one, other, sensors, sound, times in script:
        for _ in range(times):
            seq += 1
            toy.model.batch.sensors[:] = sensors
            toy.model.batch.audio[:] = sound
            found += toy.show(seq, one=one, other=other).values()
    return found


def bits(scores: Scores) -> tuple[object, ...]:
    assert scores.features is not None
    arrays = (scores.embedding, scores.evidence, *(getattr(scores.features, n) for n in scores.features.__slots__))
    names = ("camera", "seq", "t_end_ns", "values", "contribution", "boxes", "tags", "coverage", "picture")
    return (*(repr(getattr(scores, name)) for name in names), *(a.tobytes() for a in arrays if a is not None))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return toy_model.toy_folder(tmp_path_factory.mktemp("parts"))


@given(SCRIPTS)
@settings(max_examples=40, deadline=None)
def test_an_answer_that_is_reused_is_the_one_that_would_have_come(folder: ModelFolder, script: Script) -> None:
    toy = Toy(folder)
    reused = [bits(scores) for scores in play(toy, script)]
    always = Toy(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AnswerInputs, "are_as_before", never)
        assert reused == [bits(scores) for scores in play(always, script)]
    assert sum(toy.fuse.rows) <= sum(always.fuse.rows)


@given(st.lists(st.integers(1, toy_model.MEMORY), min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_windows_left_out_of_a_quiet_camera_change_no_answer_and_cost_nothing(
    folder: ModelFolder, steps: list[int]
) -> None:
    toy = Toy(folder)
    rested = [toy.show(hop, yard=100)["yard"] for hop in range(2 + toy_model.MEMORY)][-1]
    seq, ran = rested.seq, toy.count("encoded", "yard", "fusion")
    vision = toy.count("encoded", "yard", "vision")
    for step in steps:
        seq += step
        assert toy.show(seq, yard=100)["yard"].values == rested.values
    renewed = toy.count("encoded", "yard", "vision") - vision
    assert toy.count("encoded", "yard", "fusion") - ran <= renewed


def test_a_quiet_camera_is_not_fused_once_its_memory_has_come_to_rest(folder: ModelFolder) -> None:
    toy = Toy(folder)
    for hop in range(HOPS_TO_EXPIRY // 2):
        toy.show(hop, yard=100)
    ran = 1 + toy_model.MEMORY  # without memory, and while it fills
    assert (toy.count("encoded", "yard", "fusion"), toy.count("reused", "yard", "fusion")) == (
        ran,
        HOPS_TO_EXPIRY // 2 - ran,
    )


def grey_drifts(toy: Toy, start: int, step_hops: int, steps: int) -> list[Scores]:
    """A grey that grows by one level every so often, and what was found at the end of each step."""
    return [
        [toy.show(step * step_hops + hop, yard=start + step)["yard"] for hop in range(step_hops)][-1]
        for step in range(steps)
    ]


def test_what_is_encoded_for_its_age_is_dropped_where_the_answer_hardly_moves(folder: ModelFolder) -> None:
    toy = Toy(folder)
    first, second = grey_drifts(toy, 100, 2 * HOPS_TO_EXPIRY + 8, 2)
    assert toy.count("encoded", "yard", "vision") == 3  # at first, for its age, and after twice as long
    assert second.values == first.values


def test_it_is_taken_where_the_answer_moves_and_small_steps_add_up(folder: ModelFolder) -> None:
    toy = Toy(folder, replace(DEFAULT_GATE_LIMITS, probability=0.005, wide=10.0))
    levels = [scores.values["bright"] for scores in grey_drifts(toy, 214, HOPS_TO_EXPIRY + 4, 4)]
    true = [1 / (1 + np.exp(20 - 20 * grey / 255)) for grey in range(214, 218)]
    assert true[1] - true[0] < 0.005 < true[2] - true[0]
    assert levels == pytest.approx([true[0], true[0], true[2], true[2]], abs=1e-6)


def test_the_real_model_gives_the_same_bytes_whether_or_not_the_fusion_is_left_out() -> None:
    found = [real_scores(always=always) for always in (False, True)]
    assert found[0][0] == found[1][0]
    assert found[0][1] < found[1][1] - 10


def real_scores(*, always: bool) -> tuple[list[tuple[object, ...]], float]:
    """Bits of every answer to a picture that changes twice, with hiss, and how often the fusion ran."""
    folder = load_folder(find_folder("fused"))
    metrics, rng = Metrics(), np.random.default_rng(3)
    model = Model(folder, open_parts(folder, dict.fromkeys(folder.parts, "onnx"), 1, 1), metrics)
    geometry = folder.manifest.geometry
    picture = rng.integers(0, 256, (8, 14, 3)).astype(np.uint8).repeat(32, 0).repeat(32, 1)
    hop = round(geometry.audio.rate_hz * geometry.hop_s)
    hiss = (0.02 * rng.normal(size=hop * 80)).astype(np.float32)
    hiss[hop * 30 :] = 0
    found = []
    with pytest.MonkeyPatch.context() as patch:
        if always:
            patch.setattr(AnswerInputs, "are_as_before", never)
        for seq in range(70):
            if seq in (5, 27):
                picture = picture[::-1].copy()
            model.batch.frames[0] = picture
            model.batch.video_ok[0] = model.batch.audio_ok[0] = 1
            model.batch.audio[0] = hiss[seq * hop : seq * hop + geometry.audio.samples]
            (scores,) = model.score([toy_model.window(seq=seq, sensor_ok=(False,) * 8)]).scores
            found.append(bits(scores))
    model.close()
    ran = metrics.registry.get_sample_value("edge_encoded_total", {"camera": "gate", "part": "fusion"})
    assert ran is not None
    return found, ran


def test_nothing_of_a_forgotten_camera_is_reused(folder: ModelFolder) -> None:
    toy = Toy(folder)
    for hop in range(8):
        toy.show(hop, yard=100)
    toy.model.reset("yard")
    fresh = Toy(folder)
    assert bits(toy.show(8, yard=100)["yard"]) == bits(fresh.show(8, yard=100)["yard"])
