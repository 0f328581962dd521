"""hit@1 of a nano model on whole scenes, through `local:` and `Episode`; pointing may be done for it.

    python runs/nano/choose.py MODEL WORK --split val --size 60 --given

With --given the first turn's call is written from the truth: what is measured then is comparing and deciding alone.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from vretrver.datasets.world import INSTRUCTIONS, WINDOW_PIXELS
from vretrver.episode import Episode
from vretrver.messages import Completion
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
    parser.add_argument("--given", action="store_true", help="the call is written from the truth")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = generate(
        options.work / f"{options.split}-{options.kind}",
        options.size,
        options.seed,
        options.split,
        3,
        kinds=[options.kind],
        modalities=["i->i"],
    )
    policy = LocalPolicy.load(options.model, max_new_tokens=200)
    policy.wire = replace(policy.wire, window_pixels=WINDOW_PIXELS)
    played = play(policy, folder, options.size, options.given)
    hits = np.array([episode.trace.order[0] == answer for episode, answer in played], float)
    answered = np.mean([episode.trace.stop is StopReason.ANSWERED for episode, _answer in played])
    dice = np.random.default_rng(0)
    low, high = np.quantile(dice.choice(hits, (2000, len(hits))).mean(1), [0.025, 0.975])
    print(f"hit@1 {hits.mean():.3f} [{low:.2f}, {high:.2f}] of {len(hits)}, answered {answered:.2f}")


def play(policy: LocalPolicy, folder: Path, size: int, given: bool) -> list[tuple[Episode, int]]:
    """Every episode to its end, all together, and the right candidate of each."""
    known, played = truth(folder), []
    for record in topics(folder)[:size]:
        files = [record["picture"], *record["candidates"]]
        refs = [ImageRef(path=str(folder / file)) for file in files]
        candidates = tuple(Candidate(Document(str(at), image=ref), 0.0, at + 1) for at, ref in enumerate(refs[1:]))
        window = Window(Query(record["text"], (refs[0],), INSTRUCTIONS[record["modality"]]), candidates)
        sizes = {ref: known[file].size for ref, file in zip(refs, files, strict=True)}
        episode = Episode(window, sizes, load_toolbox("compare_crops"), wire=policy.wire)
        if given:
            episode.feed(Completion(call({at: shares(known[file]) for at, file in enumerate(files)})))
        played.append((episode, record["answer"]))
    while waiting := [episode for episode, _answer in played if not episode.done]:
        texts = policy.complete([episode.conversation for episode in waiting])
        for episode, text in zip(waiting, texts, strict=True):
            episode.feed(text)
    return played


def shares(known: object) -> tuple[float, float, float, float]:
    """The tag's box as shares of the picture's sides."""
    (x0, y0, x1, y1), (width, height) = known.tag, known.size  # type: ignore[attr-defined]
    return x0 / width, y0 / height, x1 / width, y1 / height


if __name__ == "__main__":
    main()
