"""What evidence costs: processor time of `edge run` over the sample clip, as ratios of a run that keeps nothing.

    python tests/bench/bench_evidence.py [turns]

Each kind runs in turns with the others, so that what else the machine does falls on all of them alike.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE = ROOT / "samples" / "yard.mp4"
KINDS = {
    "nothing kept": "evidence: null",
    "pictures alone": "evidence: {clips: false, keep_free_gb: 0}",
    "clips, copied": "evidence: {keep_free_gb: 0}",
    "clips, person blurred": "evidence: {keep_free_gb: 0, blur: [person]}",
}


def processor_s(evidence: str) -> float:
    """User and system time of one run, its children included."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(
            f"node: {{data_dir: '{folder}/data'}}\nmqtt: null\n{evidence}\n"
            f"cameras: {{yard: {{source: {{type: file, path: '{SAMPLE}', pace: fast}}}}}}\n",
            encoding="utf-8",
        )
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "edge", "run", "-c", str(config)], check=True, cwd=ROOT, stderr=subprocess.DEVNULL
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(turns: int) -> None:
    """Measure and print a table."""
    taken: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(turns):
        for kind, evidence in KINDS.items():
            taken[kind].append(processor_s(evidence))
    base = statistics.median(taken["nothing kept"])
    print("| what is kept of a 78 s clip with seven events | processor time | ratio |\n|---|---|---|")
    for kind, times in taken.items():
        print(f"| {kind} | {statistics.median(times):.1f} s | {statistics.median(times) / base:.2f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
