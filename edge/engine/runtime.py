"""The one interface over inference runtimes.

A runtime owns its input buffers, so that media is gathered straight into them (pinned memory, where it has any).
Everything happens on the thread that opened it.

The C library's heap, which keeps what loading a model freed.

One graph that is the whole model, as a `Runtime`.

The model in three graphs behind the one interface of runtimes: pictures, sound, and the cheap rest.

Between them lie the features, one row a window as in the batch: whoever knows that a camera's picture or sound did not
change puts its earlier features into the row and leaves that part out (`Model` does).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge.engine import contract
from edge.engine.contract import Array, TensorSpec
from edge.engine.manifest import ModelFolder
from edge.errors import ModelError


class InferenceGraph(Protocol):
    """One loaded graph of whatever runtime."""

    @property
    def info(self) -> RuntimeInfo:
        """What runs, read from the runtime itself."""
        ...

    @property
    def chunk(self) -> int:
        """Rows that one call takes best."""
        ...

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """What it takes."""
        ...

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        """What it gives."""
        ...

    def run(self, feed: Mapping[str, Array], out: Mapping[str, Array]) -> None:
        """Compute the rows of ``feed`` into those of ``out``, by tensor name; RuntimeUnavailable when it fails."""
        ...

    def close(self) -> None:
        """Free everything; closing twice is fine."""
        ...


class PartsRuntime:
    """Three graphs as one `Runtime`, and part by part. The graphs are its own to close.

    Different rows may be run by several threads at a time.
    """

    def __init__(
        self, folder: ModelFolder, vision: InferenceGraph, audio: InferenceGraph, fusion: InferenceGraph, max_batch: int
    ) -> None:
        """ModelError where the graphs do not fit model.yaml or each other."""
        self._graphs = {"vision": vision, "audio": audio, "fusion": fusion}
        self._max_batch = max_batch
        whole = {tensor.name: tensor for tensor in contract.input_specs(folder)}
        features = {**vision.outputs, **audio.outputs}
        for name, graph in self._graphs.items():
            contract.check_part(f"{folder.path}: {name}", graph.inputs, {**whole, **features})
        contract.check_tensors(f"{folder.path}: outputs of fuse", contract.output_specs(folder), fusion.outputs)
        self._inputs = contract.allocate_buffers(tuple(whole.values()), max_batch)
        self._vision_features = contract.allocate_buffers(tuple(vision.outputs.values()), max_batch)
        self._audio_features = contract.allocate_buffers(tuple(audio.outputs.values()), max_batch)
        self._outputs = contract.allocate_buffers(tuple(fusion.outputs.values()), max_batch)

    @property
    def info(self) -> RuntimeInfo:
        """What runs the parts; where they differ, all of it, as in ``onnx+openvino``, that of the pictures first."""
        return combined_info([graph.info for graph in self._graphs.values()])

    @property
    def max_batch(self) -> int:
        """Rows of each buffer."""
        return self._max_batch

    @property
    def chunk(self) -> int:
        """Rows that it takes best at a time."""
        return max(graph.chunk for graph in self._graphs.values())

    @property
    def inputs(self) -> Mapping[str, Array]:
        """Plain host arrays."""
        return self._inputs

    @property
    def vision_features(self) -> Mapping[str, Array]:
        """What `vision` writes and `fusion` reads, by name, ``max_batch`` rows each."""
        return self._vision_features

    @property
    def audio_features(self) -> Mapping[str, Array]:
        """What `audio` writes and `fusion` reads, by name, ``max_batch`` rows each."""
        return self._audio_features

    def run_vision(self, rows: Iterable[int]) -> None:
        """Encode the pictures of these rows."""
        self._run("vision", rows, self._inputs, self._vision_features)

    def run_audio(self, rows: Iterable[int]) -> None:
        """Encode the sound of these rows."""
        self._run("audio", rows, self._inputs, self._audio_features)

    @property
    def outputs(self) -> Mapping[str, Array]:
        """What `fusion` writes, by name, ``max_batch`` rows each."""
        return self._outputs

    @property
    def fusion_inputs(self) -> Collection[str]:
        """Names of what `fusion` reads."""
        return self._graphs["fusion"].inputs

    def run_fusion(self, rows: Iterable[int]) -> None:
        """The answers of these rows, from features, masks, sensors and memory."""
        self._run("fusion", rows, {**self._inputs, **self._vision_features, **self._audio_features}, self._outputs)

    def run(self, rows: int) -> Mapping[str, Array]:
        """All three on the first ``rows`` rows."""
        check_rows(rows, self._max_batch)
        self.run_rows(range(rows))
        return {name: array[:rows] for name, array in self._outputs.items()}

    def run_rows(self, rows: Iterable[int]) -> None:
        """All three on these rows."""
        chosen = tuple(rows)
        self.run_vision(chosen)
        self.run_audio(chosen)
        self.run_fusion(chosen)

    def close(self) -> None:
        """Close the graphs; the views die with them."""
        for graph in self._graphs.values():
            graph.close()
        self._inputs, self._vision_features, self._audio_features, self._outputs = {}, {}, {}, {}

    def _run(self, part: str, rows: Iterable[int], inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        graph = self._graphs[part]
        for run in _row_slices(rows, graph.chunk):
            feed = {name: inputs[name][run] for name in graph.inputs}
            graph.run(feed, {name: outputs[name][run] for name in graph.outputs})


def _row_slices(rows: Iterable[int], chunk: int) -> list[slice]:
    """Neighbouring rows as slices of at most ``chunk``: a call reads and writes the buffers in place."""
    slices: list[slice] = []
    for row in sorted(rows):
        last = slices[-1] if slices else None
        if last is not None and last.stop == row and row - last.start < chunk:
            slices[-1] = slice(last.start, row + 1)
        else:
            slices.append(slice(row, row + 1))
    return slices


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """Which runtime executes the model: ``onnx 1.20 on cpu, fp32``."""

    name: str
    version: str
    device: str
    precision: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} on {self.device}, {self.precision}"


def combined_info(infos: Sequence[RuntimeInfo]) -> RuntimeInfo:
    """One description of what runs several graphs: ``onnx+openvino 1.32.0+2026.4.1 on cpu, fp32``."""

    def all_of(name: str) -> str:
        return "+".join(dict.fromkeys(getattr(info, name) for info in infos))

    return RuntimeInfo(all_of("name"), all_of("version"), all_of("device"), all_of("precision"))


class Runtime(Protocol):
    """One loaded graph."""

    @property
    def info(self) -> RuntimeInfo:
        """What runs, read from the runtime itself and not from what was asked for."""
        ...

    @property
    def max_batch(self) -> int:
        """Rows of each input buffer."""
        ...

    @property
    def inputs(self) -> Mapping[str, Array]:
        """The runtime's own buffers by input name, ``max_batch`` rows each; callers fill rows in place."""
        ...

    def run(self, rows: int) -> Mapping[str, Array]:
        """Execute on the first ``rows`` rows. The results are views that hold until the next `run`: copy what stays.

        ValueError unless 1 <= rows <= max_batch; ModelError or RuntimeUnavailable when the runtime fails.
        """
        ...

    def close(self) -> None:
        """Free everything, on the thread that opened it. The views die with it; closing twice is fine."""
        ...


def check_rows(rows: int, max_batch: int) -> None:
    """ValueError unless 1 <= rows <= max_batch."""
    if not 1 <= rows <= max_batch:
        raise ValueError(f"rows is {rows}; this runtime takes 1 to {max_batch}")


class WholeRuntime:
    """The graph is its own to close."""

    def __init__(self, folder: ModelFolder, graph: InferenceGraph, max_batch: int) -> None:
        """ModelError where the graph does not fit model.yaml or leaves the size of an output open."""
        self._graph = graph
        self._max_batch = max_batch
        expected = contract.input_specs(folder)
        contract.check_tensors(f"{folder.graph}: inputs", expected, graph.inputs)
        contract.check_tensors(f"{folder.graph}: outputs", contract.output_specs(folder), graph.outputs)
        unknown = [str(tensor) for tensor in graph.outputs.values() if None in tensor.tail]
        if unknown:
            raise ModelError(f"{folder.graph}: {unknown[0]} has no fixed size; export the graph with fixed sizes")
        self._inputs = contract.allocate_buffers(expected, max_batch)
        self._outputs = contract.allocate_buffers(tuple(graph.outputs.values()), max_batch)

    @property
    def info(self) -> RuntimeInfo:
        """The graph's."""
        return self._graph.info

    @property
    def max_batch(self) -> int:
        """Rows of each input buffer."""
        return self._max_batch

    @property
    def inputs(self) -> Mapping[str, Array]:
        """Plain host arrays."""
        return self._inputs

    def run(self, rows: int) -> Mapping[str, Array]:
        """Execute on the first ``rows`` rows."""
        check_rows(rows, self._max_batch)
        for start in range(0, rows, self._graph.chunk):
            part = slice(start, min(rows, start + self._graph.chunk))
            self._graph.run(
                {name: buffer[part] for name, buffer in self._inputs.items()},
                {name: buffer[part] for name, buffer in self._outputs.items()},
            )
        return {name: array[:rows] for name, array in self._outputs.items()}

    def close(self) -> None:
        """Close the graph; the views die with it."""
        self._graph.close()
        self._inputs, self._outputs = {}, {}
