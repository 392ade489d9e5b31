"""Which of a graph's nodes bfloat16 must leave alone, written into OpenVINO's own format.

Eight bits of mantissa suit learned layers. They do not suit arithmetic that subtracts pictures from each other: such
outputs are found by comparison, and all that leads to them is marked. The mark is OpenVINO's ``precise`` attribute
(DisableFP16Compression, in releases from 2026 DisablePrecisionConversion), which its Python cannot set on a node, only
its file format. Where the library rewrites marked nodes it may lose the mark: the self-test has the last word.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import openvino as ov

from edge.engine.contract import Array
from edge.engine.openvino_graph import OpenVinoGraph
from edge.errors import ModelError

SPOILT = 0.25
"""An output that is off by more than this share of its range is one that bfloat16 cannot compute."""
_FLOOR = 0.05
_UNMARKED = frozenset({"Const", "Parameter", "Result"})


def prepare(graph: Path, target: Path, feed: Mapping[str, Array], threads: int) -> tuple[str, ...]:
    """Write ``graph`` (ONNX) as IR to ``target`` (``.xml``, its weights beside it), fit to be run in bfloat16.

    It is run on ``feed`` (rows of every input) in both precisions; the answer names the outputs that are computed in
    32 bits. ModelError when it cannot be written, RuntimeUnavailable when the CPU has no bfloat16.
    """
    spoilt = _spoilt(_answers(graph, feed, threads, "fp32"), _answers(graph, feed, threads, "bf16"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            written = Path(folder) / target.name
            ov.serialize(ov.Core().read_model(graph), written)
            written.write_bytes(marked(written.read_bytes(), spoilt))
            weights = written.with_suffix(".bin")
            os.replace(weights, target.with_suffix(".bin"))
            os.replace(written, target)
    except OSError as error:
        raise ModelError(f"{target}: cannot be written ({error.strerror}); free space or rights there") from error
    return spoilt


def marked(ir: bytes, outputs: Collection[str]) -> bytes:
    """The IR with a ``precise`` mark on every node that leads to one of ``outputs``.

    Pad becomes its opset-1 form, which means the same here: OpenVINO rewrites the newer one and loses the mark.
    """
    root = ET.fromstring(ir)  # noqa: S314 - written by OpenVINO a moment ago
    layers = {layer.get("id", ""): layer for layer in root.iter("layer")}
    before: dict[str, list[str]] = {}
    for edge in root.iter("edge"):
        before.setdefault(edge.get("to-layer", ""), []).append(edge.get("from-layer", ""))
    ahead = [key for key, layer in layers.items() if any(_names(port) & set(outputs) for port in layer.iter("port"))]
    seen = set(ahead)
    while ahead:
        new = [key for key in before.get(ahead.pop(), ()) if key not in seen]
        seen.update(new)
        ahead.extend(new)
    for key in seen:
        if layers[key].get("type") not in _UNMARKED:
            _mark(layers[key])
    return bytes(ET.tostring(root))


def _mark(layer: ET.Element) -> None:
    if (layer.get("type"), layer.get("version")) == ("Pad", "opset12"):
        layer.set("version", "opset1")
    info = layer.find("rt_info")
    if info is None:
        info = ET.Element("rt_info")
        layer.insert(0 if layer.find("data") is None else 1, info)
    ET.SubElement(info, "attribute", {"name": "precise", "version": "0"})


def _names(port: ET.Element) -> set[str]:
    return set(port.get("names", "").split(","))


def _answers(graph: Path, feed: Mapping[str, Array], threads: int, precision: str) -> dict[str, Array]:
    loaded = OpenVinoGraph(graph, threads, precision)
    rows = len(next(iter(feed.values())))
    out = {t.name: np.zeros((rows, *(n or 0 for n in t.tail)), t.dtype) for t in loaded.outputs.values()}
    loaded.run({name: np.ascontiguousarray(feed[name]) for name in loaded.inputs}, out)
    loaded.close()
    return out


def _spoilt(exact: Mapping[str, Array], rounded: Mapping[str, Array]) -> tuple[str, ...]:
    def off(name: str) -> bool:
        difference = np.abs(rounded[name].astype(np.float64) - exact[name])
        return not bool((difference <= _FLOOR + SPOILT * np.abs(exact[name]).max(initial=0.0)).all())

    return tuple(name for name in exact if off(name))
