"""How long before anything happens: `import vretrver`, `vretrver --help`, a first search. Prints a Markdown table.

Whole processes, each run several times after one warm-up; the median and the fastest are shown. The first search is
on an index of one hundred plain pictures made on the spot, agent included, weights loaded from disk.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("-n", type=int, default=7, help="counted runs of each command (default 7)")
    runs = options.parse_args().n
    with tempfile.TemporaryDirectory() as folder:
        index = _index(Path(folder))
        vretrver = [sys.executable, "-m", "vretrver.cli"]
        rows = {
            "`python -c pass`": [sys.executable, "-c", "pass"],
            "`import vretrver`": [sys.executable, "-c", "import vretrver"],
            "`vretrver --help`": [*vretrver, "--help"],
            "`vretrver search` (100 pictures, coarse)": [*vretrver, "search", index, "red", "--policy", "none"],
            "`vretrver search` (100 pictures, evidence)": [*vretrver, "search", index, "red"],
        }
        print("| command | median s | fastest s |\n|---|---|---|")
        for name, command in rows.items():
            seconds = _timed(command, runs)
            print(f"| {name} | {statistics.median(seconds):.3f} | {min(seconds):.3f} |")


def _index(folder: Path) -> str:
    for number in range(100):
        (folder / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (320, 240), (number * 2, 255 - number, 90)).save(folder / "photos" / f"{number:03}.jpg")
    index = str(folder / "photos.vr")
    command = [sys.executable, "-m", "vretrver.cli", "index", str(folder / "photos"), "-o", index, "--no-ocr"]
    subprocess.run(command, check=True, capture_output=True)
    return index


def _timed(command: list[str], runs: int) -> list[float]:
    seconds = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    return seconds[1:]


if __name__ == "__main__":
    main()
