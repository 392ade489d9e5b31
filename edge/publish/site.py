"""What is published about: the node, its cameras and their labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from edge.publish.frigate import FrigateTopics
from edge.publish.links import NO_URLS, EvidenceUrls
from edge.publish.topics import Topics


@dataclass(frozen=True, slots=True)
class NodeDescription:
    """The node's topics, its version and model, and the labels of every camera, health labels included.

    ``thresholds`` are the labels whose threshold can be set. Without ``home_assistant_prefix`` there is no discovery,
    without ``frigate`` there are no topics of Frigate's. ``links`` say what is kept of events and where it is served.
    """

    topics: Topics
    version: str
    model: str
    cameras: Mapping[str, Collection[str]]
    thresholds: Collection[str]
    home_assistant_prefix: str | None = None
    frigate: FrigateTopics | None = None
    links: EvidenceUrls = NO_URLS

    @property
    def settable(self) -> dict[str, list[str]]:
        """The labels with a threshold, by camera."""
        return {camera: [name for name in labels if name in self.thresholds] for camera, labels in self.cameras.items()}
