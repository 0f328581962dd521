"""From a file written to its being found: seconds, with `vretrver watch` in a process of its own.

    python runs/watch_latency.py [documents] [times]

Each time one picture is put into the folder and the index is asked, as a new reader would, until it lists it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from vretrver.indexes.lance import LanceIndex
from vretrver.indexes.manifest import Manifest


def main(documents: int = 500, times: int = 20) -> None:
    """Print one JSON object: the first sync and the latencies' median, least and most."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        folder, index = Path(place, "photos"), Path(place, "photos.vr")
        folder.mkdir()
        for number in range(documents):
            _picture(rng, folder / f"{number:06}.jpg")
        command = [sys.executable, "-m", "vretrver.cli", "watch", str(folder), "-o", str(index), "--no-ocr", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            first = json.loads(process.stdout.readline())["seconds"]
            LanceIndex.open(index).stamps()  # a reader that has loaded its libraries, the database among them
            taken = []
            for number in range(times):
                _picture(rng, Path(place, "new.jpg"))
                name = f"new{number:03}.jpg"
                Path(place, "new.jpg").rename(folder / name)
                started = time.monotonic()
                _wait(index, name)
                taken.append(time.monotonic() - started)
                time.sleep(0.5 + rng.random())
            process.terminate()
    facts = {"documents": documents, "times": times, "first_sync": round(first, 1)}
    print(
        json.dumps(
            facts
            | {"median": _round(statistics.median(taken)), "least": _round(min(taken)), "most": _round(max(taken))}
        )
    )


def _wait(index: Path, name: str) -> None:
    version = -1
    while True:
        if (now := Manifest.read(index).version) != version:
            version = now
            if name in LanceIndex.open(index).ids():
                return
        time.sleep(0.01)


def _picture(rng: np.random.Generator, path: Path) -> None:
    small = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8))
    small.resize((640, 480)).save(path, quality=85)


def _round(seconds: float) -> float:
    return round(seconds, 2)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
