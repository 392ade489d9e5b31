"""The parts of a running node, for those of them that act on several others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge.buffer.camera import CameraBuffer
from edge.clock import Clock
from edge.config import LoadedConfig
from edge.engine.manifest import Manifest, ModelFolder
from edge.node.engine_loop import EngineLoop
from edge.node.evidence_worker import EvidenceWorker
from edge.node.files import FileWorker
from edge.node.outputs import NodeOutputs


@dataclass(frozen=True, slots=True)
class NodeContext:
    """``manifest`` is the model's with what is derived but without the events that rules make; ``evidence`` is None
    where nothing is kept."""

    loaded: LoadedConfig
    folder: ModelFolder
    manifest: Manifest
    clock: Clock
    buffers: Mapping[str, CameraBuffer]
    engine: EngineLoop
    outputs: NodeOutputs
    evidence: EvidenceWorker | None
    files: FileWorker
