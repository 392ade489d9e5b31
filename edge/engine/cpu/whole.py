"""One graph that is the whole model, as a `Runtime`."""

from __future__ import annotations

from collections.abc import Mapping

from edge.engine import contract
from edge.engine.contract import Array
from edge.engine.manifest import ModelFolder
from edge.engine.parts import InferenceGraph
from edge.engine.runtime import RuntimeInfo, check_rows
from edge.errors import ModelError


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
