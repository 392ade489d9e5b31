"""The parts of a running node, as one value for the parts that use several others."""

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
    """``manifest`` is the model's with derived labels added, without the events of rules. ``evidence`` is None when
    evidence is switched off."""

    loaded: LoadedConfig
    folder: ModelFolder
    manifest: Manifest
    clock: Clock
    buffers: Mapping[str, CameraBuffer]
    engine: EngineLoop
    outputs: NodeOutputs
    evidence: EvidenceWorker | None
    files: FileWorker
