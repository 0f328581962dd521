"""From rankings to checked answers: one generation over the best results of each. Nothing is searched here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vretrver.answering.answer import Answer
from vretrver.answering.citations import Reader
from vretrver.answering.prompt import NONE, render_sources
from vretrver.budget import Budget
from vretrver.errors import ImageError, InvalidInput, MissingPath
from vretrver.images import image_size, open_image
from vretrver.messages import Completion, Conversation
from vretrver.policies import Policy, checked
from vretrver.protocol import MAX_MODEL_TEXT, Wire, answer_in, number_pictures
from vretrver.tools import Gallery
from vretrver.trace import Ranking
from vretrver.types import Candidate, ImageRef, Window
from vretrver.usage import Prices, Usage

SOURCES = 5
SOURCE_TOKENS = 1024
MODEL_FAILED = "the model failed"
"""How an answer's error begins where the policy is to blame."""


def names_a_writer(policy: str) -> str:
    """The name of a policy that writes words.

    Raises:
        InvalidInput: it does not; says which do.
    """
    if not policy.startswith(("chat:", "local:")):
        raise InvalidInput(f"{policy!r} cannot answer in words; give chat:URL#MODEL or local:MODEL")
    return policy


class Writer:
    """Args:
    policy: writes the answers; a chat or local model.
    source_tokens: image tokens of 28x28 pixels that one picture may take, 4 to 5120.
    wire: the policy's dialect; the policy's own `wire`, if it has one, when None. Its `window_pixels` are not used.
    budget: what a question may cost, what its ranking has cost included.
    prices: what the answers' tokens cost.
    brief: asks for the answer alone, in as few words as possible, instead of one to three sentences: what benchmarks
        of short answers can mark.

    Raises:
        InvalidInput: source_tokens out of bounds, or a budget of money without prices.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        source_tokens: int = SOURCE_TOKENS,
        wire: Wire | None = None,
        budget: Budget | None = None,
        prices: Prices | None = None,
        brief: bool = False,
    ) -> None:
        if budget is not None and budget.money is not None and prices is None:
            raise InvalidInput(f"the budget money={budget.money:g} needs prices; give prompt=..., completion=...")
        self.policy = policy
        self.wire = (wire or getattr(policy, "wire", None) or Wire()).showing(source_tokens)
        self.budget, self.prices, self.brief = budget or Budget(), prices, brief

    def write(self, rankings: Sequence[Ranking], k: int = SOURCES, elapsed: float = 0.0) -> list[Answer]:
        """An answer to each ranking's query from its first k results; all are asked for at once.

        Args:
            elapsed: seconds that the questions have taken already, for the budget.

        Returns:
            As `Answerer.ask`. A ranking without results is answered by `no_answer`, and nobody is asked.

        Raises:
            MissingPath, ImageError: a picture of a query cannot be read.
        """
        started = time.perf_counter()
        drafts = [self._draft(ranking, k, elapsed + time.perf_counter() - started) for ranking in rankings]
        asked = [draft for draft in drafts if isinstance(draft, _Draft)]
        written = iter(self._completed(asked))
        return [next(written) if isinstance(draft, _Draft) else draft for draft in drafts]

    def _draft(self, ranking: Ranking, k: int, elapsed: float) -> _Draft | Answer:
        candidates = tuple(result.candidate for result in ranking.results[:k])
        if not candidates:
            return Answer("", (), ranking, ranking.usage, no_answer=True)
        window = Window(ranking.query, candidates)
        sizes = {image: image_size(image) for image in ranking.query.images} | _readable(candidates)
        gallery = number_pictures(window, sizes, self.wire)
        if (over := self.budget.ended(ranking.usage, elapsed, coming=len(gallery.pictures))) is not None:
            return Answer("", (), ranking, ranking.usage, error=f"the budget of {over} ended before an answer")
        left = None if self.budget.seconds is None else max(0.0, self.budget.seconds - elapsed)
        messages = render_sources(window, gallery, self.wire, self.brief)
        return _Draft(ranking, gallery, Conversation(window, messages, left))

    def _completed(self, drafts: Sequence[_Draft]) -> list[Answer]:
        if not drafts:
            return []
        started = time.perf_counter()
        try:
            asked = [draft.conversation for draft in drafts]
            completions = checked(self.policy.complete(asked), len(drafts), self.policy.name)
        except Exception as fault:  # the one boundary around the policy: no ranking is lost
            if len(drafts) > 1:  # one bad question must not cost the others their answers
                return [self._completed([draft])[0] for draft in drafts]
            why = f"{type(fault).__name__}: {' '.join(str(fault).split())[:500]}"
            usage = drafts[0].ranking.usage + replace(drafts[0].cost, seconds=time.perf_counter() - started)
            return [Answer("", (), drafts[0].ranking, usage, error=f"{MODEL_FAILED}: {why}")]
        seconds = (time.perf_counter() - started) / len(drafts)
        return [self._read(*pair, seconds) for pair in zip(drafts, completions, strict=True)]

    def _read(self, draft: _Draft, completion: Completion, seconds: float) -> Answer:
        tokens = completion.tokens
        money = None if tokens is None or self.prices is None else self.prices.of(tokens)
        cost = replace(draft.cost, cache_hits=int(completion.reused), tokens=tokens, money=money, seconds=seconds)
        documents = [one.document for one in draft.conversation.window.candidates]
        reader = Reader(documents, draft.gallery, self.wire.max_text)
        return _answer(completion.text, reader, draft.ranking, draft.ranking.usage + cost)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A question on its way to the policy."""

    ranking: Ranking
    gallery: Gallery
    conversation: Conversation

    @property
    def cost(self) -> Usage:
        """What the answer costs, as far as that is known before it comes."""
        return Usage(policy_calls=1, images=len(self.gallery.pictures))


def _answer(text: str, reader: Reader, ranking: Ranking, usage: Usage) -> Answer:
    shown = {picture.candidate for picture in reader.gallery.pictures.values()}
    reader.repairs += [
        f"source {position + 1} was shown without its image, which cannot be read"
        for position, document in enumerate(reader.documents)
        if document.image is not None and position not in shown
    ]
    answer = answer_in(text[:MAX_MODEL_TEXT])
    if answer is None or not answer.strip():
        error = "the model wrote no <answer>" if answer is None else "the model wrote an empty <answer>"
        return Answer("", (), ranking, usage, repairs=tuple(reader.repairs), error=error)
    if answer.strip(" \n\t.\"'").casefold() == NONE:
        return Answer("", (), ranking, usage, no_answer=True, repairs=tuple(reader.repairs))
    said = reader.read(answer)
    return Answer(said, tuple(reader.citations), ranking, usage, repairs=tuple(reader.repairs))


def _readable(candidates: Sequence[Candidate]) -> dict[ImageRef, tuple[int, int]]:
    """Sizes of the pictures that do decode. So few decode in less time than the model takes to begin."""
    sizes = {}
    for image in (candidate.document.image for candidate in candidates):
        if image is not None:
            try:
                open_image(image)
                sizes[image] = image_size(image)
            except (ImageError, MissingPath):
                continue  # told in the answer's repairs
    return sizes
