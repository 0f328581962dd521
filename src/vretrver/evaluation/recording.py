"""A policy that pays for no call twice: what was answered is in the journal and is answered from there.

A conversation is known again by its content: the messages, every view, and the candidates' coarse scores, which an
embedded policy reads. It leaves out failures: a call that failed is made again by the next run.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vretrver.errors import PolicyError
from vretrver.evaluation.journal import Journal
from vretrver.messages import Completion, Conversation, ImagePart
from vretrver.policies import Policy, checked
from vretrver.types import Query
from vretrver.usage import Tokens


class RecordedPolicy:
    """A policy behind a journal; has the policy's name and dialect.

    Args:
        policy: who answers what the journal does not hold.
        journal: held for writing.
        records: the journal's lines so far.
        role: what it is asked for; it knows the calls of its own role alone. "" for ranking.
    """

    def __init__(self, policy: Policy, journal: Journal, records: Iterable[Mapping[str, Any]], role: str = "") -> None:
        self._policy, self._journal, self._role = policy, journal, role
        self._known: dict[str, dict[str, Any]] = {}
        self._seconds: defaultdict[str, float] = defaultdict(float)
        for record in records:
            if "call" in record and record["call"].get("role", "") == role:
                self._know(record["call"])
        self.topic_of: dict[Query, str] = {}  # names for the journal's readers

    @property
    def name(self) -> str:
        return self._policy.name

    @property
    def wire(self) -> Any:
        return getattr(self._policy, "wire", None)

    @property
    def habits(self) -> Any:
        return getattr(self._policy, "habits", None)

    def complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
        """As the policy's own; what it answers is on disk before it is used.

        Raises:
            PolicyError: as the policy's own, or it gave another number of texts than it was asked for.
        """
        keys = [key_of(conversation) for conversation in conversations]
        new = {key: one for key, one in zip(keys, conversations, strict=True) if key not in self._known}
        at_once = getattr(self._policy, "at_once", None) or max(1, len(new))
        for start in range(0, len(new), at_once):
            self._pay(list(new.items())[start : start + at_once])
        return [_completion(self._known[key]) for key in keys]

    def seconds_of(self, topic: str) -> float:
        """What a topic's calls took when they were paid for."""
        return self._seconds[topic]

    def _know(self, call: dict[str, Any]) -> None:
        self._known[call["key"]] = call
        self._seconds[call["topic"]] += float(call["seconds"])

    def _pay(self, new: Sequence[tuple[str, Conversation]]) -> None:
        """Ask the policy, and keep what it answers."""
        started = time.perf_counter()
        conversations = [conversation for _key, conversation in new]
        try:
            answers = checked(self._policy.complete(conversations), len(new), self.name)
        except KeyboardInterrupt:
            if answered := getattr(self._policy, "answered", None):
                self._keep(new, answered(conversations), time.perf_counter() - started)
            raise
        self._keep(new, answers, time.perf_counter() - started)

    def _keep(
        self, new: Sequence[tuple[str, Conversation]], answers: Sequence[Completion | None], seconds: float
    ) -> None:
        calls = [
            self._record(key, conversation, answer, seconds / len(new))
            for (key, conversation), answer in zip(new, answers, strict=True)
            if answer is not None
        ]
        self._journal.append({"call": call} for call in calls)
        for call in calls:
            self._know(call)

    def _record(self, key: str, conversation: Conversation, answer: Completion, seconds: float) -> dict[str, Any]:
        relevance = None if answer.relevance is None else [float(value) for value in answer.relevance]
        if relevance is not None and not all(abs(value) < float("inf") for value in relevance):
            raise PolicyError(f"policy {self.name} gave a relevance that is not finite")
        window = conversation.window
        return {
            **({"role": self._role} if self._role else {}),
            "topic": self.topic_of.get(window.query, ""),
            "window": window.start,
            "turn": sum(message.role == "assistant" for message in conversation.messages) + 1,
            "key": key,
            "text": answer.text.encode("utf-8", "replace").decode(),  # half a surrogate pair is no JSON in UTF-8
            "relevance": relevance,
            "tokens": None if answer.tokens is None else answer.tokens.to_record(),
            "reused": answer.reused,
            "seconds": round(seconds, 4),
        }


def key_of(conversation: Conversation) -> str:
    """SHA-256 of all that a policy can read of a conversation."""
    window = conversation.window
    candidates = [(one.document.id, one.score, one.rank, dict(one.signals)) for one in window.candidates]
    messages = [(message.role, [_part(part) for part in message.parts]) for message in conversation.messages]
    content = json.dumps([window.start, window.query.instruction, candidates, messages], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _part(part: Any) -> Any:
    if isinstance(part, ImagePart):
        view = part.view
        return [part.index, view.image.label, view.width, view.height, view.box]
    return part.text


def _completion(call: Mapping[str, Any]) -> Completion:
    relevance, tokens = call["relevance"], call["tokens"]
    return Completion(
        call["text"],
        None if relevance is None else tuple(relevance),
        None if tokens is None else Tokens.from_record(tokens),
        call["reused"],
    )
