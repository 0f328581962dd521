"""What the oracle's styles say: words only. Two styles share no four words in a row (tests hold it), so that what a
student learned of one teacher's wording can be told from what it learned of the task.

In braces stands what is filled in: `{wanted}` and `{value}` are details ("three keys"), `{n}` one candidate "(2)",
`{all}` several, `{thing}` what all candidates show, `{names}` what is to be looked at. A verdict names one candidate
and its own detail first, as `filtering` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Book:
    """The phrasings of one style; of each several, drawn by seed.

    Args:
        asks, steps, same, texts: the hypothesis, for a query that names the detail, that says by how much it changes,
            that is a picture, and whose candidates are texts (`{said}` lists what they say).
        hidden: why nothing is settled before a look. compare, select, crop: the next look.
        query: what the query's picture shows. step: what follows from it.
        yes, no: the verdict on one candidate; says_yes, says_no: on one that is a text. left: the only one that was not
            looked at. unseen: not looked at.
        further: before another look. concludes, open: before the ranking, settled or not. guesses: without a look.
        between: what stands between sentences. mixed: whether every verdict draws its own phrasing.
        plain: for students of a few million numbers: `compare` alone before a look; after it one verdict a candidate
            without a name for what was seen (`bare_yes`, `bare_no`), prints read out; boxes in steps of ten, no margin.
    """

    asks: tuple[str, ...]
    steps: tuple[str, ...]
    same: tuple[str, ...]
    texts: tuple[str, ...]
    hidden: tuple[str, ...]
    hidden_query: tuple[str, ...]
    compare: tuple[str, ...]
    select: tuple[str, ...]
    crop: tuple[str, ...]
    query: tuple[str, ...]
    step: tuple[str, ...]
    yes: tuple[str, ...]
    no: tuple[str, ...]
    says_yes: tuple[str, ...]
    says_no: tuple[str, ...]
    left: tuple[str, ...]
    unseen: tuple[str, ...]
    further: tuple[str, ...]
    concludes: tuple[str, ...]
    open: tuple[str, ...]
    guesses: tuple[str, ...]
    between: str = " "
    mixed: bool = False
    plain: bool = False
    bare_yes: str = "{n} yes"
    bare_no: str = "{n} no"


LEDGER = Book(
    asks=(
        "Hypothesis: the right picture has {wanted} on its tag.",
        "Wanted on the tag: {wanted}.",
        "Deciding detail: {wanted}, to be found on the tag.",
    ),
    steps=(
        "Hypothesis: one {subject} {way} than on the query's tag; that number is not known yet.",
        "Wanted: the query's count of the {subject}, {sign} one. The count must be read first.",
    ),
    same=(
        "Hypothesis: the right tag repeats the tag of image 0.",
        "Wanted on the tag: whatever image 0 has on its own.",
    ),
    texts=(
        "Hypothesis: one description fits the tag of image 0. Claims: {said}.",
        "The descriptions differ in the tag alone. Claims: {said}.",
    ),
    hidden=(
        "Ambiguous: {all}. Each is {thing}; the tags are unreadable at this size.",
        "Still possible: {all}. Object and setting agree ({thing}), and no tag can be read yet.",
        "Nothing separates {all} in this view: {thing} every time, tags too small.",
    ),
    hidden_query=(
        "The tag of image 0 is unreadable at this size.",
        "Still unknown: the tag of image 0, which is too small here.",
    ),
    compare=(
        "Test: the tags of {names}, cut out together.",
        "Next: cut out the tags of {names}.",
        "To be cut out and read: {names}.",
    ),
    select=("Test: {names} at their full size.", "Next: {names} in full."),
    crop=("Test: the tag of {names}, enlarged.", "Next: enlarge the tag of {names}."),
    query=("Image 0: {value}.", "Read on image 0: {value}."),
    step=("One {way}: {wanted}.", "Therefore wanted: {wanted}."),
    yes=("{n}: {value}. Match.", "{n} reads {value}: fits.", "{n} = {value}, accepted."),
    no=("{n}: {value}. No match.", "{n} reads {value}: does not fit.", "{n} = {value}, rejected."),
    says_yes=("{n} claims {value}. True.", "{n}, {value}: agrees with image 0."),
    says_no=("{n} claims {value}. False.", "{n}, {value}: contradicts image 0."),
    left=("{n}: the only one left.", "{n} remains, every other is rejected."),
    unseen=("{n}: not examined.",),
    further=("No match so far.", "Not settled yet."),
    concludes=("Ranking: {n} first, the rest as they came.", "Result: {n} leads; the rest keep their order."),
    open=("Not settled; what was not rejected goes first.",),
    guesses=("No tool is at hand. Ranking by what is likely: {n} first.", "Ranking without a test: {n} first."),
    between="\n",
)

NARRATOR = Book(
    asks=(
        "I am looking for a label that bears {wanted}.",
        "What should tell the right one apart is {wanted} on the label.",
        "If I understand the query, its answer carries {wanted} on the small plate.",
        "Somebody wants {wanted} to be seen on the label.",
    ),
    steps=(
        "Against the picture I was given, the label should hold one {subject} {way}, so I have to count there first.",
        "The label I want differs from the given one by a single {subject}: one {way}. I do not know its count yet.",
    ),
    same=(
        "I was given a picture, and the answer should carry the very same label.",
        "The label in the given picture is what I have to find again elsewhere.",
    ),
    texts=(
        "I have to say which text is true of the picture. They claim different things about its label: {said}.",
        "Only one of these texts can be true of the label; they speak of {said}.",
    ),
    hidden=(
        "From here {all} all look like {thing}, and I cannot make out what their labels say.",
        "All of {all} are {thing}; at a glance they are alike and the labels are mere blots.",
        "I could confuse any of {all}, since each shows {thing} and the print is far too fine.",
        "Looking at {all}, I see {thing} again and again, but the labels stay a blur.",
    ),
    hidden_query=(
        "As shown, the label in the picture is only a blot to me.",
        "I cannot make out the picture's label from here.",
    ),
    compare=(
        "So let me put the labels of {names} side by side.",
        "I will bring the labels of {names} closer and compare them.",
        "A closer look at the labels of {names} should help me decide.",
    ),
    select=("Let me see {names} as large as I can.", "I want to look at {names} again, much larger."),
    crop=("Let me bring the label of {names} closer.", "I zoom in on the label of {names}."),
    query=("In image 0 I now see {value}.", "The label of image 0 turns out to bear {value}."),
    step=("Changed by one, that makes {wanted}.", "So what I need is {wanted}."),
    yes=(
        "Candidate {n} has {value}, just as I hoped.",
        "With {value}, candidate {n} is what was asked for.",
        "I can see {value} on candidate {n}, and that agrees.",
    ),
    no=(
        "Candidate {n} has {value} instead, so it drops out.",
        "With {value}, candidate {n} is wrong.",
        "I can see {value} on candidate {n}, which speaks against it.",
    ),
    says_yes=("Text {n} speaks of {value}, which is what I found.", "I found {value}, so text {n} is right."),
    says_no=("Text {n} speaks of {value}, which I did not find.", "I found no trace of {value}, so text {n} is wrong."),
    left=("That leaves candidate {n}, which I did not need to open.", "Since all the others drop out, it must be {n}."),
    unseen=("I have not opened candidate {n}.",),
    further=("So far I have not found it.", "I am not sure yet."),
    concludes=(
        "I put {n} on top and leave the others behind it.",
        "So {n} wins, with the others after it in the order given.",
    ),
    open=("I cannot be certain, so the ones that still may be right come before those that cannot.",),
    guesses=("I cannot look closer, so I trust my feeling that {n} is right.", "Without a closer look I go for {n}."),
    mixed=True,
)

TERSE = Book(
    asks=("want {wanted}",),
    steps=("want query count {sign} 1 {subject}",),
    same=("want tag as image 0",),
    texts=("texts: {said}",),
    hidden=("unclear {all}",),
    hidden_query=("image 0 unclear",),
    compare=("see {names}",),
    select=("view {names}",),
    crop=("zoom {names}",),
    query=("image 0 {value}",),
    step=("so {wanted}",),
    yes=("{n} {value} yes",),
    no=("{n} {value} no",),
    says_yes=("{n} {value} yes",),
    says_no=("{n} {value} no",),
    left=("{n} left",),
    unseen=("{n} unseen",),
    further=("none yet",),
    concludes=("best {n}",),
    open=("open",),
    guesses=("guess {n}",),
    between="\n",
)

NANO = replace(
    TERSE,
    compare=("The tags decide.",),
    select=("The tags decide.",),
    crop=("The tag decides.",),
    query=('image 0 "{value}"',),
    yes=('{n} "{value}" yes',),
    no=('{n} "{value}" no',),
    plain=True,
)

BOOKS: Mapping[str, Book] = {"ledger": LEDGER, "narrator": NARRATOR, "terse": TERSE, "nano": NANO}
