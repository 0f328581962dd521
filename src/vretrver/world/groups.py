"""One question of the world: a query, look-alike candidates that differ in one small thing, and which of them is right.

`group` is a pure function of (seed, split, index). The alternatives are drawn first and the right one among them
afterwards, so nothing in the candidates themselves says which is asked for. What it leaves out: pixels (`drawing`) and
files (`files`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from vretrver.errors import InvalidInput
from vretrver.world.icons import look_alikes, owned
from vretrver.world.scenes import COLOURS, GRID, INKS, KINDS, PLACES, SURFACES, VERSION, WALLS, Scene, Tag, seeded
from vretrver.world.wording import change, description

MODALITIES = ("t->i", "i->i", "(i,t)->i", "i->t")
MAX_DISTRACTORS = 19

_FEW = 200
_LETTERS, _DIGITS = "ABCDEFGHKLMNPRSTUVXYZ", "23456789"
_WORDS = (
    "MINT HINT LINT TINT PINT",
    "RICE MICE DICE NICE VICE",
    "BEAN BEAD BEAR BEAT BEAM",
    "WINE WIRE WISE WIDE WIPE",
    "LIME LINE LIFE LIKE LIVE",
    "CAKE CAGE CAFE CASE CAVE",
    "CORK FORK PORK WORK",
    "TEAM TEAR TEAL TEAK",
    "BALL HALL TALL WALL",
    "BOOK COOK HOOK LOOK",
)


@dataclass(frozen=True, slots=True)
class Group:
    """A query and its candidates; each is a scene or a text.

    Args:
        seed, split, index: what the group was made from.
        kind: what differs, one of `KINDS`. modality: one of `MODALITIES`.
        text: the query's words, or None. picture: the query's scene, or None.
        candidates: what is ranked, in the order of the gallery: scenes, or texts for `i->t`.
        answer: position of the only right candidate, from 0.
        values: each candidate's deciding detail, in the same order; the right one's occurs once.
    """

    seed: int
    split: str
    index: int
    kind: str
    modality: str
    text: str | None
    picture: Scene | None
    candidates: tuple[Scene, ...] | tuple[str, ...]
    answer: int
    values: tuple[str, ...]

    @property
    def id(self) -> str:
        return f"{self.split}-{self.seed}-{self.index:06d}"


def group(
    seed: int,
    split: str,
    index: int,
    distractors: int = 3,
    *,
    kinds: Sequence[str] = KINDS,
    modalities: Sequence[str] = MODALITIES,
) -> Group:
    """The group with this number. Kinds and modalities take turns: every run of their product holds each pair once.

    Args:
        seed, split, index: any whole numbers, and one of `icons.SPLITS`.
        distractors: wrong candidates, 1 to 19. Where a kind has fewer wrong values, some occur more than once, drawn
            apart; a gallery of texts is then smaller, as it holds each text once.
        kinds, modalities: a choice of `KINDS` and of `MODALITIES`.

    Raises:
        InvalidInput: an argument is not among those; says which are.
        MissingExtra: the icon font's package is not installed.
    """
    _check(split, index, distractors, kinds, modalities)
    kind = kinds[index % len(kinds)]
    modality = modalities[index // len(kinds) % len(modalities)]
    name = f"vretrver-world-{VERSION}/{seed}/{split}/{index}"
    dice = seeded(name)
    objects, _marks = owned(split)
    base = Scene(
        dice.choice(objects),
        dice.choice(tuple(COLOURS)),
        dice.choice(tuple(SURFACES)),
        dice.choice(tuple(WALLS)),
        Tag(kind, ""),
        split,
        name,
    )
    alternatives = _alternatives(kind, distractors + 1, split, dice)
    right = dice.choice(alternatives)
    tags = [right, *_wrong([tag for tag in alternatives if tag != right], distractors, dice)]
    order = dice.sample(range(len(tags)), len(tags))
    scenes = [replace(base, tag=tags[at], nuisance=f"{name}/c{place}") for place, at in enumerate(order)]
    answer, style = order.index(0), dice.getrandbits(32)
    elsewhere = replace(
        base,
        surface=dice.choice([name for name in SURFACES if name != base.surface]),
        wall=dice.choice([name for name in WALLS if name != base.wall]),
        nuisance=f"{name}/q",
    )
    text, picture = None, None
    candidates: tuple[Scene, ...] | tuple[str, ...] = tuple(scenes)
    match modality:
        case "t->i":
            text = description(scenes[answer], style)
        case "i->i":
            picture = replace(elsewhere, tag=right)
        case "(i,t)->i":
            reference = dice.choice([tag for tag in alternatives if tag != right])
            picture, text = replace(elsewhere, tag=reference), change(reference, right, style)
        case _:
            picture = replace(base, tag=right, nuisance=f"{name}/q")
            candidates = tuple(description(scene, style) for scene in scenes)
    if modality == "i->t" and len(set(tags)) < len(tags):  # equal texts would be one document twice
        kept = [place for place, at in enumerate(order) if tags[at] not in [tags[other] for other in order[:place]]]
        candidates = tuple(description(scenes[place], style) for place in kept)
        scenes, answer = [scenes[place] for place in kept], kept.index(answer)
    values = tuple(scene.tag.value for scene in scenes)
    return Group(seed, split, index, kind, modality, text, picture, candidates, answer, values)


def _check(split: str, index: int, distractors: int, kinds: Sequence[str], modalities: Sequence[str]) -> None:
    owned(split)
    if index < 0:
        raise InvalidInput(f"a group's index is 0 or more, not {index}")
    if not 1 <= distractors <= MAX_DISTRACTORS:
        raise InvalidInput(f"distractors must be 1 to {MAX_DISTRACTORS}, not {distractors}")
    for name, given, known in (("kinds", kinds, KINDS), ("modalities", modalities, MODALITIES)):
        if not given or set(given) - set(known):
            raise InvalidInput(f"{name} must be some of {', '.join(known)}, not {', '.join(given) or 'none'}")


def _alternatives(kind: str, wanted: int, split: str, dice: Random) -> list[Tag]:
    """At most `wanted` and at least two tags that differ in their value alone."""
    marks = owned(split)[1]
    if len(marks) > _FEW:  # of thousands, the nearest to any are its own variants
        marks = tuple(dice.sample(marks, _FEW))
    subject = dice.choice(marks)
    near = look_alikes(subject, marks)
    cells = GRID[kind][0] * GRID[kind][1]
    match kind:
        case "which":
            values = [subject, *dice.sample(near[: max(2 * wanted, 8)], min(wanted - 1, len(near)))]
            return [Tag(kind, value) for value in values]
        case "where":
            others = tuple(dice.sample(near[:12], cells - 1))
            return [Tag(kind, value, subject, others) for value in _some(PLACES, wanted, dice)]
        case "count":
            other = (dice.choice(near[:5]),)
            return [Tag(kind, str(value), subject, other) for value in _some(range(1, cells), wanted, dice)]
        case "colour":
            others = tuple(dice.sample(near[:12], cells - 1))
            return [Tag(kind, value, subject, others, tuple(INKS)) for value in _some(tuple(INKS), wanted, dice)]
        case _:
            return [Tag(kind, value) for value in _some(_prints(dice), wanted, dice)]


def _some(values: Sequence[str] | range, wanted: int, dice: Random) -> list[str]:
    return [str(value) for value in dice.sample(list(values), min(wanted, len(values)))]


def _prints(dice: Random) -> list[str]:
    """Words that differ in one letter, or codes, shares, prices and fractions that differ in one character."""
    digits = [dice.choice(_DIGITS) for _ in range(4)]
    form = dice.randint(0, 4)
    if form == 0:
        return dice.choice(_WORDS).split()
    if form == 1:
        lead, tail = dice.choice(_LETTERS), dice.choice(_LETTERS)
        return [f"{lead}{letter}-{digits[0]}{digits[1]}{tail}" for letter in _LETTERS]
    pattern = {2: "#.{0}%", 3: "$#{0}.{1}0", 4: "{0}#/{1}{2}"}[form].format(*digits)
    return [pattern.replace("#", digit) for digit in _DIGITS]


def _wrong(values: list[Tag], wanted: int, dice: Random) -> list[Tag]:
    """`wanted` wrong tags, every value at least once. Repeats fall on half of them: the rest occur once, as the right
    one does, so that it is not the odd one out."""
    repeated = values[: max(1, len(values) // 2)]
    return values[:wanted] + [dice.choice(repeated) for _ in range(wanted - len(values))]
