"""The doubles of a GPU machine, put where the imports look."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from recorded_cuda import Recorder, fake_driver, fake_libcuda
from recorded_gpu import fake_tensorrt

from edge.engine.trt import cuda


def go_on(phase: str, step: int, steps: int) -> bool:
    return True


def install(
    monkeypatch: pytest.MonkeyPatch, r: Recorder, tensorrt: Any = None, *, rtx: Any = None, has_gpu: bool = True
) -> None:
    """A machine with ``tensorrt`` (default: 10.3), or with ``rtx`` alone."""
    driver = fake_driver(r, has_gpu)
    monkeypatch.setitem(sys.modules, "tensorrt", None if rtx else tensorrt or fake_tensorrt(r))
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", rtx)
    monkeypatch.setitem(sys.modules, "pycuda", SimpleNamespace(driver=driver))
    monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
    monkeypatch.setattr(cuda.ctypes, "CDLL", lambda name: fake_libcuda(r))
