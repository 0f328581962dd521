"""The example's page: each search, the paper that came first, and on it, framed, where the wanted details are printed.

One static file in the viewer's style; pictures are thumbnails inside it. Print and queries are text only, escaped.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from receipts_reading import Met, padded

from vretrver.images import crop, encode_jpeg, fit_within, image_size, open_image
from vretrver.types import Box, ImageRef
from vretrver.viewer.page import content_policy, stylesheet

if TYPE_CHECKING:
    from receipts import Told

SHOWN = 640  # pixels: the longer side of a whole paper
STYLE = Path(__file__).with_name("demo.css").read_text(encoding="utf-8") + Path(__file__).with_name(
    "receipts.css"
).read_text(encoding="utf-8")

GROUPS = (
    (
        "found",
        "Looking put the right one first",
        "The search had another first: it compares words, and 14 March is not what 14/03/2025 says to it.",
    ),
    ("stayed", "First before and after", "The printed words were enough."),
    ("missed", "Not found", "Kept here because it happens; each says what is known of why."),
    ("worse", "Looking made it worse", "The search had it, and the agent moved it."),
    ("nothing", "Nothing is right", "A number that no paper has. Four come near it."),
)


def receipts_page(told: Sequence[Told], facts: Sequence[tuple[str, str]], series: Mapping[str, str]) -> str:
    """The page's html. `facts` are (name, value); `series` says what each kind of search is about."""
    head = [fact for fact in facts if not fact[0].startswith("  ")]
    rows = "".join(
        f"<tr><td>{_text(name.strip())}</td><td>{_text(value)}</td></tr>"
        for name, value in facts
        if name.startswith("  ")
    )
    costs = "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in head)
    body = "".join(
        _group(name, title, about, [t for t in told if outcome(t) == name], series) for name, title, about in GROUPS
    )
    return document(
        "Receipts, found by what is printed on them",
        "Drawn papers, most of them photographed, indexed without a caption. The search knows what an optical reader "
        "read; then an agent compares days, amounts and numbers, and shows where they stand.",
        f'<dl class="costs">{costs}</dl><table class="tally">{rows}</table>{body}',
    )


def document(title: str, lede: str, body: str) -> str:
    """A page in the viewer's style around a body of html."""
    style = stylesheet() + STYLE
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{html.escape(content_policy(style))}">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>{_text(title)}</title><style>{style}</style></head>
<body><header class="bar"><span class="wordmark">vretrver</span><span class="file">example</span></header>
<main><h1>{_text(title)}</h1>
<p class="lede">{_text(lede)}</p>
{body}</main></body></html>
"""


def outcome(told: Told) -> str:
    if told.shot is None:
        return "nothing"
    if told.after == 1:
        return "stayed" if told.before == 1 else "found"
    return "worse" if told.before == 1 else "missed"


def _group(name: str, title: str, about: str, told: Sequence[Told], series: Mapping[str, str]) -> str:
    if not told:
        return ""
    body = "".join(_story(one, series) for one in told)
    head = f'<h2>{title} <span class="aside">{len(told)}</span></h2><p>{_text(about)}</p>'
    return f'<section class="group">{head}{body}</section>'


def _story(told: Told, series: Mapping[str, str]) -> str:
    good = (told.after == 1) if told.shot is not None else told.ranking.no_match
    first = told.ranking.results[0]
    papers = ""
    if first.document.image is not None:
        papers = paper_figure(first.document.image, told.met, f"{first.document.id}, {first.confidence:.0%} sure")
    if told.shot is not None and told.after != 1:
        caption = f"the right one: {told.shot.file.name}, taken {told.shot.way}"
        papers += paper_figure(ImageRef(path=str(told.shot.file)), told.read, caption)
    return f"""<article class="story"><div class="asked"><h3>{_text(told.ask.text)}</h3>
<p class="about">{_text(series[told.ask.series])}</p>
<a class="trace" href="{html.escape(told.link)}">Follow every turn</a></div>
<div class="orders"><p class="outcome {"better" if good else "worse"}">{_text(_sentence(told))}</p>
{papers}</div></article>"""


def _sentence(told: Told) -> str:
    if told.shot is None:
        return f"The agent {told.why}."
    found = f"place {told.before}" if told.before else "no place of the first 20"
    looked = f"place {told.after}" if told.after else "none"
    why = f" {told.why[0].upper()}{told.why[1:]}." if told.why else ""
    return f"Found in {found}, after looking in {looked}.{why}"


def paper_figure(image: ImageRef, met: Sequence[Met], caption: str) -> str:
    """A paper with a frame around each line that was met, and those lines enlarged beside it."""
    framed = framed_picture(image, [(one.line.box, one.share == 1) for one in met])
    lines = crop_list(image, [(one.line.box, one.detail.said, one.share == 1) for one in met])
    return f'<figure class="paper">{framed}<div>{lines}<figcaption>{_text(caption)}</figcaption></div></figure>'


def crop_list(image: ImageRef, places: Sequence[tuple[Box, str, bool]]) -> str:
    """Places of a picture, enlarged: box, what it is, and whether that is sure."""
    items = ""
    for box, said, sure in places:
        url = picture_url(crop(image, padded(box, image_size(image), 10)), 420)
        words = f"<span>{_text(said)}{'' if sure else ' <em>(nearly)</em>'}</span>" if said else ""
        items += f'<li><img src="{url}" alt="{_text(said or "the cited place")}">{words}</li>'
    return f'<ul class="lines">{items}</ul>'


def framed_picture(image: ImageRef, boxes: Sequence[tuple[Box, bool]]) -> str:
    """A picture with boxes drawn on it, given in its own pixels; a box that is not sure is dashed."""
    width, height = image_size(image)
    frames = "".join(
        f'<rect class="{"sure" if sure else "near"}" x="{x0 - 6}" y="{y0 - 6}" rx="6"'
        f' width="{x1 - x0 + 12}" height="{y1 - y0 + 12}"/>'
        for (x0, y0, x1, y1), sure in boxes
    )
    whole = f'<image href="{picture_url(open_image(image), SHOWN)}" width="{width}" height="{height}"/>'
    return f'<svg class="framed" viewBox="0 0 {width} {height}" role="img">{whole}{frames}</svg>'


def picture_url(picture: object, side: int) -> str:
    jpeg = encode_jpeg(fit_within(picture, side), 80)  # type: ignore[arg-type]
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def _text(text: str) -> str:
    return html.escape(text)
