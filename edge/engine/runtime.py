"""The one interface over inference runtimes.

A runtime owns its input buffers, so that media is gathered straight into them (pinned memory, where it has any).
Everything happens on the thread that opened it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge.engine.contract import Array


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
    """One description of what runs several graphs: ``onnx+openvino 1.32.0+2026.4.1 on cpu, int8+bf16``."""

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
