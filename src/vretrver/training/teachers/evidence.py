"""The embedded `evidence` agent as a teacher: any task, no model to be served.

It writes boxes in pixels of the original. Where the conversation is in another family, as a student needs it, its boxes
are rewritten, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vretrver.boxes import MEANING, BoxFamily, from_original
from vretrver.datasets import Task
from vretrver.images import image_size
from vretrver.messages import Completion, Conversation, ToolCall
from vretrver.policies import Policy
from vretrver.policies.evidence import EvidencePolicy
from vretrver.protocol import parse, render_tool_call
from vretrver.tools import default_toolbox


class EvidenceTeacher:
    """Args: `policy`: the agent; the packaged one when None."""

    name = "evidence"

    def __init__(self, policy: Policy | None = None) -> None:
        self._policy = policy

    def policy(self, task: Task, seed: int = 0) -> Policy:
        """As `Teacher.policy`; the seed changes nothing, the agent is exact."""
        return Translated(self._policy or EvidencePolicy.load())


class Translated:
    """A policy that writes boxes in pixels of the original, in whatever family the system prompt speaks of."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.name = policy.name

    def complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
        """As the policy."""
        found = self._policy.complete(conversations)
        return [_translated(one, said) for one, said in zip(conversations, found, strict=True)]


def _translated(conversation: Conversation, completion: Completion) -> Completion:
    system = conversation.messages[0].text
    families: list[BoxFamily] = [family for family, meaning in MEANING.items() if system.endswith(f"{meaning}.")]
    call = parse(completion.text, default_toolbox()).call
    if call is None or call.name != "crop_image" or families[:1] in ([], ["released"]):
        return completion
    number = call.arguments["target_image"]
    shown = [part.view for message in conversation.messages for part in message.views if part.index == number]
    view = [one for one in shown if one.box is None][-1]
    x0, y0, x1, y1 = (round(value) for value in call.arguments["bbox_2d"])
    box = from_original((x0, y0, x1, y1), families[0], image_size(view.image), (view.width, view.height))
    rewritten = render_tool_call(ToolCall(call.name, {**call.arguments, "bbox_2d": box}))
    return replace(completion, text=completion.text[: completion.text.index("<tool_call>")] + rewritten)
