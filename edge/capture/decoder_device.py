"""Chooses and opens the device that decodes pictures: the CPU, or the video unit of a graphics card through libav.

Pictures return to main memory as NV12. H.264 and H.265 are exact: every conforming decoder gives the same pictures. An
explicit choice of a device never falls back; `auto` does, and logs it. NVIDIA's video unit also scales to the model's
size where it can, so that a tenth of the bytes return.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from edge.capture.picture import letterbox
from edge.capture.picture_decoder import is_bare
from edge.config.sources import DecodedSourceConfig
from edge.engine.manifest import VideoGeometry
from edge.errors import SourceError

_log = logging.getLogger(__name__)
_AUTO = ("cuda", "vaapi")
_SAME_NAME = ("h264", "hevc", "vp8", "vp9", "av1", "mjpeg")
SCALING_DECODERS = {"libdav1d": "av1_cuvid"} | {name: f"{name}_cuvid" for name in _SAME_NAME}
"""NVIDIA's, by the name of libav's own."""
SQUARE_PIXELS = (None, 0, 1)
_ADVICE = {
    "cuda": "it needs NVIDIA's driver (`nvidia-smi` shows the card); on a Jetson use a source of `type: gstreamer`",
    "vaapi": "it needs a device such as /dev/dri/renderD128 that this user may open, and its driver (`vainfo`)",
}


class HardwareDecoderError(SourceError):
    """The configured device cannot decode; the text says why and what to do."""


def open_container(opener: Callable[[Any], Any], config: DecodedSourceConfig, name: str) -> Any:
    """The container that ``opener(hwaccel or None)`` opens, set to decode as ``config`` says.

    HardwareDecoderError when the configured device is not available; errors of ``opener(None)`` pass through.
    """
    container = _open_with_fallback(opener, config, name)
    if config.fast_decode:
        for stream in _pictures(container):
            stream.codec_context.options = {"skip_loop_filter": "nokey"}
    return container


def scaling_decoder(stream: Any, config: DecodedSourceConfig, geometry: VideoGeometry) -> Any | None:
    """A decoder of NVIDIA's video unit that gives ``stream``'s pictures at the model's size, opened.

    None where pictures are to come back whole: another device was chosen, libav has no such decoder for the codec, the
    stream is not a network camera's, its pixels are not square, nothing would be gained, or it does not open.
    """
    import av

    own = stream.codec_context
    name, size = SCALING_DECODERS.get(own.name), _size_on_device(own.width, own.height, geometry)
    if (
        config.decoder not in {"cuda", "auto"}
        or name is None
        or size is None
        or not is_bare(stream)
        or stream.sample_aspect_ratio not in SQUARE_PIXELS
    ):
        return None
    try:
        context = create_decoder(name)
        context.extradata, context.width, context.height = own.extradata, own.width, own.height
        context.options = {"resize": f"{size[0]}x{size[1]}", "gpu": config.decoder_device or "0"}
        if not own.has_b_frames:
            context.flags |= av.codec.context.Flags.low_delay.value
        context.open()
    except (av.error.FFmpegError, OSError, ValueError) as error:
        _log.info("%s does not scale on the device (%s): pictures come back whole", name, error)
        return None
    return context


def create_decoder(name: str) -> Any:
    """A decoder of libav by its name, not opened; ValueError when there is none."""
    import av

    return av.CodecContext.create(name, "r")


def _size_on_device(width: int, height: int, geometry: VideoGeometry) -> tuple[int, int] | None:
    """Even width and height of the model's picture; None where that is not much smaller."""
    if width <= 0 or height <= 0:
        return None
    _, _, w, h = letterbox(width, height, geometry)
    small = max(2, w & ~1), max(2, h & ~1)
    return small if 2 * small[0] * small[1] <= width * height else None


def is_accelerated(container: Any) -> bool:
    """Whether a device decodes the container's pictures."""
    return any(stream.codec_context.is_hwaccel for stream in _pictures(container))


def no_picture_error(name: str) -> HardwareDecoderError:
    """The error for a device that opened but decodes no picture."""
    return HardwareDecoderError(
        f"camera {name}: the device that was to decode it gives no picture; the stream's profile or size may be beyond "
        "it: take `decoder: cpu`, or another stream of the camera"
    )


def _open_with_fallback(opener: Callable[[Any], Any], config: DecodedSourceConfig, name: str) -> Any:
    if config.decoder == "cpu":
        return opener(None)
    if config.decoder != "auto":
        return open_on_device(opener, config.decoder, config.decoder_device, name)
    for kind in _AUTO:
        try:
            container = open_on_device(opener, kind, None, name)
        except HardwareDecoderError as error:
            _log.debug("%s", error)
            continue
        _log.info("%s: pictures are decoded by %s", name, kind)
        return container
    _log.info("%s: pictures are decoded by the processor: neither %s works here", name, " nor ".join(_AUTO))
    return opener(None)


def open_on_device(opener: Callable[[Any], Any], kind: str, device: str | None, name: str) -> Any:
    """Open with a device; errors of the source itself pass through."""
    from av.codec.hwaccel import HWAccel, hwdevices_available

    built = [str(found) for found in hwdevices_available()]
    if kind not in built:
        raise HardwareDecoderError(
            f"camera {name}: decoder {kind}: this PyAV was built without it (it has {', '.join(built) or 'none'}); "
            "PyAV built against the system's FFmpeg may have it: pip install --no-binary av av"
        )
    accel = open_device(lambda: HWAccel(kind, device=device, allow_software_fallback=False), kind, name)
    container = opener(accel)
    if not is_accelerated(container):
        codec = next((stream.codec_context.name for stream in _pictures(container)), None)
        container.close()
        raise HardwareDecoderError(
            f"camera {name}: decoder {kind}: it cannot decode {codec or 'a stream without picture'}"
        )
    return container


def open_device(make: Callable[[], Any], kind: str, name: str) -> Any:
    """Open the device alone first, so that its errors are not taken for the source's."""
    import av

    try:
        accel = make()
        accel.create(av.Codec("h264", "r"))
    except (av.error.FFmpegError, NotImplementedError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise HardwareDecoderError(
            f"camera {name}: decoder {kind}: the device cannot be opened ({reason}); {_ADVICE[kind]}"
        ) from None
    return accel


def _pictures(container: Any) -> Any:
    return [stream for stream in container.streams.video if stream.codec_context is not None]
