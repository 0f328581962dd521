"""The agent's thoughts in words: what could settle the query, what was seen, what it changed. Text only.

One sentence per candidate, opened by its number in brackets, so that notes can be told apart. Print and captions
are quoted shortened and without brackets: what a picture says cannot pose as what the agent says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vretrver.messages import ToolCall
from vretrver.policies.evidence.signals import Claims, Seen

if TYPE_CHECKING:
    from vretrver.policies.evidence.policy import Judgement, Scene

_SAID = 60  # characters of one quotation
_MENTIONED = 6  # claims or candidates named in one sentence
_COUNTS = 0.1  # a signal below this weighs too little to be mentioned
_MARKS = re.compile(r"[^\w%.,&+/ -]|[.](?!\w)|\b(?:candidates?|images?)\b", re.IGNORECASE)  # what notes are cut by

_FOR = {
    "regions": "parts of the query picture are found again on it",
    "details": "small parts agree with the query picture",
    "palette": "it has the query picture's colours",
    "changed": "its colours are others than the query picture's",
    "shown": "a part of it shows what the text says",
    "named": "parts of the query picture fit its text",
}
_AGAINST = {
    "regions": "less of the query picture is found on it",
    "details": "small parts differ from the query picture",
    "palette": "its colours differ from the query picture's",
    "changed": "it has the query picture's own colours",
    "shown": "no part of it shows what the text says so well",
    "named": "the query picture fits its text less",
}
_AT_ONCE = {
    "one": "There is nothing to compare, so I answer at once.",
    "learned": "For this kind of query looking was learned not to help, so I keep the coarse order and answer at once.",
    "certain": "That is certain enough to answer at once, without looking.",
    "deep": "This window lies deep in the list, where looking was learned not to pay, so I keep the coarse order.",
}


def at_once(scene: Scene, why: str) -> str:
    """The thoughts of an answer without any look."""
    return " ".join([claimed(scene.claims), _coarse(scene), _AT_ONCE[why]])


def think(scene: Scene, now: Judgement, before: Judgement | None, seen: Seen, call: ToolCall | None) -> str:
    """The thoughts of one turn: before the first look (`before` is None), after a look, or before the answer."""
    if before is None:
        said = [claimed(scene.claims), _coarse(scene), _glance(scene, now)]
    else:
        said = [_query_print(seen, now), *_sightings(now, before, seen), _changed(now, before)]
    if call is None and before is not None:
        said.append(_outcome(scene, now))
    said.append(_next(call, first=before is None))
    return " ".join(filter(None, said))


def claimed(claims: Claims) -> str:
    """What the query claims that could be seen."""
    parts = []
    if claims.spoken:
        parts.append("the words or figures " + _quoted(claims.spoken) + ", which may be printed")
    if claims.colours:
        parts.append("the colour " + " and ".join(claims.colours))
    if claims.pictures:
        parts.append("the parts of its picture" if len(claims.pictures) == 1 else "the parts of its pictures")
    return (
        f"Hypotheses: the answer shows {'; '.join(parts)}." if parts else "The query claims nothing that could be seen."
    )


def _coarse(scene: Scene) -> str:
    if not scene.z.any():
        return "The coarse stage does not tell the candidates apart."
    first = int(scene.prior.argmax())
    close = [int(at) for at in np.argsort(-scene.prior, kind="stable") if scene.prior[at] > 0.3 * scene.prior[first]]
    rivals = [at for at in close if at != first][:_MENTIONED]
    said = f"The coarse stage puts {_number(first)} first, at {scene.prior[first]:.0%}"
    return f"{said}; it cannot separate {_numbers(rivals)} from it." if rivals else f"{said}, well ahead of the rest."


def _glance(scene: Scene, now: Judgement) -> str:
    leader, first = int(scene.z.argmax()), int(now.order[0])
    if not scene.z.any() or leader == first:
        return ""
    return f"At a glance {_number(first)} comes before {_number(leader)}: {_reasons(now, first)}."


def _sightings(now: Judgement, before: Judgement, seen: Seen) -> list[str]:
    """A sentence per candidate that was shown; after an enlargement only for those that it concerns."""
    old, new = _places(before), _places(now)
    enlarged = {at for at, _ in seen.crops if at is not None}
    concerned = {at for at in seen.selected if not seen.crops or old[at] != new[at]} | enlarged
    return [_sighting(now, at, new[at], seen) for at in sorted(concerned, key=new.__getitem__)]


def _places(judgement: Judgement) -> dict[int, int]:
    return {int(at): place for place, at in enumerate(judgement.order, start=1)}


def _sighting(now: Judgement, at: int, place: int, seen: Seen) -> str:
    facts = [_reasons(now, at)]
    read = now.table.read[at]
    if read:
        facts.insert(0, f"the print reads {_quoted([read])}")
    elif at in seen.selected and read is not None:
        facts.insert(0, "no print is found on it")
    move = f"it moves from place {at + 1} to {place}" if at + 1 != place else f"it stays at place {place}"
    return f"{_number(at)}: {', '.join([*filter(None, facts), move])}."


def _reasons(now: Judgement, at: int) -> str:
    weighed = sorted(((abs(part[at]), name) for name, part in now.parts.items()), reverse=True)
    return ", ".join(filter(None, (_reason(now, at, name) for weight, name in weighed[:3] if weight > _COUNTS)))


def _reason(now: Judgement, at: int, name: str) -> str:
    if name == "asked":
        return f"{now.table.values['asked'][at]:.0%} of it has the colour asked for"
    if name in ("said", "print"):
        met = now.table.met[at]
        whose = "the query asks for" if name == "said" else "is printed on the query picture"
        return f"it shows {_quoted(met)}, which {whose}" if met else f"nothing that {whose} is read on it"
    return (_FOR if now.parts[name][at] > 0 else _AGAINST)[name]


def _query_print(seen: Seen, now: Judgement) -> str:
    if not seen.query_selected or not now.table.print_claims:
        return ""
    enlarged = any(at is None for at, _ in seen.crops)
    return f"The query picture's print{' enlarged' if enlarged else ''} reads {_quoted(now.table.print_claims)}."


def _changed(now: Judgement, before: Judgement) -> str:
    old, new = int(before.order[0]), int(now.order[0])
    return (
        f"The look puts {_number(new)} before {_number(old)}."
        if old != new
        else f"The look leaves {_number(new)} in the first place."
    )


def _outcome(scene: Scene, now: Judgement) -> str:
    leader, first = int(scene.z.argmax()), int(now.order[0])
    if not scene.z.any():
        return f"In all, {_number(first)} fits best."
    if leader == first:
        return f"In all, {_number(first)} stays first as the coarse stage had it."
    return f"In all, {_number(first)} takes the first place from {_number(leader)}: {_reasons(now, first)}."


def _next(call: ToolCall | None, first: bool) -> str:
    if call is None:
        return "Nothing can be looked at more closely, so I answer." if first else ""
    if call.name == "crop_image":
        return "I enlarge the largest print to read it again."
    return "I look closely at what cannot be separated."


def _number(at: int) -> str:
    return f"({at + 1})"


def _numbers(positions: Sequence[int]) -> str:
    return ", ".join(_number(at) for at in positions)


def _quoted(texts: Sequence[str]) -> str:
    plain = [" ".join(_MARKS.sub(" ", text[: 4 * _SAID]).split())[:_SAID] for text in texts[:_MENTIONED]]
    return ", ".join(f"'{text}'" for text in plain if text) or "''"
