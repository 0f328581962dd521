"""Index a folder of pictures and search it, with an agent that looks before it answers.

    python examples/search_folder.py photos/ "a red kite over water"

Without arguments it makes four pictures of its own.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

from vretrver import Pipeline, Reranker, Retriever, load_policy
from vretrver.ingest import build_index
from vretrver.viewer import render, write_traces


def main(folder: Path, words: str) -> None:
    report = build_index(folder, folder / "photos.vr")
    print(f"{report.added} pictures indexed, {len(report.skipped)} skipped")
    pipeline = Pipeline(Retriever.open(folder / "photos.vr"), Reranker(load_policy("evidence")))
    ranking = pipeline.search(words, k=5)
    for result in ranking.results:
        print(f"{result.rank}  {result.confidence:4.0%}  {result.document.id}  (found at {result.candidate.rank})")
        for look in result.evidence:
            print(f"       {look.tool}: {look.note}")
    write_traces(folder / "run.jsonl", [ranking])
    render(folder / "run.jsonl", folder / "run.html")
    print("every turn:", folder / "run.html")


def made_pictures(folder: Path) -> Path:
    for name in ("red kite", "blue lake", "green hill", "white boat"):
        Image.new("RGB", (320, 240), name.split()[0]).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(f"A {name}", encoding="utf-8")
    return folder


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        main(*((Path(sys.argv[1]), sys.argv[2]) if len(sys.argv) > 2 else (made_pictures(Path(made)), "a red kite")))
