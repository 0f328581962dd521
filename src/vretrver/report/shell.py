"""What every page of the report is in: head with a policy that runs nothing, bar, contents, sections.

Everything in a page is its own: one style, `data:` pictures, no script, nothing fetched. It leaves out what the
sections say.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from vretrver.report.markup import Child, Html, h
from vretrver.report.thumbnails import Thumbnails
from vretrver.viewer.page import content_policy, stylesheet

Section = tuple[str, str, Child]
"""Title, anchor and content; a section without content is left out."""
Word = tuple[str, str]


def whole_page(
    title: str,
    heading: str,
    opening: Child,
    sections: Sequence[Section],
    *,
    words: Sequence[Word],
    thumbnails: Thumbnails,
) -> str:
    """A whole page.

    Args:
        title: of the window and the bar. heading: of the page.
        opening: what stands above the contents: the result, in a sentence or a few.
        words: what a reader should know, folded: a word and its meaning.
        thumbnails: every picture that was shown.
    """
    style = stylesheet() + files("vretrver.report").joinpath("report.css").read_text(encoding="utf-8")
    there = [section for section in sections if section[2]]
    head = [
        h("meta", {"charset": "utf-8"}),
        h("meta", {"http-equiv": "Content-Security-Policy", "content": content_policy(style)}),
        h("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        h("meta", {"name": "color-scheme", "content": "light dark"}),
        h("meta", {"name": "referrer", "content": "no-referrer"}),
        h("title", {}, title),
        h("style", {}, Html(style)),
    ]
    mark = h("span", {"class": "wordmark", "translate": "no"}, "vretrver")
    bar = h("header", {"class": "bar"}, mark, h("span", {"class": "file"}, title))
    drawn = [h("section", {"id": anchor}, h("h2", {}, name), body) for name, anchor, body in there]
    main = h("main", {"id": "main", "class": "report"}, h("h1", {}, heading), opening, _contents(there),
        _how_to_read(words), drawn)  # fmt: skip
    skip = h("a", {"class": "skip", "href": "#main"}, "Skip to the report")
    body = h("body", {}, skip, bar, main, thumbnails.definitions())
    return "<!doctype html>\n" + h("html", {"lang": "en"}, h("head", {}, head), body) + "\n"


def _contents(sections: Sequence[Section]) -> Html:
    links = [h("a", {"class": "button", "href": f"#{anchor}"}, title) for title, anchor, _body in sections]
    return h("nav", {"class": "contents", "aria-label": "Contents"}, links)


def _how_to_read(words: Sequence[Word]) -> Html:
    told = [h("div", {}, h("dt", {}, word), h("dd", {}, meaning)) for word, meaning in words]
    return h("details", {"class": "how"}, h("summary", {}, "How to read this"), h("dl", {}, told))
