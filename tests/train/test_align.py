"""The space that text, sound and picture share: masks, what is ordinary, learning, and the file for the service."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edge.train.align.calibration import loud_windows, platt_scaling  # noqa: E402
from edge.train.align.space import (  # noqa: E402
    KINDS,
    Phrase,
    TagLogits,
    TextSpace,
    all_phrases,
    background_statistics,
    initial_projection,
    load_synonyms,
    soft_info_nce,
    train_projection,
)
from edge.train.labels import RATE_HZ, TAGS  # noqa: E402
from edge.train.nets.heads import PICTURE_CONCEPTS, SPACE_DIM, TextProjection, load_text_projection  # noqa: E402

pytestmark = pytest.mark.learn


def phrases() -> tuple[list[Phrase], np.ndarray]:
    """Two phrases a tag around a direction of its own, one for everything else."""
    rng = np.random.default_rng(0)
    found = [Phrase(f"t{n}{k}", "tags", n) for n in range(TAGS) for k in range(2)]
    found += [Phrase(f"p{n}", "picture_tags", n) for n in range(1000)] + [
        Phrase(f"c{n}", "classes", n) for n in range(80)
    ]
    centres = rng.standard_normal((TAGS, 384)).repeat(2, 0)
    vectors = np.concatenate([centres + 0.3 * rng.standard_normal(centres.shape), rng.standard_normal((1080, 384))])
    return found, (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def heard(count: int = 600) -> TagLogits:
    """Every window holds one of 30 tags, well above the rest."""
    rng = np.random.default_rng(1)
    tags = rng.normal(-7, 1, (count, TAGS)).astype(np.float32)
    tags[np.arange(count), rng.integers(0, 30, count)] += 8
    return TagLogits(tags + rng.normal(0, 0.1, tags.shape).astype(np.float32), tags)


def test_what_is_absent_is_zero_and_what_is_there_has_length_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    net = TextProjection().eval()
    with torch.no_grad():
        net.heard_names.normal_()
        net.seen_names.normal_()
        there = torch.tensor([1.0, 0.0])
        found = net(torch.randn(2, TAGS), 1 - there[:, None], torch.rand(2, 1000), torch.rand(2, 80), there)
    assert found.shape == (2, 2, SPACE_DIM)
    assert torch.allclose(found.norm(dim=2), torch.tensor([[1.0, 0.0], [0.0, 1.0]]), atol=1e-4)
    path = tmp_path_factory.mktemp("align") / "align.pt"
    torch.save(net.state_dict(), path)
    assert torch.equal(load_text_projection(path).heard_names, net.heard_names)


def test_ordinary_is_the_median_and_the_reach_where_it_is_not_the_answer() -> None:
    rng = np.random.default_rng(2)
    odds = rng.normal(-5, 1, (2000, 200)).astype(np.float32)
    odds[:, 0] = rng.normal(-3, 1.5, 2000)  # always a little on
    odds[:100, 1] += 20  # the answer of some windows: that is not its reach
    usual, scale = background_statistics(odds)
    assert np.abs(usual[2:] + 5).max() < 0.15
    assert abs(usual[0] + 3) < 0.3
    assert scale[0] < 0.95
    assert abs(scale[1] - 1) < 0.1


def test_training_finds_the_words_of_what_is_heard() -> None:
    found, vectors = phrases()
    sounds = heard(256)
    net, space = initial_projection(
        sounds, np.random.default_rng(3).standard_normal((50, PICTURE_CONCEPTS)).astype(np.float32), found, vectors
    )
    with torch.no_grad():
        net.heard_names.normal_(0, 0.05)  # forget what the names are
    before = _named(net, space, sounds, vectors)
    space = train_projection(net, space, sounds, found, vectors, epochs=12, rate=1e-2)
    assert before < 0.2
    assert _named(net, space, sounds, vectors) > 0.8


def test_settling_moves_the_sharpness_into_the_scales_and_changes_no_answer() -> None:
    net = TextProjection().eval()
    with torch.no_grad():
        net.heard_names.normal_()
        net.heard_sharpness.fill_(0.8)
        tags = torch.randn(3, TAGS)
        before = net.project_sound(tags)
        net.fold_sharpness()
        assert torch.allclose(net.project_sound(tags), before, atol=1e-5)
    assert float(net.heard_sharpness.detach()) == float(TextProjection().heard_sharpness.detach())


def test_contrast_is_least_where_words_and_windows_meet() -> None:
    words = torch.eye(4, SPACE_DIM)
    teacher = torch.eye(4)
    assert soft_info_nce(words, words, teacher) < 0.01
    assert soft_info_nce(words.roll(1, 0), words, teacher) > 10


def test_platt_recovers_scale_and_offset() -> None:
    rng = np.random.default_rng(4)
    z = rng.normal(0, 3, 20_000)
    y = (rng.random(20_000) < 1 / (1 + np.exp(-(0.7 * z - 1.5)))).astype(np.float64)
    scale, offset = platt_scaling(z, y, np.ones_like(z))
    assert abs(scale - 0.7) < 0.04
    assert abs(offset + 1.5) < 0.08


def test_loud_windows_are_those_that_hold_the_sound() -> None:
    wave = np.zeros(5 * RATE_HZ, np.float32)
    wave[3 * RATE_HZ : 4 * RATE_HZ] = 0.5
    assert loud_windows(wave, 9).tolist() == [False] * 5 + [True] * 4  # windows end at 1.0, 1.5, …, 5.0 s


def test_words_are_about_what_the_model_knows() -> None:
    words = load_synonyms()
    assert set(words) == {"tags", "classes", "labels"}
    tags, classes = list(words["tags"]), list(words["classes"])
    found = all_phrases(tags, classes, ["hen", "tabby, tabby cat"], ["fire", "siren"])
    assert Phrase("tabby cat", "picture_tags", 1) in found
    assert Phrase("a fire", "labels", 0) in found
    assert not any(p.kind == "labels" and p.index == 1 for p in found)
    assert {p.kind for p in found} == set(KINDS)
    with pytest.raises(ValueError, match="does not know"):
        all_phrases(tags[1:], classes, [], [])


def _named(net: TextProjection, space: TextSpace, sounds: TagLogits, vectors: np.ndarray) -> float:
    """How often the closest of all tags' first phrases is the tag that stands out."""
    with torch.no_grad():
        there = net.project_sound(torch.from_numpy(sounds.tags)).numpy()
    nearest = (there @ space.project(vectors[: 2 * TAGS : 2]).T).argmax(1)
    return float((nearest == sounds.tags.argmax(1)).mean())
