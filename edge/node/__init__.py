"""The running daemon: what comes in, what scores it, what goes out, and who watches over all three."""

from edge.node.daemon import run

__all__ = ["run"]
