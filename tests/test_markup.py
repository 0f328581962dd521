from __future__ import annotations

import html
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from vretrver.report.markup import Html, h, joined


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.tags, self.values = "", list[str](), list[str | None]()

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.values += [value for _name, value in attrs]


@given(st.text())
def test_text_is_text_wherever_it_stands(text: str) -> None:
    written = h("p", {"title": text, "hidden": True, "lang": None, "dir": False}, text, h("b", {}, text))
    reader = Reader()
    reader.feed(written)
    reader.close()
    assert reader.tags == ["p", "b"]
    assert written.isascii()
    wanted = html.unescape(html.escape(text.replace("\0", "\ufffd")))
    # A parser reads \r and some control characters' references its own way; all else comes back as it was.
    if all(char.isprintable() for char in text):
        assert reader.text == wanted * 2
        assert reader.values == [wanted, None]


def test_nesting_numbers_and_nothing() -> None:
    assert h("td", {"class": "n", "x": 1.5, "y": 2.0}, 3, None, ["a", (h("br"), "<")]) == Html(
        '<td class="n" x="1.5" y="2">3a<br>&lt;</td>'
    )
    assert joined(["&", h("i", {}, "x")]) == "&amp;<i>x</i>"
    assert joined([]) == ""
