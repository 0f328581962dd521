"""Words and figures that a query claims and that a picture or a caption shows, matched as OCR would garble them.

OCR drops accents, glues words together and takes 0 for O or 1 for l; a decimal comma is a point elsewhere. So
words are compared folded, by shared letter triples and by containment, figures exactly. A word that most
candidates show separates nothing and counts little. It leaves out meaning: `apelsin` is not `orange` here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

MAX_CHARACTERS = 4000  # of one text: captions are untrusted, and no claim hides that far down
MAX_WORDS = 160  # distinct ones per text
_ALIKE = 0.6  # Dice coefficient of letter triples from which two words count as one
_SHORTEST = 3  # letters of a word that can be a claim
_CONTAINED = 5  # letters from which a word may be found inside glued letters
# Words that say how to search or join others; every language's own are caught by how common they are in the window.
STOP = frozenset(
    """
    the and for with from this that these those which what who whose where when how its it's their your our his
    her are was were been being has have had can could will would shall should may might not but than then too
    very all any some each such same other one item items product products picture photo image photograph find
    show like just into onto over under out off about you they them there here also only more most much many made
    make makes use used och det den som för med att
    """.split()  # noqa: SIM905
)
_CONFUSED = str.maketrans("0135682|!", "olssbbzll")
_FIGURE = re.compile(r"(?<![\w.,])\d{1,6}(?:[.,]\d{1,3})?(?![\d])")
# Thousands in groups, told from decimals by a second separator: 1,250.00 and 1.250,00 are both 1250.00.
_GROUPED = re.compile(r"(?<![\w.,])(\d{1,3})([.,])(\d{3})(?=(?!\2)[.,]\d{1,2}(?!\d))")
_WORD = re.compile(r"[^\W\d_][^\W_]*(?:['’][^\W_]+)?")
_GLUED = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """Lower case without accents: `MELLANMJÖLK` becomes `mellanmjolk`."""
    plain = unicodedata.normalize("NFKD", text[:MAX_CHARACTERS].casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def figures(text: str) -> tuple[str, ...]:
    """The figures of a text, once each; `1,5` and `1.50` come out as `1.5`, `1,250.00` as `1250`."""
    plain_groups = _GROUPED.sub(r"\1\3", text[:MAX_CHARACTERS])
    found = (match[0].replace(",", ".") for match in _FIGURE.finditer(plain_groups))
    plain = (figure.rstrip("0").rstrip(".") if "." in figure else figure for figure in found)
    return tuple(dict.fromkeys(figure for figure in plain if figure))[:MAX_WORDS]


def words(text: str) -> tuple[str, ...]:
    """The folded words of a text that could be a claim, once each, in order: no stop word, three letters or more."""
    found = (fold(match[0]).strip("'’") for match in _WORD.finditer(text[:MAX_CHARACTERS]))
    return tuple(dict.fromkeys(word for word in found if len(word) >= _SHORTEST and word not in STOP))[:MAX_WORDS]


@dataclass(frozen=True, slots=True)
class Overlap:
    """How the claims are met: `scores` per candidate, shape (C,), 0..1; `met` names the claims each one shows."""

    scores: NDArray[np.float64]
    met: tuple[tuple[str, ...], ...]


def overlap(claims: Sequence[str], shown: Sequence[str]) -> Overlap:
    """Which claims each text shows, weighed by how well a claim separates the texts from each other.

    Args:
        claims: words and figures, as `words` and `figures` give them.
        shown: one text per candidate: its caption, or what OCR read on it.

    Returns:
        Score of candidate c: sum over claims of weight * match / sum of weights, with weight = log((C + 1) /
        (candidates that show it + 1)), so that what all or none of them show has (almost) no say.
    """
    texts = [_Text.of(text) for text in shown]
    matches = np.array([[text.match(claim) for text in texts] for claim in claims]).reshape(len(claims), len(shown))
    frequency = matches.sum(1)
    weights = np.where(frequency > 0, np.log((len(shown) + 1) / (frequency + 1)), 0.0)
    total = weights.sum()
    scores = weights @ matches / total if total > 0 else np.zeros(len(shown))
    met = tuple(
        tuple(claims[i] for i in np.argsort(-weights, kind="stable") if matches[i, c] > 0 and weights[i] > 0)
        for c in range(len(shown))
    )
    return Overlap(scores, met)


@dataclass(frozen=True, slots=True)
class _Text:
    words: tuple[str, ...]
    figures: frozenset[str]
    glued: str

    @classmethod
    def of(cls, text: str) -> _Text:
        glued = "".join(_GLUED.findall(fold(text))).translate(_CONFUSED)
        return cls(words(text), frozenset(figures(text)), glued)

    def match(self, claim: str) -> float:
        """1 for a figure or word that is there, Dice of letter triples for one that nearly is, else 0."""
        if claim[0].isdigit():
            return float(claim in self.figures)
        if claim in self.words or (len(claim) >= _CONTAINED and claim.translate(_CONFUSED) in self.glued):
            return 1.0
        near = max((_dice(claim, word) for word in self.words), default=0.0)
        return near if near >= _ALIKE else 0.0


def _dice(first: str, second: str) -> float:
    a, b = _triples(first), _triples(second)
    return 2 * len(a & b) / (len(a) + len(b))


@lru_cache(maxsize=20_000)
def _triples(word: str) -> frozenset[str]:
    padded = f"  {word.translate(_CONFUSED)} "
    return frozenset(padded[i : i + 3] for i in range(len(padded) - 2))
