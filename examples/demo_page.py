"""The demo's page: each query, the order before and after looking, the look that decided, and where it did not help.

One static file in the viewer's style; pictures are thumbnails inside it. All text is escaped, nothing is scripted.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vretrver import Ranking, Result
from vretrver.trace import Evidence
from vretrver.viewer import pictures_of
from vretrver.viewer.page import content_policy, stylesheet
from vretrver.viewer.pictures import Pictures, box_key

SHOWN = 4
MAX_NOTE = 260

STYLE = Path(__file__).with_name("demo.css").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Told:
    """One query of the demo with what came of it.

    Args:
        title: the query in words; about: why it is here.
        right: ids of the documents that answer it, known because the demo made or chose them; empty: nothing does.
        link: its trace's page, relative to the demo's page.
        series: the kind of query that it is one of; those that looking left alone are told in a line.
    """

    title: str
    about: str
    right: frozenset[str]
    ranking: Ranking
    link: str
    series: str | None = None

    @property
    def before(self) -> int | None:
        """Place of the first right answer as it was found."""
        return min((r.candidate.rank for r in self.ranking.results if r.document.id in self.right), default=None)

    @property
    def after(self) -> int | None:
        return min((r.rank for r in self.ranking.results if r.document.id in self.right), default=None)

    @property
    def outcome(self) -> str:
        if not self.right:
            return "nothing"
        if self.before is None or self.after is None or self.before == self.after:
            return "same"
        if self.after > self.before:
            return "worse"
        return "better" if self.after == 1 else "closer"

    @property
    def sentence(self) -> str:
        """What happened, in one line, with no more than was measured."""
        if not self.right:
            said = (
                "says so" if self.ranking.no_match else "does not notice: it shows its nearest as if they were answers"
            )
            return f"Nothing in the collection answers this; the agent {said}."
        if self.after is None:
            return "The right picture was not among the candidates, so no look could find it."
        if self.outcome == "same":
            return f"The right picture was {_place(self.before)} and stayed there."
        verb = "pushed" if self.outcome == "worse" else "brought"
        return f"Looking {verb} the right picture from place {self.before} to place {self.after}."


GROUPS = (
    (
        "better",
        "Looking changed the answer",
        "The coarse stage compares whole pictures. What decides here is small, and the agent had to look closer.",
    ),
    ("closer", "Looking brought the answer closer", "Not far enough: it is not the first yet."),
    (
        "same",
        "Looking changed nothing",
        "Either the coarse order was right, or the look did not show what it would have taken.",
    ),
    ("worse", "Looking made it worse", "Kept here because it happens."),
    ("nothing", "Nothing matches", "A query that no picture of the collection answers."),
)


def demo_page(stories: Sequence[Told], facts: Sequence[tuple[str, str]], notes: Sequence[str]) -> str:
    """The page's html. `facts` are (name, value) for the line below the title, `notes` are told at the end."""
    style = stylesheet() + STYLE
    groups = "".join(_group(name, title, about, stories) for name, title, about in GROUPS)
    costs = "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in facts)
    limits = "".join(f"<li>{_text(note)}</li>" for note in notes)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{html.escape(content_policy(style))}">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>vretrver: a search that looks</title><style>{style}</style></head>
<body><header class="bar"><span class="wordmark">vretrver</span><span class="file">demo</span></header>
<main><h1>A search that looks before it answers</h1>
<p class="lede">A fast stage finds candidates. Then an agent zooms into the ones it cannot tell apart, and says
what it saw. Every query below ran on this machine a moment ago; open its trace to follow each look.</p>
<dl class="costs">{costs}</dl>{groups}
<section><h2>What to make of it</h2><ul class="limits">{limits}</ul></section></main></body></html>
"""


def _group(name: str, title: str, about: str, stories: Sequence[Told]) -> str:
    told = [story for story in stories if story.outcome == name]
    if not told:
        return ""
    brief = [story for story in told if story.series and story.outcome == "same"]
    body = "".join(_story(story) for story in told if story not in brief) + _brief(brief)
    return (
        f'<section class="group"><h2>{title} <span class="aside">{len(told)}</span></h2><p>{about}</p>{body}</section>'
    )


def _brief(stories: Sequence[Told]) -> str:
    """Queries of a series that looking left alone, a link and a place each."""
    if not stories:
        return ""
    lines = ", ".join(f'<a href="{html.escape(s.link)}">{_text(s.title)}</a> {_place(s.after)}' for s in stories)
    head = f"<div><h3>{len(stories)} more of the shelves</h3></div>"
    return f'<article class="story">{head}<p class="brief">{lines}.</p></article>'


def _story(story: Told) -> str:
    ranking = story.ranking
    pictures = pictures_of(ranking)
    asked = "".join(_picture(pictures, image.label, "The query's picture") for image in ranking.query.images)
    before = sorted(ranking.results, key=lambda result: result.candidate.rank)
    usage = ranking.usage
    return f"""<article class="story"><div class="asked">{asked}<h3>{_text(story.title)}</h3>
<p class="about">{_text(story.about)}</p><p class="about">{_looks(usage.tool_calls)}, {usage.seconds:.1f} s</p>
<a class="trace" href="{html.escape(story.link)}">Follow every turn</a></div>
<div class="orders"><p class="outcome {story.outcome}">{_text(story.sentence)}</p>
{_strip("Found", before, story, pictures)}
{_strip("After looking", ranking.results, story, pictures)}
{_decisive(story, pictures)}</div></article>"""


def _strip(label: str, results: Sequence[Result], story: Told, pictures: Pictures) -> str:
    """The first few results, and the right one in the last place when it is further down."""
    places = list(enumerate(results, 1))
    shown = places[:SHOWN]
    if story.right and not any(result.document.id in story.right for _, result in shown):
        shown[SHOWN - 1 :] = [(place, result) for place, result in places if result.document.id in story.right][:1]
    tiles = ""
    for place, result in shown:
        right = "right" if result.document.id in story.right else ""
        image = result.document.image
        picture = _picture(pictures, image.label if image else "", result.document.id)
        name = (result.document.text or result.document.id).split(". ")[0]
        caption = f'<span class="place">{place}</span> {_text(name)}'
        tiles += f'<div class="tile {right}">{picture}<p class="caption">{caption}</p></div>'
    return f'<div class="strip"><p class="label">{label}</p>{tiles}</div>'


def _decisive(story: Told, pictures: Pictures) -> str:
    found = decisive_look(story)
    if found is None:
        return ""
    entry = pictures.get(found.image, {})
    url = entry.get("crops", {}).get(box_key(found.box)) if found.box else entry.get("whole")
    picture = f'<img src="{url}" alt="What the agent looked at">' if url else ""
    label = "The decisive look" if story.outcome == "better" else "A look"
    note = found.note if len(found.note) <= MAX_NOTE else found.note[:MAX_NOTE].rsplit(" ", 1)[0] + " …"
    return (
        f'<div class="decided"><p class="label">{label}</p><figure>{picture}'
        f"<figcaption>{_text(note)}</figcaption></figure></div>"
    )


def decisive_look(story: Told) -> Evidence | None:
    """A look at the result that came first, a crop before the whole, else at the next that was looked at; or None."""
    for result in story.ranking.results:
        looks = [evidence for evidence in result.evidence if evidence.box is not None] or list(result.evidence)
        if looks:
            return looks[-1]
    return None


def _picture(pictures: Pictures, label: str, alt: str) -> str:
    if label not in pictures:
        return '<span class="missing"></span>'
    return f'<img src="{pictures[label]["whole"]}" alt="{html.escape(alt)}">'


def _place(place: int | None) -> str:
    return "first" if place == 1 else f"in place {place}" if place else "not among the candidates"


def _looks(count: int) -> str:
    return f"{count} look" + "s" * (count != 1)


def _text(text: str) -> str:
    return html.escape(text)
