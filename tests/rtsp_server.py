#!/usr/bin/python3
"""One RTSP camera on loopback: a recording over and over, its pts running on. For tests and benchmarks.

Run by the system's Python (apt: python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-{base,good,bad} ffmpeg):
rtsp_server.py CLIP.ts PORT [USER:PASSWORD] -> rtsp://USER:PASSWORD@127.0.0.1:PORT/cam. ffmpeg loops and paces,
GStreamer packetises.
"""

import os
import signal
import subprocess
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

FEED = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-re", "-stream_loop", "-1", "-i"]
PIPELINE = (
    "( fdsrc fd={fd} do-timestamp=true ! tsdemux name=d latency=100 "
    "d. ! queue ! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96 "
    "d. ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97 )"
)


class Camera(GstRtspServer.RTSPMediaFactory):
    """Starts a feed when the first client comes; all clients share it.

    Clients that come together may each have one made, of which all but one are dropped unused.
    """

    def __init__(self, clip: str) -> None:
        super().__init__()
        self.clip = clip
        self.feeds: dict[str, tuple[subprocess.Popen[bytes], int]] = {}
        self.set_shared(True)
        self.connect("media-configure", lambda _self, media: media.connect("unprepared", self.end_feed))

    def do_create_element(self, _url: object) -> object:
        """GStreamer asks for the pipeline."""
        read, write = os.pipe()
        command = [*FEED, self.clip, "-c", "copy", "-f", "mpegts", "-flush_packets", "1", "pipe:1"]
        feed = subprocess.Popen(command, stdout=write, stdin=subprocess.DEVNULL)
        os.close(write)
        pipeline = Gst.parse_launch(PIPELINE.format(fd=read))
        self.feeds[pipeline.get_name()] = (feed, read)
        return pipeline

    def end_feed(self, media: object) -> None:
        """The last client has left."""
        feed, read = self.feeds.pop(media.get_element().get_name(), (None, -1))
        if feed is not None:
            feed.kill()
            feed.wait()
            os.close(read)

    def stop(self) -> None:
        """End all feeds."""
        for feed, _ in self.feeds.values():
            feed.kill()
            feed.wait()


def ask_for_login(server: GstRtspServer.RTSPServer, camera: Camera, user: str, password: str) -> None:
    """Let nobody else see the camera."""
    auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, user)
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role(user, GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, True)
    permissions.add_permission_for_role(user, GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, True)
    camera.set_permissions(permissions)


def main() -> None:
    """Serve until SIGTERM."""
    clip, port, *login = sys.argv[1:]
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    camera = Camera(clip)
    if login:
        ask_for_login(server, camera, *login[0].split(":"))
    server.get_mount_points().add_factory("/cam", camera)
    server.attach(None)
    print("ready", flush=True)
    loop = GLib.MainLoop()
    for number in (signal.SIGTERM, signal.SIGINT):
        GLib.unix_signal_add(GLib.PRIORITY_HIGH, number, loop.quit)
    loop.run()
    camera.stop()


if __name__ == "__main__":
    main()
