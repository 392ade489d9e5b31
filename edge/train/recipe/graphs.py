"""The network as ONNX: three parts exported from torch, and the whole graph merged from them."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

    from edge.train.nets.network import FusedNet

PARTS: Final = ("vision", "audio", "fusion")
OUTPUTS: Final = (
    "logits", "contribution", "embedding", "token", "boxes", "evidence", "tags",
    "sound", "picture", "classes", "picture_tags", "motion", "aligned",
)  # fmt: skip
LARGEST_BATCH: Final = 256
MIN_HALVED_SIZE: Final = 4096
"""Tensors of fewer numbers stay float32: biases, and the tables that pictures and movement are measured with."""

Arrays = dict[str, NDArray[Any]]


def export_parts(net: FusedNet, folder: Path, example: Arrays) -> None:
    """vision.onnx, audio.onnx and fusion.onnx of `net` in `folder`, for any number of rows; `example`: two rows."""
    import torch

    from edge.train.nets import network

    for noisy in ("onnxscript", "onnx_ir", "torch.onnx"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    net.eval()
    values = {name: torch.from_numpy(value) for name, value in example.items()}
    parts_to_export: tuple[tuple[torch.nn.Module, Sequence[str], Sequence[str]], ...] = (
        (network.VisionPart(net), network.VISION_INPUTS, network.VISION_FEATURE_NAMES),
        (network.AudioPart(net), network.AUDIO_INPUTS, network.AUDIO_FEATURE_NAMES),
        (network.FusionPart(net), network.FUSION_INPUTS, OUTPUTS),
    )
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    for name, (module, inputs, outputs) in zip(PARTS, parts_to_export, strict=True):
        example_inputs = tuple(values[key] for key in inputs)
        torch.onnx.export(
            module.eval(), example_inputs, str(folder / f"{name}.onnx"), input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes={key: {0: batch} for key in inspect.signature(module.forward).parameters},
            opset_version=18, dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
        with torch.no_grad():
            values |= dict(zip(outputs, module(*example_inputs), strict=True))


def merge_parts(folder: Path, whole: Path) -> None:
    """Write `whole` from the parts in `folder`: inside names get the part's in front, so that only the contract's and
    the features' meet."""
    import onnx
    from onnx import helper

    models = [onnx.load(str(folder / f"{name}.onnx")) for name in PARTS]
    features = {value.name for model in models[:-1] for value in model.graph.output}
    inputs: dict[str, Any] = {}
    nodes: list[Any] = []
    weights: list[Any] = []
    for name, model in zip(PARTS, models, strict=True):
        graph = model.graph
        inputs |= {value.name: value for value in graph.input if value.name not in features}
        kept = {value.name for value in (*graph.input, *graph.output)}
        for node in graph.node:
            node.name = f"{name}/{node.name}" if node.name else ""
            _prefix_names(node.input, name, kept)
            _prefix_names(node.output, name, kept)
        for tensor in graph.initializer:
            tensor.name = f"{name}/{tensor.name}"
        nodes += graph.node
        weights += graph.initializer
    graph = helper.make_graph(nodes, "fused", list(inputs.values()), list(models[-1].graph.output), weights)
    joined = helper.make_model(graph, opset_imports=list(models[0].opset_import), ir_version=models[0].ir_version)
    onnx.checker.check_model(joined)
    onnx.save(joined, str(whole))


def store_as_float16(path: Path) -> int:
    """Store large float32 initializers as float16 behind a Cast, but the spectral tables; count them."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    graph, casts, count = model.graph, [], 0
    keep = _spectral_names(model)
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or tensor.name in keep or int(np.prod(tensor.dims)) < MIN_HALVED_SIZE:
            continue
        value = numpy_helper.to_array(tensor)
        if np.abs(value).max() > 6e4:
            continue
        half = numpy_helper.from_array(value.astype(np.float16), tensor.name + "_f16")
        graph.initializer.remove(tensor)
        graph.initializer.append(half)
        casts.append(helper.make_node("Cast", [half.name], [tensor.name], f"{tensor.name}_f32", to=TensorProto.FLOAT))
        count += 1
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    strip_metadata(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return count


def strip_metadata(model: Any) -> None:
    """Take out what the exporter notes of the machine that it ran on: stack traces with their file names."""
    graph = model.graph
    del model.metadata_props[:]
    model.doc_string = ""
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]


def open_session(path: Path, threads: int = 1) -> Any:
    """An onnxruntime CPU session with that many intra-op threads."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_onnx(path: Path, inputs: Mapping[str, NDArray[Any]], threads: int = 1) -> Arrays:
    """One call through onnxruntime on the CPU, of a graph that takes some of `inputs`; its outputs by name."""
    session = open_session(path, threads)
    values = session.run(None, {value.name: inputs[value.name] for value in session.get_inputs()})
    return {value.name: np.asarray(got) for value, got in zip(session.get_outputs(), values, strict=True)}


def run_parts(folder: Path, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
    """The three parts one after another; the last one's outputs by name."""
    known: Arrays = dict(inputs)
    for name in PARTS:
        known |= run_onnx(folder / f"{name}.onnx", known)
    return {name: known[name] for name in OUTPUTS}


def _prefix_names(names: Any, part: str, kept: set[str]) -> None:
    names[:] = [name if not name or name in kept else f"{part}/{name}" for name in names]


def _spectral_names(model: onnx.ModelProto) -> set[str]:
    return {t.name for t in model.graph.initializer if list(t.dims) in ([400, 481], [128, 481])}
