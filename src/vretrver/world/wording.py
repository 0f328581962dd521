"""The words of the world: descriptions and changes in varied phrasing. Texts of a group differ in the detail alone.

Words only: which scene is meant and what is right is decided in `groups`.
"""

from __future__ import annotations

from vretrver.world.icons import spoken
from vretrver.world.scenes import Scene, Tag, seeded

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
_PLURALS = {"leaf": "leaves", "fish": "fish", "foot": "feet", "die": "dice", "mouse": "mice", "sheep": "sheep"}

_SCENES = (
    "{a_thing} {on_surface}, {wall} wall behind; {detail}",
    "{a_thing} {on_surface}; {detail}",
    "{a_thing} in front of {wall} wall: {detail}",
    "the picture of {a_thing} {on_surface} where {detail}",
    "{a_thing} {on_surface} before {wall} wall, and {detail}",
    "I am looking for {a_thing} {on_surface}: {detail}",
)
_DETAILS = {
    "which": (
        "the tag on {the_thing} shows {value}",
        "its tag bears {value}",
        "there is {value} on its tag",
        "{value} is printed on the label",
        "the small mark on the tag is {value}",
    ),
    "where": (
        "on its tag {the_subject} is at the {value}",
        "the tag has {the_subject} at the {value}",
        "at the {value} of the tag there is {subject}",
        "{the_subject} sits at the {value} of the label",
    ),
    "count": (
        "the tag on {the_thing} shows {value}",
        "exactly {value} can be seen on its tag",
        "{value} can be counted on the label",
        "its tag bears {value} among other marks",
    ),
    "colour": (
        "{the_subject} on its tag is {value}",
        "the tag has {a_value} {bare_subject}",
        "the label shows {subject} in {value}",
        "{the_subject} on the tag on {the_thing} is printed in {value}",
    ),
    "print": (
        'the tag on {the_thing} reads "{value}"',
        'its label says "{value}"',
        '"{value}" is printed on the tag',
        'the print on its tag is "{value}"',
        'the label is marked "{value}"',
    ),
}
_CHANGES = {
    "which": (
        "the same, but with {value} on the tag",
        "the same thing with {value} on its label instead",
        "like this, yet its tag shows {value}",
    ),
    "where": (
        "the same, but with {the_subject} at the {value} of the tag",
        "like this, yet {the_subject} on the label is at the {value}",
        "the same thing with {the_subject} moved to the {value} of its tag",
    ),
    "count": (
        "the same, but with {value} on the tag",
        "like this, yet the label has {value}",
        "the same thing with {value} on its tag instead",
    ),
    "colour": (
        "the same, but {the_subject} on the tag is {value}",
        "like this, yet with {a_value} {bare_subject} on the label",
        "the same thing with {the_subject} on its tag in {value}",
    ),
    "print": (
        'the same, but the tag reads "{value}"',
        'like this, yet its label says "{value}"',
        'the same thing with "{value}" on its tag',
    ),
}
_STEPS = {
    +1: ("the same, but with one more {subject} on the tag", "one {subject} more on its label"),
    -1: ("the same, but with one {subject} fewer on the tag", "one {subject} less on its label"),
}


def description(scene: Scene, style: int) -> str:
    """One sentence that is true of the scene; texts of equal style differ in nothing but what differs in the scenes."""
    dice = seeded(f"words/{style}")
    frame, detail = dice.choice(_SCENES), dice.choice(_DETAILS[scene.tag.kind])
    thing = f"{scene.colour} {spoken(scene.object)}"
    words = _words(scene.tag) | {"the_thing": f"the {spoken(scene.object)}"}
    text = frame.format(
        a_thing=with_article(thing),
        on_surface=f"on {with_article(scene.surface)}",
        wall=with_article(scene.wall),
        detail=detail.format(**words),
    )
    return text[0].upper() + text[1:] + "."


def change(reference: Tag, wanted: Tag, style: int) -> str:
    """What to change in a picture whose tag is `reference` so that it becomes `wanted`; some say only by how much."""
    dice = seeded(f"change/{style}")
    if wanted.kind == "count" and dice.random() < 0.5:
        step = int(wanted.value) - int(reference.value)
        if step in _STEPS:
            return dice.choice(_STEPS[step]).format(subject=spoken(str(wanted.subject))).capitalize() + "."
    text = dice.choice(_CHANGES[wanted.kind]).format(**_words(wanted))
    return text[0].upper() + text[1:] + "."


def with_article(words: str) -> str:
    """ "a key", "an anchor", "an hourglass"."""
    first = words.split(maxsplit=1)[0].lower()
    an = first[0] in "aeio" or first in ("umbrella", "hourglass", "x") or first.startswith(("um", "un", "ul"))
    return f"{'an' if an and not first.startswith(('eu', 'uni', 'one')) else 'a'} {words}"


def plural(words: str) -> str:
    """ "bunch of grapes" -> "bunches of grapes", "leaf" -> "leaves"."""
    head, of, rest = words.partition(" of ")
    stem, _, last = head.rpartition(" ")
    if last in _PLURALS:
        last = _PLURALS[last]
    elif last.endswith(("s", "x", "ch", "sh")):
        last += "es"
    elif last.endswith("y") and last[-2] not in "aeiou":
        last = last[:-1] + "ies"
    else:
        last += "s"
    return f"{stem} {last}".strip() + of + rest


def _words(tag: Tag) -> dict[str, str]:
    subject = spoken(tag.subject) if tag.subject else ""
    words = {
        "bare_subject": subject,
        "subject": with_article(subject) if subject else "",
        "the_subject": f"the {subject}",
    }
    match tag.kind:
        case "which":
            return words | {"value": with_article(spoken(tag.value))}
        case "count":
            number = int(tag.value)
            return words | {"value": f"{_NUMBERS[number]} {subject if number == 1 else plural(subject)}"}
        case _:
            return words | {"value": tag.value, "a_value": with_article(tag.value)}
