"""HTML and SVG elements as strings that are escaped by construction: only `h` makes markup, text is always text.

Jinja2 with autoescape was weighed: a dependency and a second language for a page that is mostly tables and drawings.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import TypeAlias

_VOID = frozenset({"br", "img", "meta", "link", "hr", "input"})


class Html(str):
    """Markup that is safe to put in a page as it is."""

    __slots__ = ()


Child: TypeAlias = "str | float | Iterable[Child] | None"


def h(tag: str, attributes: Mapping[str, str | float | bool | None] | None = None, *children: Child) -> Html:
    """An element. Strings become text; `Html` stays; None is nothing; an iterable is its items.

    An attribute that is None or False is left out; True gives it without a value.
    """
    written = "".join(
        f" {name}" if given is True else f' {name}="{_escaped(_short(given))}"'
        for name, given in (attributes or {}).items()
        if given is not None and given is not False
    )
    if tag in _VOID:
        return Html(f"<{tag}{written}>")
    return Html(f"<{tag}{written}>{joined(children)}</{tag}>")


def joined(children: Iterable[Child]) -> Html:
    """Markup of children alone, without an element around them."""
    return Html("".join(map(_markup, children)))


def _markup(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str | int | float):
        return _escaped(_short(child))
    return joined(child)


def _short(given: str | float) -> str:
    return f"{given:.2f}".rstrip("0").rstrip(".") if isinstance(given, float) else str(given)


def _escaped(text: str) -> str:
    """ASCII only, so that no lone surrogate or odd separator is left for a browser to guess about."""
    return html.escape(text.replace("\0", "\ufffd")).encode("ascii", "xmlcharrefreplace").decode("ascii")
