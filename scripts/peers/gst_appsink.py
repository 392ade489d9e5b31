#!/usr/bin/python3
"""The peer `GStreamer`: decode RTSP cameras, scale to 448 x 256 RGB at 4 fps, drop. Run by the system's Python."""

import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

PIPELINE = (
    "rtspsrc location={url} protocols=tcp latency=100 name=s s. ! application/x-rtp,media=video ! rtph264depay ! "
    "h264parse ! avdec_h264 max-threads=1 ! videorate drop-only=true ! video/x-raw,framerate=4/1 ! videoscale ! "
    "videoconvert ! video/x-raw,format=RGB,width=448,height=256 ! "
    "appsink name=out emit-signals=true sync=false drop=true max-buffers=1"
)


def main() -> None:
    """One pipeline a camera, until killed."""
    Gst.init(None)
    pipelines = [Gst.parse_launch(PIPELINE.format(url=url)) for url in sys.argv[1:]]
    for pipeline in pipelines:
        pipeline.get_by_name("out").connect("new-sample", lambda sink: (sink.emit("pull-sample"), Gst.FlowReturn.OK)[1])
        pipeline.set_state(Gst.State.PLAYING)
    GLib.MainLoop().run()


main()
