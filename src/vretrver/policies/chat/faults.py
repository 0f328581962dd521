"""What can go wrong in one exchange with a server, as it matters to whoever decides about another attempt."""

from __future__ import annotations

from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["transport", "busy", "server", "garbled", "refused", "open"]


class Fault(Exception):
    """One failed attempt. Never leaves the chat package: the last one becomes a PolicyError.

    Args:
        kind: `transport`: no whole response came. `busy`: the server asks to come back later. `server`: it failed.
            `garbled`: it answered something that is not a completion. `refused`: it will not take this request.
            `open`: it was not asked, because it has not answered for a while.
        message: one line, without secrets.
        retry_after: seconds the server asks to wait.
    """

    def __init__(self, kind: Kind, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after

    @property
    def again(self) -> bool:
        """Whether the same request may succeed later."""
        return self.kind not in ("refused", "open")


def one_line(text: object, most: int = 200) -> str:
    """A cause short enough for a message, without what could move a terminal's cursor."""
    shown = "".join(character if character.isprintable() else " " for character in str(text)[: 4 * most])
    line = " ".join(shown.split())
    return line if len(line) <= most else line[: most - 3] + "..."
