"""A collection that nothing was fitted or tuned on: emoji of one vendor asked for with another vendor's, or by name.

    npm pack emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0     # then unpack each into a folder
    python runs/emoji.py GOOGLE/package TWITTER/package -o EMOJI [--pool 1000] [--queries 500]
    vretrver eval jsonl --root EMOJI/picture --top-k 20 --no-ocr -o RUN         # and EMOJI/name

Draws emoji by a fixed seed and writes them as two benchmarks of `vretrver eval jsonl`: the first vendor's pictures
(64 px) are the documents; the second vendor's picture of the same emoji asks in one, its name in the other.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("google", type=Path)
    parser.add_argument("twitter", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--pool", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=500)
    options = parser.parse_args()
    found, asked = options.google / "img/google/64", options.twitter / "img/twitter/64"
    names = {emoji["image"]: emoji["name"].lower() for emoji in json.loads((options.google / "emoji.json").read_text())}
    pool = sorted(name for name in names if (found / name).is_file() and (asked / name).is_file())
    random.Random(0).shuffle(pool)
    pool = pool[: options.pool]
    pictures = [{"image": f"asked/{name}"} for name in pool[: options.queries]]
    texts = [{"text": names[name]} for name in pool[: options.queries]]
    for kind, queries in (("picture", pictures), ("name", texts)):
        folder = options.out / kind
        for source, part in ((found, "pictures"), (asked, "asked")):
            (folder / part).mkdir(parents=True, exist_ok=True)
            for name in pool:
                shutil.copy(source / name, folder / part / name)
        _write(folder / "documents.jsonl", ({"id": name, "image": f"pictures/{name}"} for name in pool))
        _write(
            folder / "queries.jsonl",
            ({"id": f"q-{name}", **query, "relevant": [name]} for name, query in zip(pool, queries, strict=False)),
        )
        print(f"vretrver eval jsonl --root {folder} --top-k 20 --no-ocr -o {folder}-run")


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
