"""Words as an index: tokens of captions and printed text, an inverted list, BM25 scores for every row.

Made for what people quote from pictures: figures (`1,5%`, `2024-05-01`, `INV-20391`) keep their shape, accents and
case fold away because OCR loses them, and a long word is found inside words that OCR glued together. Query text is
only ever split into tokens: it has no syntax that could break. It leaves out phrases, languages' stems and spelling.
"""

from __future__ import annotations

import math
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

MAX_TOKENS = 4096  # of one text: a page of fine print has about a thousand
_MAX_LENGTH = 40
_K1, _B = 1.2, 0.4  # Robertson and Zaragoza 2009, eq. 3.15; b is low: a label with many words is not less about one
_PARTIAL = 0.5  # a word found inside another counts half
_LEAST_PARTIAL = 5
_MOST_PARTIAL = 64

# A figure with separators; a percentage; else letters and digits, up to where such a figure starts (`Total18.50`).
_TOKEN = re.compile(r"\d+(?:[.,:/\-]\d+)+(?:\s?%)?|\d+\s?%|(?:[^\W\d_]|\d(?!\d{0,30}[.,:/\-]\d))+|\d+")
# Thousands in groups of three, or none and two decimals: the group separator is never the decimal one.
_AMOUNT = re.compile(r"(\d{1,3}(?:([.,])\d{3})(?:\2\d{3})*|\d+(?=[.,]\d\d\Z))(?:(?!\2)[.,](\d{1,2}))?")
_RUNS = re.compile(r"\d+|[^\W\d_]+")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
# Function words, and words that only point at what is shown.
_FUNCTION_WORDS = """
    a an and are as at be but by can do does for from has have how i in into is it its me my of on or our same show so
    that the their them then there these they this those to us was we were what when where which who why will with you
    your find photo picture image product item thing"""
_STOP = frozenset(_FUNCTION_WORDS.split())


def tokens(text: str) -> list[str]:
    """The searchable tokens of a text, in order, function words left out.

    `"Mjölk 1,5 % INV20391"` gives `mjolk`, `1.5`, `1.5%`, `inv20391`, `inv`, `20391`.
    """
    found: list[str] = []
    for token in _TOKEN.findall(_folded(text)):
        found += _forms(token)
        if len(found) >= MAX_TOKENS:
            break
    return found[:MAX_TOKENS]


def _folded(text: str) -> str:
    """Lower case, compatibility forms and accents folded away."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char))


@lru_cache(maxsize=1 << 17)
def _forms(token: str) -> tuple[str, ...]:
    """What a piece of text is searched by. Kept: a collection's words come again and again."""
    return tuple(form[:_MAX_LENGTH] for form in _spelled(token) if form not in _STOP and not _is_letter(form))


def _is_letter(form: str) -> bool:
    """A single letter says nothing on its own, unless it is a character of a script that writes words so."""
    return len(form) == 1 and form.isalpha() and not _CJK.match(form)


def _spelled(token: str) -> list[str]:
    if token[0].isdigit() and not token.isalnum():
        return _figure(token)
    if token.isdigit():
        return [token]
    if _CJK.search(token):
        return [token[i : i + 2] for i in range(max(1, len(token) - 1))]
    runs = _RUNS.findall(token)
    if len(runs) > 1:
        return [token, *(run for run in runs if len(run) > 1)]
    return [_singular(token)]


def _figure(token: str) -> list[str]:
    """A figure with its separators in one spelling; with a percent sign also without; a date also in parts."""
    percent = token.endswith("%")
    body = token.rstrip("% \t\n\r\f\v\u00a0")
    if amounts := _amounts(body):
        return [*amounts, amounts[0] + "%"] if percent else amounts
    parts = re.split(r"[.,:/\-]", body)
    whole = "-".join(parts)
    found = [whole] if len(parts) == 1 else [whole, *(part for part in parts if len(part) > 1)]
    return [*found, whole + "%"] if percent else found


def _amounts(body: str) -> list[str]:
    """`1,5` as `1.5`; `1,250.00` as `1250.00` and `1250`; `1,250`, which may be either, as `1.250` and `1250`."""
    amount = _AMOUNT.fullmatch(body)
    if amount is None:
        return [body.replace(",", ".")] if re.fullmatch(r"\d+[.,]\d+", body) else []
    whole, decimals = amount.group(1, 3)
    plain = re.sub("[.,]", "", whole)
    if decimals:
        return [f"{plain}.{decimals}", plain] if set(decimals) == {"0"} else [f"{plain}.{decimals}"]
    return [body.replace(",", "."), plain] if len(re.findall("[.,]", body)) == 1 else [plain]


def _singular(word: str) -> str:
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-3] + "y" if word.endswith("ies") and len(word) > 4 else word[:-1]
    return word


@dataclass(frozen=True)
class WordIndex:
    """Inverted lists over N rows.

    Args:
        vocabulary: all V terms, sorted, joined by newlines.
        starts: where each term's list starts, shape (V + 1,).
        rows: rows that hold the term, shape (P,).
        weights: BM25's term frequency part, in 0..k1 + 1, shape (P,).
        size: N.
    """

    vocabulary: str
    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    weights: NDArray[np.float32]
    size: int

    @cached_property
    def terms(self) -> list[str]:
        return self.vocabulary.split("\n") if self.vocabulary else []

    @classmethod
    def build(cls, texts: Iterable[str | None]) -> WordIndex:
        """The inverted lists of N texts; None is an empty text."""
        ids: dict[str, int] = {}
        terms: list[int] = []
        lengths: list[int] = []
        for text in texts:
            found = tokens(text) if text else []
            lengths.append(len(found))
            terms.extend(ids.setdefault(token, len(ids)) for token in found)
        order = np.array(sorted(ids), dtype=object)
        rank = np.empty(len(ids), np.int64)
        rank[[ids[term] for term in order]] = np.arange(len(ids))
        length = np.asarray(lengths, np.int64)
        size = len(lengths)
        term = rank[np.asarray(terms, np.int64)] if terms else np.zeros(0, np.int64)
        pairs, counts = np.unique(term * max(size, 1) + np.repeat(np.arange(size), length), return_counts=True)
        rows = (pairs % max(size, 1)).astype(np.int32)
        starts = np.searchsorted(pairs // max(size, 1), np.arange(len(ids) + 1))
        mean = max(float(length[length > 0].mean()) if (length > 0).any() else 1.0, 1.0)
        norm = _K1 * (1 - _B + _B * length[rows] / mean)
        weights = (counts * (_K1 + 1) / (counts + norm)).astype(np.float32)
        return cls("\n".join(order), starts.astype(np.int64), rows, weights, size)

    def scores(self, query: Sequence[str]) -> NDArray[np.float32]:
        """How much of what the query says each row says too: shape (N,), zero where nothing matches.

        BM25 in nats times the square root of the share of the query that it covers. So a quoted invoice number keeps
        its worth, while one word that a long description has in common with a picture's print by chance counts little.

        Args:
            query: tokens; a repeated one counts once, and at most 256 are used.
        """
        matched = np.zeros(self.size, np.float32)
        asked = 0.0
        for token in list(dict.fromkeys(query))[:256]:
            lists = [(slot, 1.0) for slot in self._exact(token)] or [(slot, _PARTIAL) for slot in self._inside(token)]
            rarity = self.rarity(sum(int(self.starts[slot + 1] - self.starts[slot]) for slot, _ in lists))
            asked += rarity
            matched += self._gains([(slot, share * rarity) for slot, share in lists])
        if asked > 0:
            matched *= np.sqrt(np.minimum(matched / np.float32(asked), 1))
        return matched

    def _gains(self, lists: Sequence[tuple[int, float]]) -> NDArray[np.float32]:
        """The best that any of the terms gives to each row: shape (N,)."""
        best = np.zeros(self.size, np.float32)
        for slot, worth in lists:
            span = slice(self.starts[slot], self.starts[slot + 1])
            rows = self.rows[span]
            best[rows] = np.maximum(best[rows], np.float32(worth) * self.weights[span])
        return best

    def rarity(self, frequency: int) -> float:
        """Inverse document frequency in nats (never negative)."""
        frequency = min(frequency, self.size)
        return math.log(1 + (self.size - frequency + 0.5) / (frequency + 0.5))

    def _exact(self, token: str) -> list[int]:
        slot = bisect_left(self.terms, token)
        return [slot] if slot < len(self.terms) and self.terms[slot] == token else []

    def _inside(self, token: str) -> list[int]:
        """Terms that contain a token of at least five characters."""
        found: list[int] = []
        place = self.vocabulary.find(token) if len(token) >= _LEAST_PARTIAL else -1
        line, counted = 0, 0
        while place >= 0 and len(found) < _MOST_PARTIAL:
            line += self.vocabulary.count("\n", counted, place)
            counted = place
            found.append(line)
            end = self.vocabulary.find("\n", place)
            place = self.vocabulary.find(token, end) if end >= 0 else -1
        return found
