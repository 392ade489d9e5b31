"""Movement by cells: what was shifted is found, what stood still is zero, and the graph says the same."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.learn

from edge.train.nets.motion import COLUMNS, MOTION_CHANNELS, ROWS, MotionNet  # noqa: E402

X, Y, GAIN, FIT, FAR_X = (MOTION_CHANNELS.index(name) for name in ("dx", "dy", "gain", "fit", "far_dx"))


def scene(seed: int = 0) -> np.ndarray:
    """Smooth texture f32[256,448]."""
    noise = np.random.default_rng(seed).uniform(40, 200, (34, 58))
    return np.kron(noise, np.ones((8, 8))).astype(np.float32)[:256, :448]


def moved(picture: np.ndarray, across: int, down: int, body: np.ndarray, at: tuple[int, int]) -> tuple[object, object]:
    """A body on a picture and the same body moved, as [1,3,256,448]; now and before."""
    pair = []
    for shift in (1, 0):
        one = picture.copy()
        y, x = at[0] + down * shift, at[1] + across * shift
        one[y : y + body.shape[0], x : x + body.shape[1]] = body
        pair.append(torch.from_numpy(np.repeat(one[None, None], 3, 1)))
    return pair[0], pair[1]


@pytest.fixture(scope="module")
def net() -> MotionNet:
    return MotionNet().eval()


def test_a_shape_a_cell_and_a_name_a_channel(net: MotionNet) -> None:
    answer = net(torch.rand(2, 3, 256, 448) * 255, torch.rand(2, 3, 256, 448) * 255)
    assert answer.shape == (2, ROWS, COLUMNS, len(MOTION_CHANNELS))
    assert bool(torch.isfinite(answer).all())


def test_equal_pictures_are_no_motion_known(net: MotionNet) -> None:
    picture = torch.rand(1, 3, 256, 448) * 255
    assert float(net(picture, picture).abs().max()) == 0.0


@pytest.mark.parametrize(("across", "down"), [(8, 0), (-12, 4), (20, -8), (0, 8)])
def test_a_body_moves_by_what_it_was_moved(net: MotionNet, across: int, down: int) -> None:
    body = scene(1)[:64, :64]
    now, before = moved(np.full((256, 448), 90, np.float32), across, down, body, (96, 192))
    answer = net(now, before)[0].numpy()
    inside = answer[7 + down // 16 : 9 + down // 16, 13 + across // 16 : 15 + across // 16]
    assert np.abs(inside[..., X] - across).max() < 1.5
    assert np.abs(inside[..., Y] - down).max() < 1.5
    assert inside[..., FIT].min() > 0.5
    far_away = answer[:3, :5]
    assert np.abs(far_away).max() == 0.0


def test_half_a_pixel_is_seen(net: MotionNet) -> None:
    x = np.arange(448, dtype=np.float32)

    def wave(shift: float) -> object:
        row = 120 + 60 * np.sin((x - shift) / 9) + 20 * np.sin((x - shift) / 5)
        return torch.from_numpy(np.broadcast_to(row, (1, 3, 256, 448)).astype(np.float32).copy())

    slow, fast = (net(wave(shift), wave(0.0))[0, 4:12, 6:22, X].numpy() for shift in (4.0, 6.0))
    assert np.median(fast) - np.median(slow) == pytest.approx(2.0, abs=0.4)


def test_what_is_too_fast_for_the_near_search_is_found_by_the_far_one(net: MotionNet) -> None:
    body = scene(2)[:128, :128]
    now, before = moved(np.full((256, 448), 90, np.float32), 40, 0, body, (64, 128))
    answer = net(now, before)[0].numpy()
    assert np.abs(answer[6:10, 13:16, FAR_X] - 40).max() < 5


def test_light_that_changes_everywhere_does_not_move(net: MotionNet) -> None:
    picture = torch.from_numpy(np.repeat(scene()[None, None], 3, 1))
    answer = net(picture + 12, picture)[0].numpy()
    assert np.median(answer[..., FIT]) < 0.2
    assert np.median(np.abs(answer[..., X])) < 1.0
    assert answer[..., MOTION_CHANNELS.index("brighter")].min() == pytest.approx(12, abs=0.01)


def test_the_exported_graph_says_the_same(net: MotionNet, tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    now, before = torch.rand(1, 3, 256, 448) * 255, torch.rand(1, 3, 256, 448) * 255
    path = tmp_path / "motion.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (now, before), str(path), opset_version=18, dynamo=True, input_names=["now", "before"])
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"now": now.numpy(), "before": before.numpy()})
    np.testing.assert_allclose(answer, net(now, before).numpy(), atol=0.01)
