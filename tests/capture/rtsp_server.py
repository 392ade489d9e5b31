"""An RTSP camera on loopback: a clip, played in a loop for ever. Run by the system's python3, not the venv's.

Needs apt: ffmpeg python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-{base,good,bad}
usage: rtsp_server.py CLIP.ts PORT      -> rtsp://viewer:s3cret@127.0.0.1:PORT/cam

ffmpeg loops (continuous time stamps, paced), GStreamer only packs the packets; a login is asked for.
"""

import os
import shlex
import signal
import subprocess
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
CLIP, PORT = sys.argv[1], sys.argv[2]


class Factory(GstRtspServer.RTSPMediaFactory):
    """Builds the pipeline when the first viewer comes."""

    player = None

    def do_create_element(self, _url):
        reader, writer = os.pipe()
        self.player = subprocess.Popen(
            f"exec ffmpeg -v error -re -stream_loop -1 -i {shlex.quote(CLIP)} "
            "-c copy -f mpegts -flush_packets 1 pipe:1",
            shell=True,
            stdout=writer,
            stdin=subprocess.DEVNULL,
        )
        os.close(writer)
        return Gst.parse_launch(
            f"( fdsrc fd={reader} do-timestamp=true ! tsdemux name=d latency=100 "
            "d. ! queue ! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96 "
            "d. ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97 )"
        )


server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(PORT)
auth = GstRtspServer.RTSPAuth()
token = GstRtspServer.RTSPToken()
token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer")
auth.add_basic(GstRtspServer.RTSPAuth.make_basic("viewer", "s3cret"), token)
server.set_auth(auth)
factory = Factory()
factory.set_shared(True)
permissions = GstRtspServer.RTSPPermissions()
permissions.add_permission_for_role("viewer", GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, True)
permissions.add_permission_for_role("viewer", GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, True)
factory.set_permissions(permissions)
server.get_mount_points().add_factory("/cam", factory)
server.attach(None)
print("ready", flush=True)
loop = GLib.MainLoop()
for number in (signal.SIGTERM, signal.SIGINT):
    GLib.unix_signal_add(GLib.PRIORITY_HIGH, number, loop.quit)
loop.run()
if factory.player:
    factory.player.kill()
