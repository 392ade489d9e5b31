"""Decodes the pictures of a container's stream, and gives the decoder's memory back whenever it starts over."""

from __future__ import annotations

from typing import Any

_RENEWABLE = frozenset({"h264", "hevc"})
"""Decoders that need no more than extradata to begin."""
BARE_FORMATS = frozenset({"rtsp"})
"""Formats that say no more than that of a stream. Files tell how its pictures lie and what shape pixels have."""


def is_bare(stream: Any) -> bool:
    """Whether all that is known of ``stream`` is what its packets say, so that any decoder can take it."""
    return bool(stream.container.format.name in BARE_FORMATS)


class PictureDecoder:
    """A decoder for ``stream``, on the caller's thread for ``threads`` = 1, else on that many of libav's.

    A decoder keeps several whole pictures, 5 MB for 1280 x 720, for as long as it is open. One that starts over every
    few seconds is therefore closed and opened again, for less than a tenth of what a key picture costs. The decoder
    that came with the stream is kept where a new one would lack what was found out about the stream (pictures out of
    order; how a file's pictures lie), and on a device, which takes long to open. ``device``: a decoder that takes its
    place.
    """

    def __init__(self, stream: Any, threads: int = 1, device: Any | None = None) -> None:
        own = stream.codec_context
        stream.thread_type = "FRAME" if threads > 1 else "NONE"
        if threads > 1:
            own.thread_count = threads
        can_renew = is_bare(stream) and own.name in _RENEWABLE and not own.is_hwaccel
        self._own = own
        self._renews = can_renew and threads == 1 and not own.has_b_frames
        self._context: Any = device or (None if self._renews else own)

    def decode(self, packet: Any) -> list[Any]:
        """The pictures that ``packet`` completes; libav's errors pass through."""
        if self._context is None:
            self._context = self._new_context()
        return list(self._context.decode(packet))

    def finish(self) -> list[Any]:
        """The pictures that the decoder still holds, as far as they are whole; it starts over after them."""
        import av

        if self._context is None:
            return []
        try:
            return list(self._context.decode(None))
        except av.error.FFmpegError:
            return []
        finally:
            if self._renews:
                self._context = None
            else:
                self._context.flush_buffers()

    def _new_context(self) -> Any:
        import av

        context: Any = av.CodecContext.create(self._own.name, "r")
        context.extradata, context.options = self._own.extradata, dict(self._own.options)
        context.thread_type = "NONE"
        return context
