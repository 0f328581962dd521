"""What the sightings say for each candidate of a window: a small table of named numbers, and why.

    regions  parts of the query picture found again on the candidate's picture
    details  the same for small parts, once a candidate was selected
    palette  the same colours as the query picture, where the text asks for no other
    changed  other colours than the query picture's, where the text asks for one
    asked    how much of the candidate's picture has the colour that the text names
    shown    parts of the candidate's picture that show what the text says
    named    parts of the query picture that show what the candidate's text says
    said     words and figures of the query's text, printed on the candidate's picture or in its text
    print    words and figures printed on the query picture, found on the candidate

A signal is NaN where it was not or cannot be seen. It leaves out how much each counts: that is `weights`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vretrver import ocr
from vretrver.colours import named_colours
from vretrver.errors import ImageError, MissingPath
from vretrver.policies.evidence.looks import Eyes, likeness
from vretrver.policies.evidence.words import figures, overlap, words
from vretrver.types import Box, Candidate, ImageRef, Query

NAMES = ("regions", "details", "palette", "changed", "asked", "shown", "named", "said", "print")
MISLED_BY_PRINT = frozenset({"regions", "details", "palette"})
"""Not counted where the query's picture carries print: packages that print tells apart are alike in all their parts."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What the query says that could be seen: words and figures to be found in print, colours, its pictures."""

    text: str | None
    spoken: tuple[str, ...]
    colours: tuple[str, ...]
    pictures: tuple[ImageRef, ...]

    @classmethod
    def of(cls, query: Query) -> Claims:
        text = query.text or ""
        found = named_colours(text)
        spoken = (*figures(text), *words(text))
        if query.images:  # "the same in red" asks for a colour; "red" alone may as well be printed
            colours = {word for colour in found for word in words(text[colour.start : colour.end])}
            spoken = tuple(word for word in spoken if word not in colours)
        return cls(query.text, spoken, tuple(dict.fromkeys(colour.name for colour in found)), query.images)


@dataclass(frozen=True, slots=True)
class Seen:
    """What has been looked at so far, by position in the window.

    Args:
        glanced: candidates whose pictures the window shows and that are worth a glance.
        selected: candidates that were shown again, closely; `query_selected`: the query's picture was.
        crops: (position, box in pixels of the original) of what was enlarged; position None is the query's picture.
    """

    glanced: frozenset[int]
    selected: frozenset[int] = frozenset()
    query_selected: bool = False
    crops: tuple[tuple[int | None, Box], ...] = ()


@dataclass(slots=True)
class Table:
    """Signals per candidate in incoming order, and what was recognised.

    Args:
        values: by signal name, shape (N,); NaN where unseen.
        met: per candidate, the claims found on it, best separating first.
        read: what print is known of each candidate; None where nobody has read it.
        print_claims: words and figures read on the query's pictures.
    """

    values: dict[str, NDArray[np.float64]]
    met: list[tuple[str, ...]]
    read: list[str | None] = field(default_factory=list)
    print_claims: tuple[str, ...] = ()


def tabulate(
    candidates: Sequence[Candidate],
    seen: Seen,
    claims: Claims,
    eyes: Eyes,
    *,
    centre_F: NDArray[np.float32] | None = None,
    wanted: Collection[str] = NAMES,
) -> Table:
    """The signals that can be computed from what has been seen. An unreadable picture leaves its signals NaN.

    Args:
        wanted: the signals that count; nobody looks for the others.
        centre_F: what all pictures share, as regions of unrelated photos show it; None takes the window's alone.

    Raises:
        MissingPath, ImageError: a picture of the query cannot be read.
    """
    n = len(candidates)
    table = Table({name: np.full(n, np.nan) for name in NAMES}, [()] * n)
    looked = {at: image for at in sorted(seen.glanced | seen.selected) if (image := candidates[at].document.image)}
    close = {at: image for at, image in looked.items() if at in seen.selected}
    signals: dict[str, Callable[[], NDArray[np.float64]]] = {}
    if claims.pictures:
        palette = "changed" if claims.colours else "palette"
        sign = -1 if claims.colours else 1
        signals["regions"] = lambda: _alike(n, claims.pictures, looked, eyes.regions, centre_F)
        signals["details"] = lambda: _alike(n, claims.pictures, close, eyes.details, centre_F)
        signals[palette] = lambda: sign * _each(n, looked, lambda i: _palettes_alike(claims.pictures, i, eyes))
        signals["named"] = lambda: _named(candidates, claims.pictures, seen.query_selected, eyes)
    elif claims.text:
        text = claims.text
        signals["shown"] = lambda: _each(n, looked, lambda i: _speaks(eyes.meanings(i) @ eyes.text_meaning(text)))
    if claims.colours:
        names = claims.colours
        signals["asked"] = lambda: _each(n, looked, lambda i: max(eyes.colour_share(i, name) for name in names))
    if wanted:
        _read(table, candidates, seen, claims, eyes)
    if table.print_claims:
        signals = {name: signal for name, signal in signals.items() if name not in MISLED_BY_PRINT}
    table.values |= {name: signal() for name, signal in signals.items() if name in wanted}
    return table


def _named(
    candidates: Sequence[Candidate], pictures: Sequence[ImageRef], fine: bool, eyes: Eyes
) -> NDArray[np.float64]:
    """How well parts of the query's pictures fit the texts of candidates that are text alone."""
    values = np.full(len(candidates), np.nan)
    texts = {at: c.document.text for at, c in enumerate(candidates) if c.document.image is None and c.document.text}
    own = [eyes.meanings(picture, fine) for picture in pictures] if texts else []
    for at, text in texts.items():
        values[at] = np.mean([_speaks(rows @ eyes.text_meaning(text)) for rows in own])
    return values


def _each(n: int, looked: dict[int, ImageRef], signal: Callable[[ImageRef], float]) -> NDArray[np.float64]:
    """One signal of every picture that can be read."""
    values = np.full(n, np.nan)
    for at, image in looked.items():
        try:
            values[at] = signal(image)
        except (ImageError, MissingPath):
            continue
    return values


def _alike(
    n: int,
    pictures: Sequence[ImageRef],
    looked: dict[int, ImageRef],
    regions: Callable[[ImageRef], NDArray[np.float32]],
    centre_F: NDArray[np.float32] | None,
) -> NDArray[np.float64]:
    """How well the parts of the query's pictures are found again on each picture, and the other way round."""
    values = np.full(n, np.nan)
    theirs: dict[int, NDArray[np.float32]] = {}
    for at, image in looked.items():
        try:
            theirs[at] = regions(image)
        except (ImageError, MissingPath):
            continue
    if not theirs:
        return values
    centre = np.mean([rows.mean(0) for rows in theirs.values()], axis=0)
    if centre_F is not None and centre_F.shape == centre.shape:
        centre = (centre + centre_F) / 2
    own = [regions(picture) for picture in pictures]
    for at, rows in theirs.items():
        similar = [likeness(mine, rows, centre) for mine in own]
        values[at] = np.mean([(one.max(1).mean() + one.max(0).mean()) / 2 for one in similar])
    return values


def _palettes_alike(pictures: Sequence[ImageRef], image: ImageRef, eyes: Eyes) -> float:
    return float(np.mean([eyes.palette(picture) @ eyes.palette(image) for picture in pictures]))


def _speaks(similar_R: NDArray[np.float32]) -> float:
    """One number for regions against one text: the best region counts as much as all together."""
    return float(similar_R.mean() + similar_R.max()) / 2


def _read(table: Table, candidates: Sequence[Candidate], seen: Seen, claims: Claims, eyes: Eyes) -> None:
    """Fills the print of query and candidates, and what of the claims is met by it or by the candidates' texts."""
    table.print_claims = _print_on_query(seen, claims, eyes)
    wanted = bool(claims.spoken or table.print_claims)  # else nothing on a candidate could be matched: do not read it
    for at, candidate in enumerate(candidates):
        boxes = [box for position, box in seen.crops if position == at]
        table.read.append(_print_on(candidate, wanted and at in seen.selected, boxes, eyes))
    shown = {
        at: f"{candidate.document.text or ''}\n{table.read[at] or ''}"
        for at, candidate in enumerate(candidates)
        if candidate.document.text is not None or table.read[at] is not None
    }
    for name, asked in (("said", claims.spoken), ("print", table.print_claims)):
        if asked and len(shown) > 1:
            found = overlap(asked, list(shown.values()))
            table.values[name][list(shown)] = found.scores
            for at, met in zip(shown, found.met, strict=True):
                table.met[at] = tuple(dict.fromkeys((*table.met[at], *met)))


def _print_on_query(seen: Seen, claims: Claims, eyes: Eyes) -> tuple[str, ...]:
    """Words and figures on the query's pictures, once they were selected."""
    if not (seen.query_selected and claims.pictures and eyes.can_read):
        return ()
    lines = [line for picture in claims.pictures for line in eyes.lines(picture)]
    boxes = [box for position, box in seen.crops if position is None]
    lines += [line for box in boxes for line in eyes.lines(claims.pictures[0], box)]
    text = ocr.printed_text(lines)
    return (*figures(text), *words(text))


def _print_on(candidate: Candidate, selected: bool, boxes: Sequence[Box], eyes: Eyes) -> str | None:
    """Everything read on a candidate's picture so far: by OCR at ingest, on selecting it, on enlarging parts."""
    printed, image = candidate.document.printed, candidate.document.image
    if image is None or not eyes.can_read or not (boxes or (selected and printed is None)):
        return printed
    try:
        lines = [line for box in boxes for line in eyes.lines(image, box)]
        if selected and printed is None:
            lines = [*eyes.lines(image), *lines]
    except (ImageError, MissingPath):
        return printed
    return "\n".join(filter(None, (printed, ocr.printed_text(lines))))
