"""New questions from pictures that are drawn already: other orders, other right answers, other words.

Drawing costs most of what a question costs. A group of four look-alikes asks four questions by description and three by
change, in any order; only a picture's twin (`i->i`) has to be drawn for it.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from vretrver.world import Group, Scene, description
from vretrver.world.wording import change


def recomposed(one: Group, dice: Random) -> tuple[Group, list[int]]:
    """Another question from a group's pictures, and which of them stand in it: the query's first, if it has one.

    Numbers count the group's pictures as `close_ups.scenes_of` gives them.
    """
    first = 0 if one.picture is None else 1
    order = dice.sample(range(len(one.values)), len(one.values))
    values = tuple(one.values[at] for at in order)
    style = dice.getrandbits(32)
    shown = [first + at for at in order] if not isinstance(one.candidates[0], str) else []
    rows = [0] * first + shown
    answer = order.index(one.answer)
    text, candidates = one.text, tuple(one.candidates[at] for at in order)
    scenes = [candidate for candidate in candidates if isinstance(candidate, Scene)]
    match one.modality:
        case "t->i":
            answer = _once(values, dice)
            text = description(scenes[answer], style)
        case "(i,t)->i" if one.picture is not None:
            wanted = [
                at for at, value in enumerate(values) if value != one.picture.tag.value and values.count(value) == 1
            ]
            answer = dice.choice(wanted) if wanted else answer
            text = change(one.picture.tag, scenes[answer].tag, style) if wanted else text
    made = replace(one, text=text, candidates=candidates, answer=answer, values=values)  # type: ignore[arg-type]
    return made, rows


def _once(values: tuple[str, ...], dice: Random) -> int:
    return dice.choice([at for at, value in enumerate(values) if values.count(value) == 1])
