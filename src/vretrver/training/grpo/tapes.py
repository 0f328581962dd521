"""An episode as tokens: what the model read and what it wrote, each token as it was drawn.

A tape grows while its episode runs. What the model reads is written by `policies.local.prompts`, as at serving: opening
and observations are the tokens of that prompt. What it wrote stays as it drew it, where serving would cut the same
words into tokens anew; the two agree wherever the model draws the tokens that its tokenizer would have made.

Trained are the tokens that were drawn, and no others: not the template's end of a turn after a call (serving stops
there too), no word of a tool, no picture. It leaves out pixels (`pixels`) and chance (`writers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vretrver.errors import InvalidInput
from vretrver.messages import Message, View
from vretrver.policies.local.generation import Written
from vretrver.policies.local.prompts import Prompt
from vretrver.training.rows import RowMaker


@dataclass(slots=True)
class Tape:
    """One conversation up to where the assistant writes, or to its end.

    Args:
        ids: all tokens, pictures at full length.
        opening: how many of them are the prompt before the first turn.
        trained: of each token after the opening, whether the model drew it.
        logprobs: of each token after the opening, its log-probability where who drew it said so, else 0.
        views: the pictures, in their order.
        text: the conversation so far, as the template writes it.
        ended: whether the last token is one with which the model ended its turn.
    """

    ids: list[int]
    opening: int
    views: list[View]
    text: str
    ended: bool = False
    trained: list[bool] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    @property
    def drawn(self) -> int:
        """How many tokens the model drew."""
        return sum(self.trained)

    def add(self, ids: Sequence[int], trained: bool, logprobs: Sequence[float] = ()) -> None:
        self.ids += ids
        self.trained += [trained] * len(ids)
        self.logprobs += logprobs or [0.0] * len(ids)


class Recorder:
    """Records episodes on tapes, with one model's prompts.

    Raises:
        InvalidInput: the model's template rewrites earlier turns, so that no tape of an episode exists.
    """

    def __init__(self, maker: RowMaker, name: str) -> None:
        self.maker, self._name = maker, name

    def opened(self, messages: Sequence[Message]) -> Tape:
        """The tape of an episode whose assistant has not spoken."""
        prompt = self.prompt(messages)
        ids = self.maker.read(prompt.text, prompt.views)
        return Tape(ids, len(ids), list(prompt.views), prompt.text)

    def prompt(self, messages: Sequence[Message]) -> Prompt:
        """What serving would send."""
        return self.maker.writer.prompt(messages)

    def wrote(self, tape: Tape, written: Written, logprobs: Sequence[float], heard: str) -> None:
        """Add what the model wrote in its turn.

        Args:
            logprobs: of `written.ids`; may be empty.
            heard: the turn's text as the episode keeps it. Where it is another (a call that was left open is closed, a
                token reaches beyond the call), the conversation goes on from that, and tokens that differ are not
                trained.
        """
        tape.ended = heard == written.text and written.exact and written.ended
        if heard == written.text and written.exact:
            tape.add(written.ids, True, logprobs)
            return
        ids = [int(one) for one in self.maker.writer.tokenizer(heard, add_special_tokens=False).input_ids]
        same = next((at for at, pair in enumerate(zip(ids, written.ids, strict=False)) if pair[0] != pair[1]), None)
        same = min(len(ids), len(written.ids)) if same is None else same
        tape.add(ids[:same], True, logprobs[:same])
        tape.add(ids[same:], False)

    def shown(self, tape: Tape, messages: Sequence[Message]) -> None:
        """Add what followed the turn that was written last: its end, the observation, and the next turn's head.

        Args:
            messages: the conversation, the observation its last.
        """
        after, views = self._continued(tape, messages)
        ids = self.maker.read(after, views)
        if tape.ended and ids[:1] == tape.ids[-1:]:
            ids = ids[1:]  # the model ended its turn as the template does
        elif tape.ended:
            for track in (tape.ids, tape.trained, tape.logprobs):
                track.pop()
        tape.add(ids, False)
        tape.views += views

    def _continued(self, tape: Tape, messages: Sequence[Message]) -> tuple[str, list[View]]:
        """The text after the assistant's last words, and the pictures in it; the tape's text goes on with both."""
        prompt = self.prompt(messages)
        head = tape.text + self.maker.writer.escaped(messages[-2].text)
        if not prompt.text.startswith(head):
            raise InvalidInput(
                f"{self._name} cannot be trained by its rollouts: its chat template rewrites earlier turns, so what "
                "was written is not what is read later; give the model a template that only adds"
            )
        tape.text = prompt.text
        return prompt.text[len(head) :], list(prompt.views[len(tape.views) :])
