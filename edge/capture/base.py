"""What every source offers. A source is read by one thread, its capture loop or a replay driver."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from edge.capture.mask import Polygons
from edge.capture.tap import PacketSink
from edge.types import MediaItem


class MediaSource(Protocol):
    """A camera, microphone or recording that yields items in the order in which they came."""

    name: str
    live: bool
    """Whether the world goes on while nobody reads: a recording waits, a camera does not."""
    has_video: bool
    has_audio: bool
    """What it delivers; both False until it was opened, that is until the first item."""

    def items(self) -> Generator[MediaItem, None, None]:
        """Open and read; ends with the recording, or when closed.

        A frame's pixels are valid until the next item. SourceError: expected trouble of a device or the network;
        MediaError: a recording that cannot be read. Callable again after it ended or raised: that opens anew.
        """
        ...

    def close(self) -> None:
        """Ask `items` to end soon; callable from any thread, more than once."""
        ...


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What is fitted to a source: the privacy ``masks`` over its picture, and who keeps its encoded packets.

    ``keep_sound``: whether the source's own sound is kept with its picture. ``threads`` decode the pictures together;
    more than one delay them by a few pictures, which only a recording that nobody watches does not mind.
    """

    masks: Polygons = ()
    packet_sink: PacketSink | None = None
    keep_sound: bool = True
    threads: int = 1


DEFAULT_OPTIONS = SourceOptions()
