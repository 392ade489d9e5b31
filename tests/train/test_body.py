"""Body features, the body head and the made people it learns from."""

from __future__ import annotations

import io

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edge.train.body import projection, scenes  # noqa: E402
from edge.train.body.augmentation import (  # noqa: E402
    MOTION_COLUMNS,
    Windows,
    forget,
    history_windows,
    judged_truth,
    splice,
)
from edge.train.body.calibration import (  # noqa: E402
    RecordingLogits,
    limit_false_alarms,
    recording_logits,
)
from edge.train.body.skeleton import STAND, KeyframeAnimation, joint_positions, pose  # noqa: E402
from edge.train.body.training import (  # noqa: E402
    BodySequences,
    BodyTrainingConfig,
    fit_body,
    held_out_loss,
    predict_all,
)
from edge.train.labels import BODY_DIM, MEMORY  # noqa: E402
from edge.train.nets import body as bodies  # noqa: E402
from edge.train.nets.detector import AnchorPredictions  # noqa: E402

pytestmark = pytest.mark.learn
SEEN = torch.ones(1, 2)
STILL = torch.zeros(1, 16, 28, 14)


def seen(rows: torch.Tensor) -> AnchorPredictions:
    """Rows [B,A,6] of centre, size, objectness and the person's probability as the detector has them."""
    columns = rows.transpose(1, 2)
    return AnchorPredictions(columns[:, :4], columns[:, 4:5], columns[:, 5:])


def raw(*found: tuple[float, float, float, float, float], anchors: int = 60) -> AnchorPredictions:
    """Detections of one picture with these people: centre, size, score."""
    out = torch.zeros(1, anchors, 6)
    for n, (*box, score) in enumerate(found):
        out[0, n, :4] = torch.tensor(box)
        out[0, n, 4], out[0, n, 5] = 1.0, score
    return seen(out)


EMPTY = torch.zeros(2, 60, 6)
NOBODY = seen(EMPTY)


def test_turned_pictures_and_boxes_agree() -> None:
    now = torch.zeros(1, 3, 256, 448)
    now[:, :, 100:140, 300:420] = 200.0  # lies to the right
    for n, picture in enumerate(bodies.rotate_to_sides(now)):
        rows, columns = np.nonzero(picture[0].numpy() > 100)
        x0, x1, y0, y1 = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
        turned = EMPTY.clone()
        turned[n, 0, :6] = torch.tensor([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0, 1.0, 0.8])
        boxes, scores = bodies.lying_candidates(seen(turned))
        assert boxes[0, 0].tolist() == [360.0, 120.0, 120.0, 40.0]
        assert scores[0, 0] == pytest.approx(0.8)


def test_one_who_stands_and_one_who_lies_are_told_apart() -> None:
    stands = bodies.body_features(raw((200, 128, 50, 140, 0.9)), NOBODY, STILL, SEEN)[0]
    turned = EMPTY.clone()
    turned[0, 0, :6] = torch.tensor([90.0, 100.0, 25.0, 70.0, 1.0, 0.9])
    lies = bodies.body_features(raw(), seen(turned), STILL, SEEN)[0]
    assert stands[0] == pytest.approx(0.9)
    assert stands[4] == 0
    assert stands[2] > 0.5
    assert lies[0] == 0
    assert lies[4] == pytest.approx(0.9)
    assert lies[6] > 0.5


def test_a_double_box_is_one_person_and_two_close_ones_are_a_pair() -> None:
    double = bodies.body_features(raw((200, 128, 50, 140, 0.9), (204, 128, 52, 140, 0.8)), NOBODY, STILL, SEEN)[0]
    pair = bodies.body_features(raw((200, 128, 50, 140, 0.9), (240, 128, 50, 140, 0.8)), NOBODY, STILL, SEEN)[0]
    apart = bodies.body_features(raw((60, 128, 50, 140, 0.9), (390, 128, 50, 140, 0.8)), NOBODY, STILL, SEEN)[0]
    assert double[21] < 0.01
    assert apart[21] < 0.01
    assert pair[21] > 0.7
    assert pair[20] > double[20]


def test_features_are_bounded_and_silent_without_a_picture() -> None:
    torch.manual_seed(1)
    wild = (torch.rand(1, 60, 6) * 500).clamp(max=300)
    motion = torch.randn(1, 16, 28, 14) * 50
    out = bodies.body_features(seen(wild), seen(torch.rand(2, 60, 6) * 100), motion, SEEN)
    assert out.shape == (1, BODY_DIM)
    assert out.abs().max() <= 1
    assert out.isfinite().all()
    assert not bodies.body_features(seen(wild), NOBODY, motion, torch.zeros(1, 2)).any()


def changed(levels: float, fit: float, rows: slice = slice(None)) -> torch.Tensor:
    """Motion of a picture whose cells of these rows changed by so many grey levels, and moved right by 8 pixels."""
    motion = torch.zeros(1, 16, 28, 14)
    motion[:, rows, :, 8:12] = levels
    for near in (0, 4):
        motion[:, rows, :, near], motion[:, rows, :, near + 2], motion[:, rows, :, near + 3] = 8.0, fit * levels, fit
    return motion


def test_a_cut_moves_nobody_and_a_body_does() -> None:
    person = raw((200, 128, 100, 220, 0.9))
    still = bodies.body_features(person, NOBODY, STILL, SEEN)[0]
    cut = bodies.body_features(person, NOBODY, changed(40.0, 0.3), SEEN)[0]
    torch.testing.assert_close(cut, still, atol=0.02, rtol=0)
    part = bodies.body_features(person, NOBODY, changed(40.0, 0.3, slice(4, 8)), SEEN)[0]
    shaken = bodies.body_features(person, NOBODY, changed(20.0, 0.8), SEEN)[0]
    near = bodies.body_features(person, NOBODY, changed(40.0, 0.3, slice(0, 9)), SEEN)[0]
    assert near[MOTION_COLUMNS].sub(still[MOTION_COLUMNS]).abs().max() > 0.2
    assert part[MOTION_COLUMNS].sub(still[MOTION_COLUMNS]).abs().max() > 0.2
    assert shaken[11] > 0.1


def test_what_lies_beyond_the_mask_does_not_count_and_a_limit_holds() -> None:
    torch.manual_seed(2)
    head = bodies.BodyHead().requires_grad_(False).eval()
    now, past, ok = torch.rand(1, BODY_DIM), torch.rand(1, MEMORY, BODY_DIM), torch.zeros(1, MEMORY)
    ok[:, -3:] = 1
    other = past.clone()
    other[:, :-3] = 9.0
    torch.testing.assert_close(head(now, past, ok), head(now, other, ok))
    head.limit[1] = -3.0
    assert head(now, past, ok)[0, 1] <= -3.0


@pytest.mark.filterwarnings("ignore")
def test_everything_exports() -> None:
    ort = pytest.importorskip("onnxruntime")

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = bodies.BodyHead()

        def forward(self, picture, raw, turned, motion, ok, past, past_ok):  # type: ignore[no-untyped-def]
            body = bodies.body_features(seen(raw), seen(turned), motion, ok)
            return bodies.rotate_to_sides(picture), body, self.head(body, past, past_ok)

    torch.manual_seed(3)
    net = Whole().eval()
    inputs = (
        torch.rand(2, 3, 256, 448) * 255, torch.rand(2, 80, 6) * 100, torch.rand(4, 80, 6) * 60,
        torch.randn(2, 16, 28, 14) * 5, torch.ones(2, 2), torch.rand(2, MEMORY, BODY_DIM), torch.ones(2, MEMORY),
    )  # fmt: skip
    inputs[1][..., 4:] /= 100
    inputs[2][..., 4:] /= 100
    names = ["picture", "raw", "turned", "motion", "ok", "past", "past_ok"]
    buffer = io.BytesIO()
    axes = {name: {0: "turned_b" if name == "turned" else "b"} for name in names}
    torch.onnx.export(net, inputs, buffer, input_names=names, dynamic_axes=axes, opset_version=17, dynamo=False)
    session = ort.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    for rows in (2, 1):
        part = [x[: 2 * rows if name == "turned" else rows] for name, x in zip(names, inputs, strict=True)]
        found = session.run(None, {n: x.numpy() for n, x in zip(names, part, strict=True)})
        for theirs, ours in zip(found, net.requires_grad_(False)(*part), strict=True):
            np.testing.assert_allclose(theirs, ours.detach().numpy(), atol=2e-4)


def test_made_people_stand_on_the_floor_and_lie_flat() -> None:
    rng = np.random.default_rng(4)
    script = KeyframeAnimation(8, rng)
    script.start_pose(STAND)
    script.hold(1.0, 0.0)
    script.move_to(pose(pitch=1.57), 0.5, power=2.0)
    script.hold(2.0, 0.0)
    track = script.track(np.zeros(2), 0.3)
    z = joint_positions(track)[..., 2]
    assert z.min(1) == pytest.approx(0.05)
    assert z[0].max() > 0.85 * track.height
    assert z[-1].max() < 0.25 * track.height


def test_a_fall_is_told_by_its_truth_and_scenes_repeat() -> None:
    seed = next(n for n in range(50) if scenes.ground_truth(scenes.build_scene(n, scenes.TRAIN_STYLE))[:, 0].max() > 0)
    one, again = scenes.build_scene(seed, scenes.TRAIN_STYLE), scenes.build_scene(seed, scenes.TRAIN_STYLE)
    luma = scenes.render_luma(one, scenes.TRAIN_STYLE)
    assert np.array_equal(luma, scenes.render_luma(again, scenes.TRAIN_STYLE))
    truth = scenes.ground_truth(one)
    assert truth[:, 0].max() == 1
    assert (truth[:, 1] <= 0).all()
    assert luma.shape == (projection.STEPS, 128, 224)
    first = int(np.argmax(truth[:, 0] == 1))
    assert (truth[: max(first - 3, 0), 0] <= 0).all()


def counted(scenes_count: int = 1) -> BodySequences:
    """Scenes whose features tell the hop, and 100 times the scene's number, divided by 1000."""
    hop = torch.arange(24.0)[None, :, None] + 100 * torch.arange(float(scenes_count))[:, None, None]
    body = (hop / 1000).expand(scenes_count, 24, BODY_DIM).contiguous()
    calm = torch.ones(scenes_count, dtype=torch.bool)
    return BodySequences(body, torch.zeros(scenes_count, 24, 2), calm, torch.arange(scenes_count))


def test_windows_keep_the_order() -> None:
    windows = history_windows(counted(), torch.tensor([0, 0]), torch.tensor([3, 20]))
    hops = (windows.body[..., 0] * 1000).round()
    assert hops[:, MEMORY].tolist() == [3.0, 20.0]
    assert hops[1].tolist() == list(range(4, 21))
    assert windows.ok[1].all()
    assert hops[0, -4:].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert windows.ok[0].sum() == 4
    assert (windows.truth[0, :13] == -1).all()


def test_a_window_may_hold_every_second_or_fourth_hop() -> None:
    body = torch.arange(projection.HOPS, dtype=torch.float32)[None, :, None].expand(1, -1, BODY_DIM) / 100
    rows = BodySequences(body, torch.zeros(1, projection.HOPS, 2), torch.tensor([True]), torch.tensor([0]))
    hop = torch.tensor([20, 20])
    windows = history_windows(rows, torch.tensor([0, 0]), hop, torch.tensor([[2], [4]]))
    told = [(w[ok > 0, 0] * 100).round().int().tolist() for w, ok in zip(windows.body, windows.ok, strict=True)]
    assert told == [list(range(0, 21, 2)), list(range(0, 21, 4))]


def test_a_splice_joins_the_end_of_one_scene_to_another_and_moves_nothing_at_the_cut() -> None:
    rows, generator = counted(2), torch.Generator().manual_seed(6)
    scene, hop = torch.zeros(64, dtype=torch.long), torch.full((64,), 23)
    after, before = history_windows(rows, scene, hop), history_windows(rows, scene + 1, hop)
    joined = splice(after, before, 0.5, generator)
    hops = (joined.body * 1000).round()
    cut = joined.first > 0
    assert 16 < cut.sum() < 48
    assert hops[~cut, :, 0].tolist() == [list(range(7, 24))] * int((~cut).sum())
    still = 0
    for n in torch.nonzero(cut)[:, 0].tolist():
        first = int(joined.first[n])
        assert hops[n, :first, 0].tolist() == list(range(124 - first, 124))
        assert hops[n, first:, 0].tolist() == list(range(7 + first, 24))
        unmoved = not hops[n, first, MOTION_COLUMNS].any()
        assert unmoved or (hops[n, first, MOTION_COLUMNS] == 7 + first).all()
        still += int(unmoved)
    assert 0 < still < cut.sum()


def test_only_what_was_seen_to_happen_is_judged() -> None:
    truth = torch.zeros(5, MEMORY + 1, 2)
    truth[:3, 10:, 0] = 1  # somebody falls at hop 10 and lies
    truth[3:, 8:, 1] = 1  # somebody fights from hop 8 on
    first = torch.tensor([0, 8, 12, 15, 16])
    windows = Windows(torch.zeros(5, MEMORY + 1, BODY_DIM), torch.ones(5, MEMORY + 1), truth, first)
    assert judged_truth(windows).tolist() == [[1, 0], [1, 0], [-1, 0], [0, 1], [0, -1]]
    windows.truth[0, :, 0] = 0
    windows.truth[0, 5, 0] = 1
    assert judged_truth(windows._replace(first=torch.full((5,), 6)))[0].tolist() == [-1, 0]


def test_a_memory_that_began_later_is_not_there() -> None:
    windows = history_windows(counted(), torch.zeros(40, dtype=torch.long), torch.full((40,), 20))
    later = forget(windows, 0.5, torch.Generator().manual_seed(7))
    assert torch.equal(later.ok.sum(1), MEMORY + 1.0 - later.first)
    assert later.ok[:, MEMORY].all()
    assert 0 < (later.first > 0).sum() < 40


def test_the_head_is_the_mean_of_its_members() -> None:
    torch.manual_seed(8)
    head = bodies.BodyHead().requires_grad_(False).eval()
    inputs = torch.rand(2, BODY_DIM), torch.rand(2, MEMORY, BODY_DIM), torch.ones(2, MEMORY)
    each = [member(*inputs) for member in head.members]
    assert len(each) == bodies.MEMBERS
    torch.testing.assert_close(head(*inputs), sum(each) / len(each))
    assert (each[0] - each[1]).abs().max() > 1e-3


def labelled(count: int) -> BodySequences:
    """Scenes of which every other one has a fall that its features tell."""
    generator = torch.Generator().manual_seed(5)
    body = torch.rand(count, 24, BODY_DIM, generator=generator) * 0.2
    truth = torch.zeros(count, 24, 2)
    body[::2, 8:] += 0.6
    truth[::2, 8:, 0] = 1
    return BodySequences(body, truth, torch.arange(count) % 2 == 1, torch.arange(count))


def test_the_head_learns_and_ordinary_recordings_set_its_zero() -> None:
    torch.set_num_threads(1)
    rows = labelled(32)
    head, left_out = fit_body(rows, rows, rows, BodyTrainingConfig(steps=50, batch=64, seed=1))
    torch.manual_seed(1)
    assert held_out_loss(head, rows) < held_out_loss(bodies.BodyHead().eval(), rows)
    torch.testing.assert_close(left_out[1], predict_all(head.members[1], rows.where(rows.recording == 1))[0])
    limit_false_alarms(head, [recording_logits(predict_all(head, rows), rows)])
    most = predict_all(head, rows).amax(1)
    assert (most[rows.is_ordinary] > 0).float().mean() <= 0.15
    assert (most[~rows.is_ordinary, 0] > 0).float().mean() >= 0.85


def test_the_zero_lies_above_the_ordinary_recordings_of_every_group() -> None:
    torch.manual_seed(10)
    head = bodies.BodyHead().requires_grad_(False).eval()
    inputs = torch.rand(1, BODY_DIM), torch.rand(1, MEMORY, BODY_DIM), torch.ones(1, MEMORY)
    before = head(*inputs)
    calm, truth = torch.arange(102) < 101, torch.zeros(102, 2)
    one = torch.linspace(-1, 0, 102)[:, None].repeat(1, 2)
    other = torch.linspace(0, 101, 102)[:, None].repeat(1, 2)
    limit_false_alarms(head, [RecordingLogits(one, truth, calm), RecordingLogits(other, truth, calm)])
    torch.testing.assert_close(before - head(*inputs), torch.tensor([[90.0, 95.0]]))


def test_pieces_of_a_recording_count_once() -> None:
    truth = torch.zeros(3, 24, 2)
    truth[1, 5, 0] = 1
    truth[1, 6, 0] = -1
    rows = BodySequences(
        torch.zeros(3, 24, BODY_DIM), truth, torch.tensor([False, False, True]), torch.tensor([4, 4, 9])
    )
    logits = torch.zeros(3, 24, 2)
    logits[0, 0], logits[1, 5], logits[1, 6] = 3.0, 1.0, 7.0
    logits[2, 3] = 2.0
    found = recording_logits(logits, rows)
    assert found.logit.tolist() == [[1.0, 7.0], [2.0, 2.0]]
    assert found.truth.tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert found.is_ordinary.tolist() == [False, True]
