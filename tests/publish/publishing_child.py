"""A process that publishes events until it is killed: ``publishing_child.py CONFIG LOG``.

Writes an event's id to LOG once it is on the disk.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

from publish_parts import BEGIN

from edge.clock import SystemClock
from edge.config import load
from edge.metrics import Metrics
from edge.publish.facade import open_publisher

if __name__ == "__main__":
    config, log = Path(sys.argv[1]), Path(sys.argv[2])
    count = int(sys.argv[3])
    cameras = {name: ["fire"] for name in ("a", "b")}
    publisher = open_publisher(
        load(config), SystemClock(), Metrics(), version="1", model="m", cameras=cameras, thresholds=["fire"]
    )
    publisher.resume()
    publisher.start()
    start = len(log.read_text().splitlines()) if log.exists() else 0
    with log.open("a") as file:
        for n in range(start, start + count):
            camera = "ab"[n % 2]
            publisher.publish_events([replace(BEGIN, id=f"{n}", camera=camera, wall_begin_ns=time.time_ns())])
            while not publisher.flush():
                time.sleep(0.0005)
            file.write(f"{camera}/{n}\n")
            file.flush()
            time.sleep(0.002)
    if "--stay" in sys.argv:
        time.sleep(600)
    publisher.stop(10.0)
