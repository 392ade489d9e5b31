"""The anomaly: how unusual a window is at its site, by a compact density over named parts, learned without labels."""

from edge.detect.anomaly.scorer import ANOMALY, ANY_CAMERA, LABEL, AnomalyScorer, load_normals, to_profile_part
from edge.detect.anomaly.site import SiteNormal

__all__ = ["ANOMALY", "ANY_CAMERA", "LABEL", "AnomalyScorer", "SiteNormal", "load_normals", "to_profile_part"]
