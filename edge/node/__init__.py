"""The running daemon: inputs, the engine loop, outputs, and the supervisor of all three."""

from edge.node.daemon import run

__all__ = ["run"]
