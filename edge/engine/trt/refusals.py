"""What TensorRT's and CUDA's own messages mean for the person at the machine."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MEANINGS: tuple[tuple[str, str], ...] = (  # causes before what follows from them
    (
        r"driver version is insufficient|old_cuda_driver|cuda initialization failure with error: 35",
        (
            "the NVIDIA driver is too old for this TensorRT: update the driver (on a Jetson: JetPack), or install a "
            "TensorRT built for the CUDA version that nvidia-smi shows"
        ),
    ),
    (
        r"no cuda-capable device|cuda_error_no_device|cuda initialization failure with error: 100",
        "no NVIDIA GPU is visible to this user: look at nvidia-smi (on a Jetson: tegrastats)",
    ),
    (
        r"out of memory|outofmemory|insufficient_gpu_memory|insufficient memory|cuda_error_out_of_memory",
        (
            "there is not enough GPU memory: stop what else uses the GPU (the daemon too, while building), or use a "
            "smaller --max-batch"
        ),
    ),
    (r"no space left", "the disk is full: free some space"),
    (
        r"libnvinfer_lean|libnvinfer_dispatch",
        (
            "this installation of TensorRT lacks the lean runtime that --version-compatible needs: install it "
            "(apt install libnvinfer-lean10, or pip install tensorrt-lean), or build without"
        ),
    ),
    (
        r"libnvinfer_builder_resource|unable to load library|cannot open shared object",
        "parts of TensorRT are missing: install it again",
    ),
    (
        r"expecting library version|version tag does not match|version_mismatch|safe version tag",
        "it was built by another version of TensorRT: edge engine build",
    ),
    (
        r"target gpu sm|different models? of devices|unsupported_cc|compute capability .* (?:expected|mismatch)",
        "it was built for another GPU: edge engine build",
    ),
    (
        r"unsupported sm|sm .* is not supported|does not support .* compute capability",
        "this GPU is too old for this version of TensorRT: install an older one, or use runtime: onnx",
    ),
    (r"malformed_engine|magic tag does not match|deserializ", "the file is damaged: edge engine build"),
)


def explain_messages(messages: Iterable[str]) -> str | None:
    """What to do about the most telling of ``messages``; None where none is known."""
    texts = tuple(messages)
    for pattern, advice in _MEANINGS:
        if any(re.search(pattern, message, re.IGNORECASE) for message in texts):
            return advice
    return None
