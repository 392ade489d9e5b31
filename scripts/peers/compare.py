"""`edge run` beside other programs: one RTSP clip, equal numbers of cameras, rounds in random order.

CPU is that of the whole process tree, memory its proportional share (PSS). The broker and the RTSP server are not
counted. `scripts/peers/run` starts it.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from testbed import KINDS, SAMPLE, clip, network_camera, rtsp_server

from edge.bench.clips import MOVING, STILL
from edge.bench.daemon import BenchSetup, embedded_broker
from edge.bench.figures import markdown_table
from edge.bench.processes import ProcessUsage, module_command, pause, process_usage
from edge.engine.manifest import find_folder, load_folder

HERE = Path(__file__).resolve().parent
GOALS = {(STILL, "motion"): 0.4, (STILL, "frigate"): 0.2, (MOVING, "motion"): 1.5}
IDLE_MS = 3.0  # below this a camera's picture cannot have been decoded
MOTION = """daemon off
setup_mode off
log_level 4
target_dir {folder}
picture_output off
movie_output off
stream_port 0
webcontrol_port 0
"""
MOTION_CAMERA = """camera_id {index}
netcam_url {url}
netcam_params rtsp_transport = tcp
width 1280
height 720
framerate 15
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """``commands`` are the processes to start for cameras at these addresses; ``missing`` says what is not here."""

    name: str
    does: str
    commands: Callable[[Sequence[str], Path], list[list[str]]]
    missing: str = ""


@dataclass(slots=True)
class Seen:
    """What the rounds gave."""

    by_turn: dict[int, float] = field(default_factory=dict)
    pss_mb: list[float] = field(default_factory=list)
    trouble: str = ""

    @property
    def cpu_ms(self) -> list[float]:
        """CPU-ms per camera-second, a round each."""
        return list(self.by_turn.values())


def main() -> None:
    """Measure whoever is here."""
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    random.seed(args.seed)
    hop_s = load_folder(find_folder("fused")).manifest.geometry.hop_s
    with tempfile.TemporaryDirectory(prefix="edge-peers-") as name, embedded_broker() as broker:
        folder = Path(name)
        stage, shown = BenchSetup(folder, broker, hop_s), clip(args.clip, folder)
        peers = [peer for peer in all_peers(stage) if not args.only or peer.name in args.only]
        with rtsp_server(shown) as port:
            if port is None:
                raise SystemExit("GStreamer's RTSP server is not installed: scripts/peers/install")
            url = network_camera(port)["url"]
            found = {n: rounds(peers, [url] * n, folder, args) for n in args.cameras}
    print(f"Clip: {shown.shown}, {KINDS[args.clip]}; {args.rounds} rounds of {args.seconds:g} s in random order (seed "
          f"{args.seed}), after {args.settle:g} s; load before: {os.getloadavg()[0]:.1f}.\n")  # fmt: skip
    print(table(peers, found))
    print("Ratios are taken within a round and are the median of the rounds; goals are for CPU time.\n")
    print(ratio_table(found, args.clip))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/peers/run", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="ffmpeg, motion, gstreamer, roboflow, frigate, ...")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--settle", type=float, default=20.0, help="a quiet camera has fallen quiet by then")
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--clip", choices=tuple(KINDS), default=SAMPLE)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def all_peers(stage: BenchSetup) -> list[Peer]:
    """Everyone known, with what is missing here."""

    def need(program: str) -> str:
        return "" if shutil.which(program) else f"{program} is not installed"

    gi = subprocess.run(["/usr/bin/python3", "-c", "import gi"], check=False, capture_output=True).returncode
    bench = "edge.bench.floor"
    return [
        Peer("ffmpeg", "decodes picture and sound, drops them", ffmpeg, need("ffmpeg")),
        Peer("motion", "compares pixels of pictures; no sound", motion, need("motion")),
        Peer("gstreamer", "decodes pictures, scales them at 4 fps; no sound", gstreamer, "no python3-gi" if gi else ""),
        Peer("roboflow", "a picture net at 5 fps; no sound", roboflow, roboflow_missing()),
        Peer("frigate", "its motion gate and, with --detect in its file, its detector", frigate, frigate_missing()),
        Peer("decoding", "a bare loop: decodes picture and sound by PyAV",
             lambda urls, _: [module_command(bench, "--decode-only", *sources(urls))]),
        Peer("bare loop", "a bare loop: decodes, scales, and runs edge's model twice a second on everything",
             lambda urls, _: [module_command(bench, "--prepare", *sources(urls))]),
        Peer("edge", "picture, sound and fusion twice a second, events, evidence, MQTT",
             lambda urls, _: [edge(stage, urls)]),
    ]  # fmt: skip


def sources(urls: Sequence[str]) -> list[str]:
    """As the bare loop takes them."""
    return [part for url in urls for part in ("--source", url)]


def edge(stage: BenchSetup, urls: Sequence[str]) -> list[str]:
    """`edge run` as it is, without the stopwatch."""
    cameras = [{"type": "rtsp", "url": url, "transport": "tcp"} for url in urls]
    stage.daemon(cameras, evidence={"keep_free_gb": 0})
    return module_command("edge", "run", "-c", str(stage.folder / "daemon" / "config.yaml"))


def ffmpeg(urls: Sequence[str], _folder: Path) -> list[list[str]]:
    """One process a camera, as one would do it."""
    quiet = ["ffmpeg", "-nostdin", "-v", "error", "-threads", "1", "-rtsp_transport", "tcp"]
    return [[*quiet, "-i", url, "-f", "null", "-"] for url in urls]


def motion(urls: Sequence[str], folder: Path) -> list[list[str]]:
    """One process, a thread a camera."""
    home = folder / "motion"
    home.mkdir(exist_ok=True)
    lines = MOTION.format(folder=home)
    for index, url in enumerate(urls, 1):
        (home / f"camera{index}.conf").write_text(MOTION_CAMERA.format(index=index, url=url))
        lines += f"camera {home}/camera{index}.conf\n"
    (home / "motion.conf").write_text(lines)
    return [["motion", "-n", "-c", str(home / "motion.conf")]]


def gstreamer(urls: Sequence[str], _folder: Path) -> list[list[str]]:
    """One process, a pipeline a camera."""
    return [["/usr/bin/python3", str(HERE / "gst_appsink.py"), *urls]]


def roboflow(urls: Sequence[str], _folder: Path) -> list[list[str]]:
    """In its own environment."""
    return [[str(HERE / ".venv" / "bin" / "python"), str(HERE / "roboflow_loop.py"), os.environ["PEER_NET"], *urls]]


def roboflow_missing() -> str:
    """What it needs."""
    if not (HERE / ".venv" / "bin" / "python").exists():
        return "not installed (several GB: scripts/peers/install roboflow)"
    return "" if os.environ.get("PEER_NET") else "PEER_NET must name an ONNX picture net, f32[1,3,H,W]"


def frigate(urls: Sequence[str], folder: Path) -> list[list[str]]:
    """Its container in the foreground; see README.md."""
    home = folder / "frigate"
    home.mkdir(exist_ok=True)
    cameras = "".join(
        f"  cam{i}:\n    ffmpeg: {{inputs: [{{path: '{url}', roles: [detect]}}]}}\n"
        f"    detect: {{enabled: true, width: 1280, height: 720, fps: 5}}\n" for i, url in enumerate(urls)
    )  # fmt: skip
    (home / "config.yml").write_text(
        f"mqtt: {{enabled: false}}\ndetectors: {{cpu: {{type: cpu}}}}\ncameras:\n{cameras}"
    )
    run = ["docker", "run", "--rm", "--name", "edge-peer-frigate", "--network", "host", "--shm-size", "512m"]
    return [[*run, "-v", f"{home}:/config", "ghcr.io/blakeblackshear/frigate:stable"]]


def frigate_missing() -> str:
    """Whether a Docker daemon answers and the image is there."""
    image = ["docker", "image", "inspect", "ghcr.io/blakeblackshear/frigate:stable"]
    try:
        there = subprocess.run(image, check=False, capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        there = False
    return "" if there else "no Docker with its image here (scripts/peers/README.md)"


def rounds(peers: list[Peer], urls: list[str], folder: Path, args: argparse.Namespace) -> dict[str, Seen]:
    """Everyone once a round, in another order each time."""
    seen = {peer.name: Seen(trouble=peer.missing) for peer in peers}
    for turn in range(args.rounds):
        for peer in random.sample([peer for peer in peers if not peer.missing], k=sum(not p.missing for p in peers)):
            print(f"… {len(urls)} cameras, round {turn + 1}, {peer.name}", file=sys.stderr, flush=True)
            once(peer, urls, folder, args, seen[peer.name], turn)
    return seen


def once(peer: Peer, urls: list[str], folder: Path, args: argparse.Namespace, seen: Seen, turn: int) -> None:
    """Start, settle, watch, stop."""
    with (folder / f"{peer.name}.log").open("wb") as log:
        commands = peer.commands(urls, folder)
        started = [subprocess.Popen(c, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log) for c in commands]
        try:
            pause(args.settle)
            pids = [container_pid() if peer.name == "frigate" else process.pid for process in started]
            before = [process_usage(pid) for pid in pids]
            pause(args.seconds)
            after = [process_usage(pid) for pid in pids]
            if any(process.poll() is not None for process in started):
                seen.trouble = "ended by itself"
                return
            add(seen, turn, before, after, len(urls))
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            seen.trouble = f"failed: {error}"
        finally:
            stop(started)


def add(seen: Seen, turn: int, before: list[ProcessUsage], after: list[ProcessUsage], cameras: int) -> None:
    """One round's figures."""
    cpu_ms = 1000 * sum(b.cores_since(a) for a, b in zip(before, after, strict=True)) / cameras
    if cpu_ms < IDLE_MS:
        seen.trouble = f"only {cpu_ms:.1f} CPU-ms in a round: it cannot have had pictures"
        return
    seen.by_turn[turn] = cpu_ms
    seen.pss_mb.append(sum(usage.pss_mb for usage in after))


def stop(started: list[subprocess.Popen[bytes]]) -> None:
    """End what was started here, and nothing else."""
    for process in started:
        process.send_signal(signal.SIGTERM)
    for process in started:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def container_pid() -> int:
    """The first process of Frigate's container, as this machine numbers it."""
    show = ["docker", "inspect", "-f", "{{.State.Pid}}", "edge-peer-frigate"]
    return int(subprocess.run(show, check=True, capture_output=True, text=True).stdout)


def ratio_table(found: dict[int, dict[str, Seen]], kind: str) -> str:
    """What edge costs by what another program costs, round by round."""
    rows: list[list[object]] = []
    for n, seen in found.items():
        for name, by in seen.items():
            if name == "edge" or "edge" not in seen:
                continue
            pairs = [(by.by_turn[turn], ours) for turn, ours in seen["edge"].by_turn.items() if turn in by.by_turn]
            if not pairs:
                continue
            ratios = [ours / theirs for theirs, ours in pairs]
            most = GOALS.get((kind, name))
            met = "" if most is None else "met" if median(ratios) <= most else "**missed**"
            span = f"{min(ratios):.2f} - {max(ratios):.2f}"
            rows.append([f"edge / {name}", n, median(ratios), span, "" if most is None else f"<= {most} x", met])
    return markdown_table(["ratio of CPU time", "cameras", "median", "range", "goal", ""], rows)


def table(peers: list[Peer], found: dict[int, dict[str, Seen]]) -> str:
    """A row a program."""
    head = ["program", "what it does"]
    for n in found:
        head += [f"CPU-ms per camera-second, {n}", "range", f"memory (PSS), {n}"]
    rows = []
    for peer in peers:
        row: list[object] = [peer.name, peer.does]
        for seen in (found[n][peer.name] for n in found):
            if not seen.cpu_ms:
                row += [f"not run: {seen.trouble}", "", ""]
                continue
            span = f"{min(seen.cpu_ms):.0f} - {max(seen.cpu_ms):.0f}"
            row += [f"{median(seen.cpu_ms):.0f}", span, f"{median(seen.pss_mb):.0f} MB"]
        rows.append(row)
    return markdown_table(head, rows)


if __name__ == "__main__":
    main()
