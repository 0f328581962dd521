"""Words that servers take for pictures or for the ends of turns, made harmless in what is sent."""

from __future__ import annotations

import re

_PLACEHOLDER = re.compile(
    r"<(?=[|｜][^|｜<>]{1,40}[|｜]>|/?(?:image|img|video|audio)(?:[\s_\d][^<>]{0,40})?/?>"
    r"|(?:start|end)_of_image>|image_soft_token>|fake_token_around_image>)|\[(?=/?IMG[\w-]{0,20}\])",
    re.IGNORECASE,
)


def escaped(text: str) -> str:
    """The text with every literal image placeholder or special token made harmless.

    A server puts pictures where such words stand; one that a model or a caption wrote would shift all of them. The
    first character is replaced by a look-alike, as `protocol.plain` does.
    """
    return _PLACEHOLDER.sub("\u2039", text)
