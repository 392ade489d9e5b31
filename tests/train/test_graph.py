"""The exported graph keeps its contract: golden, masks, contributions, memory, boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
from edge.train import labels as L  # noqa: N812
from edge.train.recipe.export import sample_inputs
from edge.train.recipe.graphs import OUTPUTS, PARTS, open_session, run_onnx, run_parts

pytestmark = pytest.mark.learn
FOLDER = Path(__file__).parents[2] / "engines" / "fused"


@pytest.fixture(scope="module")
def session() -> Any:
    if not (FOLDER / "fused.onnx").exists():
        pytest.skip("no weights here: run `edge train`")
    return open_session(FOLDER / "fused.onnx", 2)


def run(session: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return dict(zip(OUTPUTS, session.run(list(OUTPUTS), inputs), strict=True))


def test_golden_reproduces(session: Any) -> None:
    stored = np.load(FOLDER / "golden.npz")
    got = run(session, {k[3:]: stored[k] for k in stored.files if k.startswith("in_")})
    for name, value in got.items():
        want = stored[f"out_{name}"]
        assert np.all(np.abs(value - want) <= 0.002 + 0.01 * np.abs(want)), name


def test_manifest_matches_files() -> None:
    import yaml

    from edge.engine.manifest import Manifest, sha256_of

    if not (FOLDER / "fused.onnx").exists():
        pytest.skip("no weights here")
    manifest = Manifest.model_validate(yaml.safe_load((FOLDER / "model.yaml").read_text(encoding="utf-8")))
    assert manifest.label_names == L.LABEL_NAMES
    assert manifest.sha256 == sha256_of(FOLDER / "fused.onnx")
    assert manifest.golden.sha256 == sha256_of(FOLDER / "golden.npz")
    assert len((FOLDER / "audioset527.txt").read_text(encoding="utf-8").splitlines()) == L.TAGS


def test_content_of_masked_inputs_never_matters(session: Any) -> None:
    rng = np.random.default_rng(0)
    a = sample_inputs(4, seed=2)
    a["video_ok"][:] = [[1, 1], [0, 0], [0, 1], [1, 0]]
    a["audio_ok"][:] = [0, 1, 0, 1]
    a["sensor_ok"][:, ::2] = 0
    a["memory_ok"][:, :8] = 0
    b = {k: v.copy() for k, v in a.items()}
    b["frames"][a["video_ok"] == 0] = rng.integers(0, 255, b["frames"][a["video_ok"] == 0].shape, dtype=np.uint8)
    b["audio"][a["audio_ok"] == 0] = rng.uniform(-1, 1, (2, L.SAMPLES))
    b["sensors"][a["sensor_ok"] == 0] = 50.0
    b["memory"][a["memory_ok"] == 0] = 9.0
    first, second = run(session, a), run(session, b)
    for name in OUTPUTS:
        np.testing.assert_allclose(first[name], second[name], atol=1e-5, err_msg=name)


def test_contribution_is_the_ablation_and_zero_where_missing(session: Any) -> None:
    x = sample_inputs(3, seed=5)
    x["sensor_ok"][:] = 1
    x["video_ok"][:], x["audio_ok"][:] = 1, 1
    x["video_ok"][1], x["audio_ok"][2] = 0, 0
    full = run(session, x)
    assert np.all(full["contribution"][1, :, 0] == 0)
    assert np.all(full["contribution"][2, :, 1] == 0)
    for m, mask in enumerate(("video_ok", "audio_ok", "sensor_ok")):
        without = run(session, x | {mask: np.zeros_like(x[mask])})
        np.testing.assert_allclose(full["contribution"][:, :, m], full["logits"] - without["logits"], atol=2e-3)


def test_nothing_seen_or_heard_is_no_event(session: Any) -> None:
    x = sample_inputs(1, seed=9)
    for mask in ("video_ok", "audio_ok", "sensor_ok"):
        x[mask][:] = 0
    out = run(session, x)
    assert np.all(out["logits"] < 0)
    assert np.all(out["boxes"] == 0)
    assert np.all(out["evidence"] == 0)
    assert np.all(out["tags"] == 0)


def test_rows_do_not_depend_on_their_neighbours(session: Any) -> None:
    many = sample_inputs(3, seed=4)
    together = run(session, many)
    alone = run(session, {k: v[1:2] for k, v in many.items()})
    for name in OUTPUTS:
        np.testing.assert_allclose(together[name][1:2], alone[name], atol=2e-3, err_msg=name)


def test_memory_matters_and_the_token_does_not_feed_on_it(session: Any) -> None:
    x = sample_inputs(1, seed=6)
    full, empty = run(session, x), run(session, x | {"memory_ok": np.zeros_like(x["memory_ok"])})
    np.testing.assert_allclose(full["token"], empty["token"], atol=1e-5)
    assert np.abs(full["embedding"] - empty["embedding"]).max() > 1e-4


def test_shapes_at_every_batch(session: Any) -> None:
    for batch in (1, 2, 5):
        out = run(session, sample_inputs(batch, seed=batch))
        assert out["logits"].shape == (batch, len(L.LABELS))
        assert out["contribution"].shape == (batch, len(L.LABELS), 3)
        assert out["boxes"].shape == (batch, L.BOXES, 6)
        assert out["evidence"].shape == (batch, *L.GRID)
        assert out["tags"].shape == (batch, L.TAGS)
        assert out["token"].shape == out["embedding"].shape == (batch, L.TOKEN_DIM)


@pytest.mark.parametrize("name", ["fused", *PARTS])
def test_the_graph_says_nothing_of_the_machine_that_made_it(name: str) -> None:
    graph = (FOLDER / f"{name}.onnx").read_bytes()
    assert b"stack_trace" not in graph
    assert b".py" not in graph


def test_the_parts_one_after_another_are_the_whole() -> None:
    x = sample_inputs(3, seed=8)
    whole, parts = run_onnx(FOLDER / "fused.onnx", x), run_parts(FOLDER, x)
    for name in OUTPUTS:
        np.testing.assert_allclose(parts[name], whole[name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", PARTS)
def test_a_part_takes_nothing_that_needs_a_plugin(name: str) -> None:
    import onnx

    graph = onnx.load(str(FOLDER / f"{name}.onnx")).graph
    assert {node.domain for node in graph.node} <= {"", "ai.onnx"}
    assert not {"GatherElements", "ScatterElements", "If", "Loop"} & {node.op_type for node in graph.node}
