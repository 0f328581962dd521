"""The public fake: a policy that replays texts. For tests, examples and replaying a transcript."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vretrver.errors import PolicyError
from vretrver.messages import Completion, Conversation


class ScriptedPolicy:
    """Replays texts.

    Args:
        script: texts, one per generation of an episode, so that every episode gets the same ones in turn (the n-th
            generation of each is the n-th text); or a function of the conversation that gives the text or completion.

    `seen` keeps every conversation it was asked to continue, in order.
    """

    name = "scripted"

    def __init__(self, script: Sequence[str | Completion] | Callable[[Conversation], str | Completion]) -> None:
        self._script = script
        self.seen: list[Conversation] = []

    def complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
        """Raises:
        PolicyError: an episode asks for more texts than there are.
        """
        self.seen += conversations
        replies = [self._reply(conversation) for conversation in conversations]
        return [Completion(reply) if isinstance(reply, str) else reply for reply in replies]

    def _reply(self, conversation: Conversation) -> str | Completion:
        if callable(self._script):
            return self._script(conversation)
        said = sum(message.role == "assistant" for message in conversation.messages)
        if said >= len(self._script):
            raise PolicyError(f"the script holds {len(self._script)} texts and a text number {said + 1} was asked for")
        return self._script[said]
