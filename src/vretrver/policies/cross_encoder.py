"""A pointwise cross-encoder as a policy: it reads the query with one candidate at a time. A baseline. Extra `[models]`.

Any model that `sentence_transformers.CrossEncoder` loads from this machine: text models such as ms-marco MiniLM or
bge-reranker, and those that take pictures in a pair, such as Qwen3-VL-Reranker. It answers in its first turn, compares
no two candidates and calls no tool. It leaves out downloads and remote code: a model that needs its repository's own
Python is refused by the library.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from vretrver.errors import InvalidInput, MissingExtra, PolicyError
from vretrver.images import render
from vretrver.messages import Completion, Conversation, ImagePart
from vretrver.protocol import candidate_pictures, plain, render_answer
from vretrver.types import Candidate, Query

Side: TypeAlias = "str | dict[str, Any]"
MAX_TEXT = 2000  # characters of one item's text, as a window shows
MAX_BATCH = 32  # pairs at once; a window of the paper has 20


class CrossEncoderPolicy:
    """Scores every candidate of a window alone and ranks by score; equal scores keep the incoming order.

    Each window is scored by itself, in one batch: padding changes a score's last digits, so a score must not depend on
    which windows happened to come together. Pictures are those the window shows, at the size it shows them.

    A text model sees texts alone: candidates without a text come last in incoming order, with relevance 0.

    Args:
        model: a folder, or the name of a model that is in the Hugging Face cache of this machine.
        loaded: that model as a `CrossEncoder`, when it needs options of its own; loaded here when None.

    Raises:
        MissingExtra: sentence-transformers is not installed.
        InvalidInput: the model cannot be loaded, or gives several labels instead of one score.
    """

    def __init__(self, model: str, loaded: Any = None) -> None:
        self._source = model
        self._model = _load(model) if loaded is None else loaded
        if self._model.num_labels != 1:
            raise InvalidInput(f"{model} gives {self._model.num_labels} labels for a pair; a ranking needs one score")

    @property
    def name(self) -> str:
        return f"cross-encoder:{self._source}"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the model's files; for a model from the cache, over its name and revision."""
        digest = hashlib.sha256(f"{MAX_TEXT}\n".encode())
        folder = Path(self._source)
        if not folder.is_dir():
            revision = getattr(getattr(self._model, "config", None), "_commit_hash", None)
            digest.update(f"{self._source} {revision}".encode())
        found = (Path(root) / name for root, _folders, names in os.walk(folder) for name in names)
        for path in sorted(path for path in found if not path.name.startswith(".") and path.suffix.lower() != ".md"):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
        return digest.hexdigest()[:16]

    def complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
        """One answer per conversation, in order. `relevance` is the logistic function of the model's logit.

        Raises:
            PolicyError: a text model is asked about a window whose query or whose candidates have no text.
            MissingPath, ImageError: a picture cannot be decoded.
        """
        return [self._answer(conversation) for conversation in conversations]

    def _answer(self, conversation: Conversation) -> Completion:
        window = conversation.window
        logits = self._logits(conversation)
        order = sorted(range(len(logits)), key=lambda at: -logits[at])
        relevance = tuple((1 + math.tanh(logit / 2)) / 2 for logit in logits)  # 0 for minus infinity
        said = ", ".join(f"({at + 1}) {relevance[at]:.2f}" for at in order)
        unread = [str(at + 1) for at in range(len(window.candidates)) if logits[at] == -math.inf]
        note = f" No text to read on {', '.join(unread)}." if unread else ""
        return Completion(render_answer(order, f"Each candidate alone against the query: {said}.{note}"), relevance)

    def _logits(self, conversation: Conversation) -> list[float]:
        """One logit per candidate, in incoming order; minus infinity for one that the model cannot read."""
        window = conversation.window
        query = self._query(window.query, conversation)
        pictures = candidate_pictures(conversation) if self._sees else {}
        sides = [self._candidate(candidate, pictures.get(at)) for at, candidate in enumerate(window.candidates)]
        pairs = {at: (query, side) for at, side in enumerate(sides) if side is not None}
        if window.candidates and (query is None or not pairs):
            what = "the query has" if query is None else "its candidates have"
            raise PolicyError(f"{self.name} reads text alone and {what} no text; choose a model that takes pictures")
        logits = [-math.inf] * len(sides)
        if pairs:
            scores = self._model.predict(
                list(pairs.values()),
                batch_size=MAX_BATCH,
                activation_fn=_as_it_is,
                show_progress_bar=False,
                **self._prompt(window.query),
            )
            for at, score in zip(pairs, scores, strict=True):
                logits[at] = _finite(float(score), self.name)
        return logits

    def _query(self, query: Query, conversation: Conversation) -> Side | None:
        opening = next(message for message in conversation.messages if message.role == "user")
        shown = [part for part in opening.views if part.index <= 0] if self._sees else []
        return self._side(query.text, shown)

    def _candidate(self, candidate: Candidate, shown: ImagePart | None) -> Side | None:
        return self._side(candidate.document.text, [] if shown is None else [shown])

    def _side(self, text: str | None, shown: Sequence[ImagePart]) -> Side | None:
        """One half of a pair, or None when there is nothing that the model can read."""
        words = None if text is None else self._plain(text)
        if not self._sees:
            return None if words is None else _as_words(words)
        pictures = [render(part.view) for part in shown]
        # Keys' order is the order of reading: pictures first. A dictionary, so that no text is taken for a path.
        image = {"image": pictures if len(pictures) > 1 else pictures[0]} if pictures else {}
        return {**image, **({} if words is None else {"text": words})} or None

    def _plain(self, text: str) -> str:
        """A text in which nothing stands for a special token of the model."""
        for token in self._special:
            text = text.replace(token, " ")
        return plain(text, MAX_TEXT)

    def _prompt(self, query: Query) -> dict[str, str]:
        """The query's instruction, for models that were trained to read one."""
        return {"prompt": query.instruction} if query.instruction and self._model.supports("message") else {}

    @cached_property
    def _sees(self) -> bool:
        return bool(self._model.supports("image"))

    @cached_property
    def _special(self) -> tuple[str, ...]:
        return tuple(getattr(getattr(self._model, "tokenizer", None), "all_special_tokens", None) or ())


def _load(model: str) -> Any:
    try:
        from sentence_transformers import CrossEncoder
    except ImportError as missing:
        raise MissingExtra(f"policy 'cross-encoder:{model}'", "models") from missing
    try:
        return CrossEncoder(model, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, ImportError, RuntimeError) as fault:
        reason = " ".join(str(fault).split())[:300]
        raise InvalidInput(
            f"no cross-encoder {model!r} can be loaded from this machine: give a model's folder, or the name of one in "
            f"the Hugging Face cache ({reason})"
        ) from fault


def _as_it_is(logits: Any) -> Any:
    """In place of the model's own activation: some models squash their logits and some do not."""
    return logits


def _as_words(text: str) -> str:
    """A bare string that the library cannot take for the address of a picture, which a word without blanks may be."""
    return text if " " in text else f" {text}"


def _finite(logit: float, name: str) -> float:
    if not math.isfinite(logit):
        raise PolicyError(f"{name} gave a score that is not a finite number")
    return logit
