"""What is published about: the node, its cameras and their labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from edge.publish.topics import Topics


@dataclass(frozen=True, slots=True)
class Site:
    """The node's topics, its version and model, and the labels of every camera, health labels included.

    ``thresholds`` are the labels whose threshold can be set. Without ``home_assistant_prefix`` there is no discovery.
    """

    topics: Topics
    version: str
    model: str
    cameras: Mapping[str, Collection[str]]
    thresholds: Collection[str]
    home_assistant_prefix: str | None = None

    @property
    def settable(self) -> dict[str, list[str]]:
        """The labels with a threshold, by camera."""
        return {camera: [name for name in labels if name in self.thresholds] for camera, labels in self.cameras.items()}
