"""Rows computed side by side: results in the order in which they are done, and the same as one after another."""

from __future__ import annotations

import threading

import pytest
import toy_model
from test_fusion_reuse import bits
from toy_model import window
from toy_parts import Toy

from edge.engine.manifest import ModelFolder
from edge.engine.model import Model, ModelOutput
from edge.engine.row_pool import RowPool, available_workers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return toy_model.toy_folder(tmp_path_factory.mktemp("parts"))


def test_what_is_done_first_is_taken_first() -> None:
    pool: RowPool[str] = RowPool(2)
    release, told = threading.Event(), threading.Semaphore(0)
    pool.on_done = told.release
    pool.defer(lambda: str(release.wait()))
    assert pool.has_idle_worker
    pool.defer(lambda: "quick")
    assert not pool.has_idle_worker
    assert pool.take(wait=True) == "quick"
    pool.call(lambda: "at once")
    assert pool.take(wait=False) == "at once"
    assert pool.take(wait=False) is None
    release.set()
    assert pool.take(wait=True) == "True"
    assert told.acquire()
    assert told.acquire()
    assert pool.take(wait=True) is None
    assert pool.pending == 0
    pool.close()


def test_what_a_worker_raised_is_raised_where_its_result_is_taken() -> None:
    pool: RowPool[int] = RowPool(2)
    pool.defer(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        pool.take(wait=True)
    pool.defer(lambda: 7)
    assert pool.take(wait=True) == 7
    pool.close()


def test_one_worker_is_the_caller_itself() -> None:
    pool: RowPool[str] = RowPool(1)
    pool.defer(lambda: threading.current_thread().name)
    assert pool.take(wait=False) == threading.current_thread().name
    assert not pool.has_idle_worker


def test_calls_of_several_threads_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.engine.row_pool.core_count", lambda: 8)
    assert [available_workers(threads) for threads in (1, 2, 3, 16, 0)] == [8, 4, 2, 1, 1]


def test_rows_side_by_side_give_the_bytes_of_rows_one_after_another(folder: ModelFolder) -> None:
    one, several = Toy(folder), Toy(folder, workers=3)
    for hop in range(40):
        levels = {"still": 100, "moving": 6 * hop, "doubtful": 255}
        alone, beside = one.show(hop, **levels), several.show(hop, **levels)
        assert [bits(alone[camera]) for camera in levels] == [bits(beside[camera]) for camera in levels]
    several.model.close()


def test_a_row_that_needs_no_worker_does_not_wait_for_one_that_does(folder: ModelFolder) -> None:
    toy, release = Toy(folder, workers=2), threading.Event()
    toy.show(0, still=100, slow=0)
    compute, toy.see.compute = toy.see.compute, lambda feed, out: (release.wait(), compute(feed, out))[1]
    model = toy.model
    model.batch.frames[0], model.batch.frames[1] = 200, 100
    model.begin([window("slow", seq=1, row=0), window("still", seq=1, row=1)])
    assert model.free_rows == [2]
    assert [scores.camera for scores in model.collect(wait=True).scores] == ["still"]
    assert (model.is_computing("slow"), model.is_computing("still"), model.free_rows) == (True, False, [1, 2])
    assert model.collect(wait=False) == ModelOutput()
    with pytest.raises(ValueError, match="one window a camera"):
        model.begin([window("slow", seq=2, row=2)])
    release.set()
    done = model.collect(wait=True)
    assert ([scores.camera for scores in done.scores], done.windows[0].seq) == (["slow"], 1)
    assert not model.is_computing()
    model.close()


def test_a_model_in_one_piece_gives_its_batch_at_once(folder: ModelFolder) -> None:
    from edge.config.models import ModelConfig
    from edge.metrics import Metrics

    model = Model.open(folder, ModelConfig(runtime="onnx"), 3, Metrics())
    model.begin([window("a", row=0), window("b", row=1)])
    assert [scores.camera for scores in model.collect(wait=False).scores] == ["a", "b"]
    model.close()
