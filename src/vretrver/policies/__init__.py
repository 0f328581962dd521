"""Policies: what decides in an episode (paper, section 3.3, theta). A conversation in, the next text out.

To add one, write a class with the members of `Policy` and pass it wherever a policy is taken, or add a
case to `load_policy`. Whatever a policy writes is untrusted text: the episode parses it, nothing runs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from vretrver.errors import InvalidInput, PolicyError
from vretrver.messages import Completion, Conversation
from vretrver.usage import Tokens


@runtime_checkable
class Policy(Protocol):
    """Continues conversations. `name` says what it is in traces; it must not hold a secret.

    It may have `at_once`: how many conversations it really works on side by side. Who records answers hands over no
    more than that, so that a crash loses no answer that was given. And `answered(conversations)`: which of a batch
    that was interrupted it had answered (`chat.ChatPolicy.answered`).
    """

    @property
    def name(self) -> str: ...

    def complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
        """One completion per conversation, in order; all of them at once, so that a policy may batch.

        Raises:
            PolicyError: the model could not answer. The caller keeps the incoming order of those windows.
        """
        ...


def checked(completions: Sequence[Completion], count: int, policy: str) -> list[Completion]:
    """What a policy gave for `count` conversations, once it is known to be that.

    Raises:
        PolicyError: it is not one completion of text for each, or its tokens are no `Tokens`.
    """
    found = list(completions)
    if len(found) != count:
        raise PolicyError(f"policy {policy} gave {len(found)} texts for {count}")
    for one in found:
        if not isinstance(one, Completion) or not isinstance(one.text, str):
            raise PolicyError(f"policy {policy} gave a {type(one).__name__}, not a Completion of text")
        if one.tokens is not None and not (isinstance(one.tokens, Tokens) and one.tokens.are_counts):
            raise PolicyError(f"policy {policy} gave tokens={one.tokens!r:.80}, not Tokens or None")
    return found


def load_policy(name: str | Policy) -> Policy:
    """The policy of a name, or the object itself if it is one already.

    Args:
        name: `evidence`, the embedded agent that needs no MLLM, `cross-encoder:<model name or folder>`,
            `local:<model name or folder>`, a vision-language model of this machine, or `chat:<URL>#<model>`, one
            behind an OpenAI-compatible server. The last two take options behind the name: `,stop=false,retries=2`.

    Raises:
        InvalidInput: no such policy, or its model cannot be loaded.
        MissingExtra: the policy's library is not installed.
    """
    if not isinstance(name, str):
        return name
    match name.partition(":"):
        case "evidence", "", "":
            from vretrver.policies.evidence import EvidencePolicy

            return EvidencePolicy.load()
        case "cross-encoder", _, model if model:
            from vretrver.policies.cross_encoder import CrossEncoderPolicy

            return CrossEncoderPolicy(model)
        case "local", _, model if model:
            from vretrver.policies.local import LocalPolicy

            return LocalPolicy.load(model)
        case "chat", _, model if model:
            from vretrver.policies.chat import ChatPolicy

            return ChatPolicy.load(model)
    raise InvalidInput(
        f"unknown policy {name!r}; choose evidence, cross-encoder:<model>, local:<model> or chat:<URL>#<model>, "
        "or pass an object with complete()"
    )
