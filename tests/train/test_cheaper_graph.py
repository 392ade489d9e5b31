"""What was written another way to cost less says what the plain form says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402, N812

from edge.train.nets.body import rotate_halved  # noqa: E402
from edge.train.nets.detector import AnchorPredictions, YoloxNano, channel_max, class_scores_and_boxes, gather_columns  # noqa: E402
from edge.train.nets.image import LUMA_CHANNEL, halve, motion_grid, square_features  # noqa: E402
from edge.train.nets.motion import COST_LIMIT, BlockMatcher, MotionNet  # noqa: E402

pytestmark = pytest.mark.learn
Tensor = torch.Tensor


def pictures(count: int, height: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random pictures as rows of interleaved colours [N,1,H,3W] and as [N,3,H,W]."""
    whole = torch.randint(0, 256, (count, height, width, 3), generator=torch.Generator().manual_seed(seed)).float()
    return whole.reshape(count, 1, height, 3 * width), whole.permute(0, 3, 1, 2)


def test_halves_are_the_means_of_four_pixels_to_the_bit() -> None:
    rows, planes = pictures(2, 32, 64)
    assert torch.equal(halve(rows), F.avg_pool2d(planes, 2))


def test_squares_are_means_of_sixteen_pixels() -> None:
    rows, planes = pictures(2, 256, 448)
    squares, mean = square_features(rows), F.avg_pool2d(planes, 4)
    torch.testing.assert_close(squares[:, :3], mean / 255)
    torch.testing.assert_close(squares[:, 3:4], (mean / 255).mean(1, keepdim=True))
    torch.testing.assert_close(squares[:, 4], (mean[:, 0] - mean[:, 2]) / 255, atol=1e-6, rtol=0)
    luma = F.conv2d(planes, MotionNet().luma, stride=4)
    torch.testing.assert_close(squares[:, LUMA_CHANNEL:], luma, atol=1e-4, rtol=0)


def test_the_detector_reads_interleaved_rows_as_planes() -> None:
    torch.manual_seed(1)
    net, (rows, planes) = YoloxNano().requires_grad_(False).eval(), pictures(2, 64, 96)
    one, other = net.from_interleaved(rows), net(planes)
    for a, b in zip((*one.anchors, *one[1:]), (*other.anchors, *other[1:]), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_people_alone_are_the_first_class() -> None:
    torch.manual_seed(2)
    net, (_, planes) = YoloxNano().requires_grad_(False).eval(), pictures(1, 64, 64)
    alone, every = net.detect_people(planes), net(planes).anchors
    assert torch.equal(alone.box, every.box)
    assert torch.equal(alone.objectness, every.objectness)
    torch.testing.assert_close(alone.classes, every.classes[:, :1])


def test_anchors_are_decoded_level_by_level() -> None:
    torch.manual_seed(3)
    net, (_, planes) = YoloxNano().requires_grad_(False).eval(), pictures(1, 64, 96)
    found, maps = net(planes), []
    for head, neck, stride in zip(net.heads, found[1:], (8, 16, 32), strict=True):
        x = head.stem(neck)
        boxes = head.box_out(head.boxes(x))
        y, x = torch.meshgrid(torch.arange(boxes.shape[2]), torch.arange(boxes.shape[3]), indexing="ij")
        centre = (boxes[:, :2] + torch.stack([x, y])) * stride
        maps.append(torch.cat([centre, boxes[:, 2:].exp() * stride], 1).flatten(2))
    torch.testing.assert_close(found.anchors.box, torch.cat(maps, 2), atol=1e-4, rtol=1e-5)


def test_the_largest_pooling_is_a_pooling_of_poolings() -> None:
    x = torch.randn(1, 4, 9, 11, generator=torch.Generator().manual_seed(4))
    nine = F.max_pool2d(F.max_pool2d(x, 5, 1, 2), 5, 1, 2)
    assert torch.equal(nine, F.max_pool2d(x, 9, 1, 4))
    assert torch.equal(F.max_pool2d(nine, 5, 1, 2), F.max_pool2d(x, 13, 1, 6))


def test_classes_are_the_best_products_and_labels_those_of_the_best_class() -> None:
    g = torch.Generator().manual_seed(5)
    box = torch.rand(2, 4, 200, generator=g) * 100 + 20
    found = AnchorPredictions(box, torch.rand(2, 1, 200, generator=g), torch.rand(2, 80, 200, generator=g))
    products = found.classes * found.objectness
    classes, boxes = class_scores_and_boxes(found, 8, 448, 256)
    assert torch.equal(classes, products.amax(2))
    for row in range(2):
        at = int(products[row].amax(0).argmax())
        assert float(boxes[row, 0, 4]) == pytest.approx(float(products[row, :, at].max()))
        assert int(boxes[row, 0, 5]) == int(products[row, :, at].argmax())
    assert torch.equal(channel_max(found.classes), found.classes.amax(1))
    order = torch.randint(0, 200, (2, 7), generator=g)
    assert torch.equal(gather_columns(found.classes, order), found.classes.gather(2, order[:, None].expand(-1, 80, -1)))


def test_a_turned_picture_is_the_flipped_one_transposed_to_the_bit() -> None:
    half = torch.rand(2, 3, 8, 224, generator=torch.Generator().manual_seed(6))
    assert torch.equal(rotate_halved(half), torch.cat([half.transpose(2, 3), half.flip(3).transpose(2, 3)], 0))


@pytest.mark.parametrize(("shrink", "across", "down"), [(4, 6, 3), (8, 6, 4)])
def test_shifting_the_one_picture_costs_what_shifting_the_other_does(shrink: int, across: int, down: int) -> None:
    g = torch.Generator().manual_seed(7)
    now, before = (torch.rand(1, 1, 256 // shrink, 448 // shrink, generator=g) * 255 for _ in range(2))
    net = BlockMatcher(shrink, across, down)
    wide, costs = F.pad(before, (across, across, down, down), mode="replicate"), []
    for j in range(2 * down + 1):
        for i in range(2 * across + 1):
            shifted = wide[:, :, j : j + now.shape[2], i : i + now.shape[3]]
            gap = (now - shifted).clamp(-COST_LIMIT, COST_LIMIT).abs()
            costs.append(net.over_rows @ (gap @ net.over_columns))
    torch.testing.assert_close(net.cost(now, before), torch.cat(costs, 1), atol=1e-4, rtol=0)


def test_the_place_of_the_minimum_is_the_weighted_mean_of_the_shifts() -> None:
    g = torch.Generator().manual_seed(8)
    net = BlockMatcher(4, 6, 3)
    cost, weight = torch.rand(1, 91, 16, 28, generator=g) * 30, torch.rand(1, 91, 16, 28, generator=g)
    whole, part = net.subpixel_minimum(cost, weight)
    share = weight / weight.sum(1, keepdim=True)
    torch.testing.assert_close(whole, F.conv2d(share, net.steps), atol=1e-4, rtol=0)
    wide = torch.cat([cost[:, :13], cost, cost[:, -13:]], 1)
    best, left, right, above, below = ((share * wide[:, k : k + 91]).sum(1) for k in (13, 12, 14, 0, 26))
    for n, (one, other) in enumerate(((left, right), (above, below))):
        want = (0.5 * (one - other) / (torch.maximum(one, other) - best + 0.05)).clamp(-0.5, 0.5)
        torch.testing.assert_close(part[:, n], want, atol=1e-4, rtol=0)


def test_colour_and_change_by_cells_are_what_they_are_called() -> None:
    now, before = (square_features(pictures(1, 256, 448, seed)[0]) for seed in (9, 10))
    cells, change = motion_grid(now, before), now[:, 3:4] - before[:, 3:4]
    bright = now[:, 3:4]
    warm, earlier = now[:, 4:5].clamp(min=0), before[:, 4:5].clamp(min=0)
    mean = F.avg_pool2d(bright, 8)
    want = torch.cat(
        [
            F.avg_pool2d(now[:, :3], 8), F.max_pool2d(bright, 8),
            (F.avg_pool2d(bright * bright, 8) - mean * mean).clamp(min=0) * 8, F.avg_pool2d(warm, 8) * 2,
            F.avg_pool2d(change.abs(), 8) * 4, F.avg_pool2d(change, 8) * 4, F.max_pool2d(change.abs(), 8),
            change.mean((2, 3), keepdim=True).expand(-1, -1, 8, 14) * 4, F.max_pool2d((warm - earlier).abs(), 8),
            F.avg_pool2d((bright - 0.85).clamp(min=0) * 6, 8),
        ],
        1,
    )  # fmt: skip
    torch.testing.assert_close(cells, want, atol=1e-5, rtol=0)


def test_parts_are_put_together_by_the_names_they_share(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    from edge.train.recipe.graphs import PARTS, merge_parts, run_onnx

    def save(name: str, inputs: list[str], output: str) -> None:
        """`output` = the sum of `inputs` and 1; inside, every part calls its values alike."""
        one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
        nodes = [helper.make_node("Sum", [*inputs, "one"], ["inside"], "a"), helper.make_node("Neg", ["inside"], ["b"])]
        nodes.append(helper.make_node("Neg", ["b"], [output], "c"))
        values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 1]) for n in (*inputs, output)]
        graph = helper.make_graph(nodes, name, values[:-1], values[-1:], [one])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        onnx.save(model, str(tmp_path / f"{name}.onnx"))

    for name, inputs, output in zip(PARTS, (["x", "ok"], ["y"], ["s", "h", "ok"]), ("s", "h", "out"), strict=True):
        save(name, inputs, output)
    merge_parts(tmp_path, tmp_path / "whole.onnx")
    x = {name: np.full((2, 1), value, np.float32) for name, value in (("x", 1), ("y", 2), ("ok", 4))}
    got = run_onnx(tmp_path / "whole.onnx", x)
    assert got["out"].tolist() == [[1 + 4 + 1 + 2 + 1 + 4 + 1]] * 2
