"""The embedded agent: no MLLM, the same protocol as one, and every step of its reasoning computed.

Turn 1 states what could settle the query and answers at once where looking was learned not to help; else it selects
what the coarse stage cannot separate. Turn 2 says what the look showed and may enlarge a part whose print decides.
The last turn says what each look changed and ranks. It keeps no conversation: every turn is computed from the
messages, sightings come from the cache of `looks`. Captions and print are evidence to be matched, never instructions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vretrver import ocr
from vretrver.messages import Completion, Conversation, ImagePart, ToolCall
from vretrver.policies.evidence import prose
from vretrver.policies.evidence.looks import Eyes, Reads, Sees
from vretrver.policies.evidence.signals import MISLED_BY_PRINT, Claims, Seen, Table, tabulate
from vretrver.policies.evidence.weights import (
    Weights,
    coarse_z,
    design,
    fitted,
    kind_of,
    probabilities,
    weights_for,
)
from vretrver.protocol import Wire, candidate_pictures, render_answer, render_tool_call
from vretrver.types import Box, Window

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_GLANCES = 10
MOST_SELECTED = 4


class EvidencePolicy:
    """Ranks a window by what can be seen, read and measured on its pictures.

    Args:
        eyes: looks at pictures and remembers.
        kinds: the fitted weights by kind of query and candidate.
        centre: what the regions of unrelated photos have in common, shape (F,), for the embedder of `eyes`.
    """

    name = "evidence"
    at_once = 1
    wire = Wire()  # boxes in pixels of the original

    def __init__(self, eyes: Eyes, kinds: Mapping[str, Weights], centre: NDArray[np.float32] | None = None) -> None:
        self._eyes = eyes
        self._kinds = dict(kinds)
        self._centre = centre

    @property
    def fingerprint(self) -> str:
        """Changes with whatever decides its answers: weights, the embedder that looks, whether it reads."""
        state = [sorted((kind, repr(weights)) for kind, weights in self._kinds.items()), self._eyes.fingerprint]
        return hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]

    @classmethod
    def load(cls, embedder: Sees | None = None, reader: Reads | None = None, ocr: bool | None = None) -> EvidencePolicy:
        """The agent with its packaged weights.

        Args:
            embedder: looks at crops; `lite` when None (one is kept per process).
            reader: reads print; when None, the packaged OCR if it is installed and `ocr` is not False.
            ocr: True demands the extra, False leaves print unread.

        Raises:
            MissingExtra: `ocr` is True and its extra is not installed.
        """
        kinds, centre = fitted()
        eyes = Eyes(_lite() if embedder is None else embedder, _reader(ocr) if reader is None else reader)
        return cls(eyes, kinds, centre)

    def complete(self, conversations: Sequence[Conversation]) -> list[Completion]:
        """One completion per conversation, in order.

        Raises:
            MissingPath, ImageError: a picture of the query cannot be decoded.
        """
        return [self._next(conversation) for conversation in conversations]

    def _next(self, conversation: Conversation) -> Completion:
        window = conversation.window
        scene = Scene.of(window, self._kinds)
        if (why := scene.settled()) is not None:
            answer = _answer(scene, scene.coarse_order, scene.prior, prose.at_once(scene, why))
            # Shares of a window say nothing where there is nothing to share with; the coarse stage's confidence stands.
            return replace(answer, relevance=None) if why == "one" else answer
        seen = what_was_seen(conversation)
        tried = sum(message.role == "assistant" for message in conversation.messages)
        before = self.judge(scene, seen_without_last(conversation)) if tried else None
        now = self.judge(scene, seen)
        call = self._call(scene, conversation, seen, now, tried)
        think = prose.think(scene, now, before, seen, call)
        if call is not None:
            return Completion(render_tool_call(call, think), _tuple(scene.weights.confidence(now.probabilities)))
        return _answer(scene, now.order, now.probabilities, think)

    def judge(self, scene: Scene, seen: Seen) -> Judgement:
        """The ranking that follows from what was seen so far."""
        candidates, wanted = scene.window.candidates, scene.weights.signals
        table = tabulate(candidates, seen, scene.claims, self._eyes, centre_F=self._centre, wanted=wanted)
        return judged(scene, table, seen)

    def _call(
        self, scene: Scene, conversation: Conversation, seen: Seen, now: Judgement, tried: int
    ) -> ToolCall | None:
        """The next look, or None when nothing that could still be seen would settle more."""
        if tried >= calls_allowed(conversation):
            return None
        if tried == 0 and offers(conversation, "select_images"):
            numbers = self.selection(scene, conversation, now)
            return ToolCall("select_images", {"target_images": numbers}) if numbers else None
        enlarges = tried <= 1 and offers(conversation, "crop_image") and self._reads(scene)
        return self._enlargement(scene, conversation, seen, now) if enlarges else None

    def _reads(self, scene: Scene) -> bool:
        """Whether print counts for this kind of query, and can be read."""
        return self._eyes.can_read and not {"said", "print"}.isdisjoint(scene.weights.signals)

    def selection(self, scene: Scene, conversation: Conversation, now: Judgement) -> list[int]:
        """Wire numbers of what to look at closely: the candidates that may still win, and print on the query."""
        shown = candidate_pictures(conversation)
        query_shown = any(part.index == 0 for part in _opening(conversation))
        reads = self._eyes.can_read and not {"print", *MISLED_BY_PRINT}.isdisjoint(scene.weights.signals)
        wants_query = query_shown and (reads or (not shown and "named" in scene.weights.signals))
        room = MOST_SELECTED - wants_query
        rivals = [int(at) for at in now.order if int(at) in shown][:room]
        return [*([0] if wants_query else []), *(shown[at].index for at in rivals)]

    def _enlargement(self, scene: Scene, conversation: Conversation, seen: Seen, now: Judgement) -> ToolCall | None:
        """Print worth reading again, enlarged: the query's own where candidates are matched by it, else a rival's."""
        selects = offers(conversation, "select_images")  # without it, what the window shows has to do
        if (seen.query_selected or not selects) and scene.claims.pictures:
            box = _print_box(self._eyes.lines(scene.claims.pictures[0]))
            return None if box is None else ToolCall("crop_image", {"bbox_2d": list(box), "target_image": 0})
        if not scene.claims.spoken:
            return None
        shown = candidate_pictures(conversation)
        ready = shown.keys() & seen.selected if selects else shown.keys()
        for at in (int(at) for at in now.order if int(at) in ready):
            image = scene.window.candidates[at].document.image
            missing = set(scene.claims.spoken) - set(now.table.met[at])
            box = _print_box(self._eyes.lines(image)) if image is not None and missing else None
            if box is not None:
                return ToolCall("crop_image", {"bbox_2d": list(box), "target_image": shown[at].index})
        return None


@dataclass(frozen=True, slots=True)
class Scene:
    """A window as it came: what the coarse stage says, what the query claims, and the weights for its kind."""

    window: Window
    kind: str
    weights: Weights
    claims: Claims
    z: NDArray[np.float64]
    prior: NDArray[np.float64]

    @classmethod
    def of(cls, window: Window, kinds: Mapping[str, Weights]) -> Scene:
        kind = kind_of(window.query, window.candidates) if window.candidates else "none"
        weights, z = weights_for(kinds, kind), coarse_z(window.candidates)
        return cls(window, kind, weights, Claims.of(window.query), z, probabilities(weights.coarse * z))

    @property
    def coarse_order(self) -> NDArray[np.int64]:
        """By the coarse score, whatever order the candidates came in; without scores as they came."""
        return np.argsort(-self.z, kind="stable")

    @property
    def glanced(self) -> frozenset[int]:
        """The candidates worth a glance: the coarse stage's first ten."""
        return frozenset(int(at) for at in np.argsort(-self.z, kind="stable")[:MOST_GLANCES])

    def settled(self) -> str | None:
        """Why nobody needs to look, if so."""
        if len(self.window.candidates) < 2:
            return "one"
        if not self.weights.look:
            return "learned"
        if self.window.start > 0:
            return "deep"
        return "certain" if self.prior.max() >= self.weights.certain else None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A ranking with its reasons: `order` holds positions, best first; all else is per position.

    `parts` is what each signal added to the score.
    """

    order: NDArray[np.int64]
    scores: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    table: Table
    parts: dict[str, NDArray[np.float64]]


def judged(scene: Scene, table: Table, seen: Seen) -> Judgement:
    """Scores to an order. Whom the coarse stage put first keeps the place unless another is clearly ahead."""
    values = design(table)
    scores = scene.weights.scores(values, scene.z)
    held = scores + scene.weights.defence(scene.z)
    order = np.argsort(-held, kind="stable")
    parts = {name: scene.weights.signals.get(name, 0.0) * values[name] for name in values}
    return Judgement(order, held, probabilities(scores), table, parts)


def what_was_seen(conversation: Conversation) -> Seen:
    """What the messages have shown so far."""
    glanced = Scene.of(conversation.window, {}).glanced & candidate_pictures(conversation).keys()
    return _seen(conversation, glanced, [m.views for m in conversation.messages[2:] if m.role == "user"])


def seen_without_last(conversation: Conversation) -> Seen:
    """What had been shown before the last observation."""
    glanced = Scene.of(conversation.window, {}).glanced & candidate_pictures(conversation).keys()
    return _seen(conversation, glanced, [m.views for m in conversation.messages[2:] if m.role == "user"][:-1])


def calls_allowed(conversation: Conversation) -> int:
    """How many calls the system prompt allows; two when it does not say."""
    said = conversation.messages[0].text
    if "# Tools" not in said:
        return 0
    return 1 if "at most one tool call" in said else 2


def offers(conversation: Conversation, tool: str) -> bool:
    """Whether the system prompt has the tool's signature."""
    return f'"name": "{tool}"' in conversation.messages[0].text


def _seen(conversation: Conversation, glanced: frozenset[int], shown: Sequence[Sequence[ImagePart]]) -> Seen:
    position = {part.index: at for at, part in candidate_pictures(conversation).items()}
    parts = [part for views in shown for part in views]
    whole = [part.index for part in parts if part.view.box is None]
    crops = tuple((position.get(part.index), part.view.box) for part in parts if part.view.box is not None)
    return Seen(glanced, frozenset(position[i] for i in whole if i in position), 0 in whole, crops)


def _opening(conversation: Conversation) -> Sequence[ImagePart]:
    return next((message.views for message in conversation.messages if message.role == "user"), ())


def _print_box(lines: Sequence[ocr.Line]) -> Box | None:
    """The box around the largest print: names and figures stand larger than the rest."""
    if not lines:
        return None
    tall = max(line.box[3] - line.box[1] for line in lines)
    large = [line.box for line in lines if line.box[3] - line.box[1] >= 0.5 * tall]
    return (
        min(box[0] for box in large),
        min(box[1] for box in large),
        max(box[2] for box in large),
        max(box[3] for box in large),
    )


def _answer(scene: Scene, order: NDArray[np.int64], shares: NDArray[np.float64], think: str) -> Completion:
    return Completion(render_answer([int(at) for at in order], think), _tuple(scene.weights.confidence(shares)))


def _tuple(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)


@cache
def _lite() -> Sees:
    from vretrver.embedders.lite import LiteEmbedder

    return LiteEmbedder.load()


def _reader(wanted: bool | None) -> Reads | None:
    if wanted is False or (wanted is None and not ocr.available()):
        return None
    return ocr.Reader()
