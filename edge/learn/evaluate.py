"""Where other parts of training find what the report measures with; the report itself is `edge.learn.evaluation`."""

from edge.learn.evaluation.metrics import average_precision
from edge.learn.evaluation.sets import read_rows

__all__ = ["average_precision", "read_rows"]
