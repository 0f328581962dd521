"""How soon the search page shows something: 100,000 rows with thumbnails, a real Chromium, one search after the other.

    python -m runs.server.first_results [--rows 100000] [--searches 20]

Timed in the page, from the moment a search is sent off: until the first card stands there, and until every thumbnail
on the first screen is drawn. Ready random vectors stand in place of an embedder, and nobody looks, because what a look
takes is the agent's. Needs chromium.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from runs.bench_index import WORDS, Ready, unit
from runs.server.load import running

from vretrver.indexes import load_index
from vretrver.indexes.lance import LanceIndex
from vretrver.indexes.manifest import Source
from vretrver.indexes.rows import Row

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from browser import Browser  # the tests' own

PICTURES = 500
SEARCH = """(async (words) => {
  const frame = () => new Promise(requestAnimationFrame);
  const list = document.getElementById("results");
  document.getElementById("text").value = words;
  const started = performance.now();
  document.getElementById("ask").requestSubmit();
  while (!list.children.length) await frame();
  const first = performance.now() - started;
  const seen = (image) => image.getBoundingClientRect().top < innerHeight;
  const waits = () => [...list.querySelectorAll("img")].some((image) => seen(image) && !image.complete);
  while (waits()) await frame();
  return [first, performance.now() - started];
})"""


def build(folder: Path, rows: int, dim: int) -> None:
    """An index of captions and thumbnails, each of one of 500 pictures."""
    dice = np.random.default_rng(0)
    thumbnails = [_thumbnail(dice) for _ in range(PICTURES)]
    index = LanceIndex.create(folder, Ready(dim))
    with index.writing():
        index.add_source(Source("/bench", "/bench", "../bench"))
        for start in range(0, rows, 5000):
            vectors = unit(dice.normal(size=(min(5000, rows - start), dim)))
            words = dice.zipf(1.3, size=(len(vectors), 12)) % len(WORDS)
            index.upsert(
                [
                    Row(
                        id=f"{start + at:07}.jpg",
                        text=" ".join(WORDS[word] for word in words[at]),
                        path=f"{start + at:07}.jpg",
                        source=0,
                        vector=vector,
                        metadata={"shelf": (start + at) % 100},
                        thumbnail=thumbnails[(start + at) % PICTURES],
                    )
                    for at, vector in enumerate(vectors)
                ]
            )
    _ = load_index(folder).snapshot


def _thumbnail(dice: np.random.Generator) -> bytes:
    cells = Image.fromarray(dice.integers(0, 255, (12, 16, 3), np.uint8))
    buffer = io.BytesIO()
    cells.resize((256, 192), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=82)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=1376, help="length of a vector (lite's by default)")
    parser.add_argument("--searches", type=int, default=20)
    parser.add_argument("--index", type=Path, help="an index to use again, or where to keep the one made here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        index = options.index or Path(scratch) / "page.vr"
        if not index.exists():
            build(index, options.rows, options.dim)
        with running("ours", index, options.dim) as (port, _), Browser(Path(scratch) / "profile") as browser:
            browser.size(1280, 860)
            browser.visit(f"http://127.0.0.1:{port}/")
            browser.wait("document.getElementById('holds').textContent.length > 0", 60)
            taken = [browser.ask(f"{SEARCH}('{WORDS[1 + at]} {WORDS[40 + at]}')") for at in range(options.searches + 1)]
            print(
                f"{len(load_index(index))} rows x {options.dim}; the first search: {taken[0][0]:.0f} ms to a card, ",
                end="",
            )
            print(f"{taken[0][1]:.0f} ms to all thumbnails\n\n| | p50 ms | p95 ms |\n|---|---|---|")
            for name, times in zip(
                ("first card", "first screen's thumbnails"), zip(*taken[1:], strict=True), strict=True
            ):
                print(f"| {name} | {statistics.median(times):.0f} | {statistics.quantiles(times, n=20)[-1]:.0f} |")
            assert browser.console == [], browser.console


if __name__ == "__main__":
    main()
