"""Untrusted text made safe to stand in a prompt: bounded, one line, unable to pose as a tag of the protocol."""

from __future__ import annotations

import re
import unicodedata

CUT = "[...]"
TAG = re.compile(
    r"<(?=\s*/?\s*(?:think|answer|tool_call|tool_response|tools?|image|img|video|vision|system|user|assistant)\b|\||/s>|s>)",
    re.IGNORECASE,
)


def plain(text: str, most: int) -> str:
    """A query's or candidate's text made safe to stand in a prompt.

    One line (so that it cannot pose as the next candidate or as the guidelines), no control or invisible
    characters, `<` of anything that could be a protocol tag or a special token replaced by a look-alike,
    at most `most` characters.
    """
    cut = text[: most + 1]
    if not cut.isprintable():
        spaced = (" " if character.isspace() else character for character in cut)
        cut = "".join(character for character in spaced if unicodedata.category(character) not in _INVISIBLE)
    cut = TAG.sub("\u2039", " ".join(cut.split()))
    return cut if len(text) <= most else cut[: max(0, most - len(CUT))] + CUT


_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn")
