"""hit@1 of a nano model on whole scenes, through `local:` and `Episode`; pointing may be done for it.

    python runs/nano/choose.py MODEL WORK --split val --size 60 --kind which --modality "i->i" [--given]

With --given the first turn's call is written from the truth: what is measured then is comparing and deciding alone.
Printed are hit@1 with a 95 % bootstrap interval, how many answered, and the share of crops that hold the detail.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vretrver.datasets.world import INSTRUCTIONS, WINDOW_PIXELS
from vretrver.episode import Episode
from vretrver.messages import Completion, ImagePart
from vretrver.policies.local import LocalPolicy
from vretrver.tools import load_toolbox
from vretrver.trace import StopReason
from vretrver.training.nano.episodes import call
from vretrver.types import Candidate, Document, ImageRef, Query, Window
from vretrver.world import generate, topics, truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("work", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--size", type=int, default=60)
    parser.add_argument("--seed", type=int, default=901)
    parser.add_argument("--kind", default="which")
    parser.add_argument("--modality", default="i->i")
    parser.add_argument("--batch", type=int, default=16, help="episodes at a time")
    parser.add_argument("--given", action="store_true", help="the call is written from the truth")
    options = parser.parse_args()
    torch.set_num_threads(1)
    name = f"{options.split}-{options.kind}-{options.modality.replace('->', '-').replace(',', '')}-{options.seed}"
    folder = generate(
        options.work / name,
        options.size,
        options.seed,
        options.split,
        3,
        kinds=[options.kind],
        modalities=[options.modality],
    )
    policy = LocalPolicy.load(options.model, max_new_tokens=200)
    policy.wire = replace(policy.wire, window_pixels=WINDOW_PIXELS)
    played = []
    records = list(topics(folder))[: options.size]
    for start in range(0, len(records), options.batch):
        played += play(policy, folder, records[start : start + options.batch], options.given)
    hits = np.array([episode.trace.order[0] == answer for episode, answer, _held in played], float)
    answered = np.mean([episode.trace.stop is StopReason.ANSWERED for episode, _answer, _held in played])
    held = np.mean([share for _episode, _answer, share in played])
    dice = np.random.default_rng(0)
    low, high = np.quantile(dice.choice(hits, (2000, len(hits))).mean(1), [0.025, 0.975])
    print(
        f"{options.split} {options.modality}/{options.kind}: hit@1 {hits.mean():.3f} [{low:.2f}, {high:.2f}] "
        f"of {len(hits)}, answered {answered:.2f}, crops on the tag {held:.2f}"
    )


def play(policy: LocalPolicy, folder: Path, records: list[Any], given: bool) -> list[tuple[Episode, int, float]]:
    """Episodes to their end, all together; the right candidate of each, and how many of its crops hold the tag."""
    known, played, shown = truth(folder), [], []
    for record in records:
        texts = record["modality"] == "i->t"
        files = [record["picture"]] * (record["picture"] is not None) + ([] if texts else record["candidates"])
        refs = {file: ImageRef(path=str(folder / file)) for file in files}
        documents = [
            Document(str(at), text=one) if texts else Document(str(at), image=refs[one])
            for at, one in enumerate(record["candidates"])
        ]
        candidates = tuple(Candidate(document, 0.0, at) for at, document in enumerate(documents, 1))
        pictures = (refs[record["picture"]],) if record["picture"] is not None else ()
        window = Window(Query(record["text"], pictures, INSTRUCTIONS[record["modality"]]), candidates)
        sizes = {ref: known[file].size for file, ref in refs.items()}
        episode = Episode(window, sizes, load_toolbox("compare_crops"), wire=policy.wire)
        numbered = dict(enumerate(files, 0 if pictures else 1))
        if given:
            episode.feed(Completion(call({at: shares(known[file]) for at, file in numbered.items()})))
        played.append((episode, record["answer"]))
        shown.append(numbered)
    while waiting := [episode for episode, _answer in played if not episode.done]:
        for episode, said in zip(waiting, policy.complete([episode.conversation for episode in waiting]), strict=True):
            episode.feed(said)
    return [(*one, held(one[0], files, known)) for one, files in zip(played, shown, strict=True)]


def held(episode: Episode, files: dict[int, str], known: Any) -> float:
    """The share of the pictures of which a crop was shown that holds the whole deciding detail."""
    found = set()
    for turn in episode.trace.turns:
        for part in turn.observation.parts if turn.observation is not None else ():
            if not isinstance(part, ImagePart) or part.view.box is None or part.index not in files:
                continue
            box = part.view.box
            x0, y0, x1, y1 = known[files[part.index]].detail
            if box[0] <= x0 and box[1] <= y0 and box[2] >= x1 and box[3] >= y1:
                found.add(part.index)
    return len(found) / len(files)


def shares(known: Any) -> tuple[float, float, float, float]:
    """The tag's box as shares of the picture's sides."""
    (x0, y0, x1, y1), (width, height) = known.tag, known.size
    return x0 / width, y0 / height, x1 / width, y1 / height


if __name__ == "__main__":
    main()
