"""The space of `lite`: features in, one vector of weighted blocks out.

A row of features holds what is costly to compute, once: trunk features, text embedding, colours of the picture,
colours that the text names, and whether picture and text are there. A vector is six blocks and some slack:

    picture  whitened trunk features; picture to picture
    shown    what the picture shows, in text coordinates; met by a query's text, or a query picture's own
    said     what the text says, in text coordinates; met by a query's text, or what a query picture shows
    learned  the same two for the labels a user taught, in coordinates that keep those labels apart
    colour   64 anchor colours; picture or colour word to picture or colour word

Queries weigh the blocks by what they hold (`MIXES`), documents do not. A document must not gain by a missing
block: `SLACK` numbers that are zero in every query fill each document up to unit length. So one dot product is
the weighted sum of the blocks' similarities, in pools of any mix.

Everything is plain NumPy. What is taught comes from `lite_teaching`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vretrver import colours
from vretrver.embedders import lite_teaching
from vretrver.embedders.lite_teaching import CODE_DIM, Taught, unit_rows
from vretrver.embedders.lite_towers import TEXT_DIM, TRUNK_DIM

SLACK = 32  # spread over many numbers, so that int8 storage keeps its resolution for the rest
FEATURES = {"trunk": TRUNK_DIM, "text": TEXT_DIM, "colours": colours.DIM, "named": colours.DIM, "present": 2}
FEATURES_DIM = sum(FEATURES.values())
OWN_COLOUR_REMOVED = 0.5  # share of a query picture's own colours taken away when the text asks for another
BRIDGE_TEMPERATURE = 1.5
HEAD_WEIGHT = 0.5  # against the expected class name: more helps groceries and hurts garments
COLOUR_IN_WORDS = 0.3  # a colour that a document only names counts less than one it shows
_BLOCK = 0.4  # a document's weight of each block: six of them fit into unit length


@dataclass(frozen=True, slots=True)
class Mix:
    """What one kind of query weighs. A pair is (by the query's text, by the query's picture).

    `shown` and `learned_shown` meet what a document's picture shows, `said` and `learned_said` what its text says.
    """

    picture: float
    colour: float
    shown: tuple[float, float]
    said: tuple[float, float]
    learned_shown: tuple[float, float]
    learned_said: tuple[float, float]


# Chosen on grocery train and val and on half of the garments, rounded to what a plateau allows: docs in MODEL_CARD.md.
TEXT = Mix(0.0, 0.1, (0.5, 0.0), (1.0, 0.0), (1.5, 0.0), (1.0, 0.0))
IMAGE = Mix(1.0, 0.25, (0.0, 0.15), (0.0, 0.5), (0.0, 2.0), (0.0, 2.0))
BOTH = Mix(1.0, 0.25, (0.1, 0.15), (0.15, 0.5), (0.3, 2.0), (0.3, 2.0))
RECOLOUR = Mix(1.0, 0.35, (0.1, 0.15), (0.15, 0.5), (0.3, 0.7), (0.3, 0.7))  # picture, and text that names a colour
MIXES = (TEXT, IMAGE, BOTH, RECOLOUR)


@dataclass(frozen=True, slots=True)
class Parts:
    """A feature matrix taken apart: `trunk` (N, 1280), `text` (N, 384), `colours`, `named` (N, 64), flags (N, 1)."""

    trunk: NDArray[np.float32]
    text: NDArray[np.float32]
    colours: NDArray[np.float32]
    named: NDArray[np.float32]
    has_picture: NDArray[np.float32]
    has_text: NDArray[np.float32]

    @classmethod
    def of(cls, features_N_F: NDArray[np.float16]) -> Parts:
        ends = np.cumsum(list(FEATURES.values()))[:-1]
        trunk, text, own, named, present = np.split(np.asarray(features_N_F, np.float32), ends, axis=1)
        return cls(trunk, text, own, named, present[:, :1], present[:, 1:])


@dataclass(frozen=True)
class Space:
    """The arrays that turn features into blocks; every method is a pure function of them.

    Args:
        centre, whiten: (1280,), (1280, P): mean and whitening of the picture block.
        classes_w, classes_b: (1000, 1280), (1000,): the trunk's own last layer.
        class_texts: (1000, B): what each class is called, in text coordinates.
        text_centre, text_basis: (384,), (384, B): from a text embedding to text coordinates.
        head: (P, B): from the picture block to text coordinates, trained on captioned pictures.
        taught: what a user's labels added; None before `taught`.
    """

    centre: NDArray[np.float32]
    whiten: NDArray[np.float32]
    classes_w: NDArray[np.float32]
    classes_b: NDArray[np.float32]
    class_texts: NDArray[np.float32]
    text_centre: NDArray[np.float32]
    text_basis: NDArray[np.float32]
    head: NDArray[np.float32]
    taught: Taught | None = field(default=None)

    @classmethod
    def load(cls, path: Path) -> Space:
        with np.load(path, allow_pickle=False) as arrays:
            stored: dict[str, Any] = {name: np.asarray(arrays[name], np.float32) for name in cls.array_names()}
        return cls(**stored)

    @classmethod
    def array_names(cls) -> list[str]:
        return [each.name for each in fields(cls) if each.name != "taught"]

    @property
    def dims(self) -> dict[str, int]:
        """Block names and lengths, in the vector's order."""
        texts = self.text_basis.shape[1]
        return {
            "picture": self.whiten.shape[1],
            "shown": texts,
            "said": texts,
            "learned_shown": CODE_DIM,
            "learned_said": CODE_DIM,
            "colour": colours.DIM,
            "slack": SLACK,
        }

    @property
    def dim(self) -> int:
        return sum(self.dims.values())

    def picture(self, trunk: NDArray[np.float32]) -> NDArray[np.float32]:
        """The picture block, unit rows, shape (N, P)."""
        return unit_rows((trunk - self.centre) @ self.whiten)

    def shown(self, trunk: NDArray[np.float32]) -> NDArray[np.float32]:
        """What pictures show, in text coordinates, unit rows, shape (N, B).

        The expected name under the trunk's own classes (ConSE, arXiv 1312.5650) plus what the head sees.
        """
        logits = trunk @ self.classes_w.T + self.classes_b
        shares = np.exp((logits - logits.max(axis=1, keepdims=True)) / BRIDGE_TEMPERATURE)
        expected = shares / shares.sum(axis=1, keepdims=True) @ self.class_texts
        return unit_rows(unit_rows(expected) + HEAD_WEIGHT * unit_rows(self.picture(trunk) @ self.head))

    def said(self, text: NDArray[np.float32]) -> NDArray[np.float32]:
        """What texts say, in text coordinates, unit rows, shape (N, B)."""
        return unit_rows((text - self.text_centre) @ self.text_basis)

    def joint_of_picture(self, trunk: NDArray[np.float32], own: NDArray[np.float32]) -> NDArray[np.float32]:
        """`shown` and the taught code side by side, unit rows, shape (N, B + CODE_DIM)."""
        shown = self.shown(trunk)
        if self.taught is None:
            code = np.zeros((len(trunk), CODE_DIM), np.float32)
        else:
            code = self.taught.code_of_picture(self.teachable(trunk, own))
        return unit_rows(np.concatenate([shown, code], axis=1))

    def joint_of_text(self, text: NDArray[np.float32]) -> NDArray[np.float32]:
        """`said` and the taught code side by side, unit rows, shape (N, B + CODE_DIM)."""
        said = self.said(text)
        code = np.zeros((len(text), CODE_DIM), np.float32) if self.taught is None else self.taught.code_of_text(said)
        return unit_rows(np.concatenate([said, code], axis=1))

    def teachable(self, trunk: NDArray[np.float32], own: NDArray[np.float32]) -> NDArray[np.float32]:
        """What heads for a user's labels look at: picture block and colours, shape (N, P + 64)."""
        return np.concatenate([self.picture(trunk), 0.5 * own], axis=1)

    def project(self, features_N_F: NDArray[np.float16], *, queries: bool) -> NDArray[np.float32]:
        """Vectors of unit length, shape (N, dim)."""
        parts = Parts.of(features_N_F)
        blocks = self._query_blocks(parts) if queries else self._document_blocks(parts)
        rows = np.concatenate([blocks[name] for name in self.dims if name != "slack"], axis=1)
        missing = np.zeros((len(rows), 1)) if queries else np.maximum(1 - (rows**2).sum(1, keepdims=True), 0)
        return unit_rows(np.concatenate([rows, np.sqrt(missing / SLACK).repeat(SLACK, axis=1)], axis=1))

    def _document_blocks(self, parts: Parts) -> dict[str, NDArray[np.float32]]:
        own = parts.colours * parts.has_picture
        shown_code, said_code = self._codes(parts)
        blocks = {
            "picture": self.picture(parts.trunk) * parts.has_picture,
            "shown": self.shown(parts.trunk) * parts.has_picture,
            "said": self.said(parts.text) * parts.has_text,
            "learned_shown": shown_code,
            "learned_said": said_code,
            "colour": np.where(parts.has_picture > 0, own, COLOUR_IN_WORDS * parts.named * parts.has_text),
        }
        return {name: np.asarray(_BLOCK * block, np.float32) for name, block in blocks.items()}

    def _query_blocks(self, parts: Parts) -> dict[str, NDArray[np.float32]]:
        named = parts.named * parts.has_text
        own = parts.colours * parts.has_picture
        names_colour = np.asarray(named.any(axis=1))
        kinds = np.where(parts.has_text[:, 0] > 0, np.where(parts.has_picture[:, 0] > 0, 2 + names_colour, 0), 1)
        texts, pictures = self.said(parts.text) * parts.has_text, self.shown(parts.trunk) * parts.has_picture
        shown_code, said_code = self._codes(parts)
        asked = np.where(names_colour[:, None], unit_rows(named - OWN_COLOUR_REMOVED * own), own)
        return {
            "picture": _weights(kinds, "picture")[0] * self.picture(parts.trunk) * parts.has_picture,
            "shown": _mixed(kinds, "shown", texts, pictures),
            "said": _mixed(kinds, "said", texts, pictures),
            "learned_shown": _mixed(kinds, "learned_shown", said_code, shown_code),
            "learned_said": _mixed(kinds, "learned_said", said_code, shown_code),
            "colour": _weights(kinds, "colour")[0] * asked,
        }

    def _codes(self, parts: Parts) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self.taught is None:
            nothing = np.zeros((len(parts.trunk), CODE_DIM), np.float32)
            return nothing, nothing
        shown = self.taught.code_of_picture(self.teachable(parts.trunk, parts.colours)) * parts.has_picture
        return shown, self.taught.code_of_text(self.said(parts.text)) * parts.has_text


def _weights(kinds: NDArray[np.intp], name: str) -> list[NDArray[np.float32]]:
    """Each query's weight of a block as columns (N, 1): one, or a pair of them."""
    table = np.array([np.atleast_1d(getattr(mix, name)) for mix in MIXES], np.float32)
    return [column[:, None] for column in table[kinds].T]


def _mixed(
    kinds: NDArray[np.intp], name: str, by_text: NDArray[np.float32], by_picture: NDArray[np.float32]
) -> NDArray[np.float32]:
    text_weight, picture_weight = _weights(kinds, name)
    return np.asarray(text_weight * by_text + picture_weight * by_picture, np.float32)


def settings() -> str:
    """Every setting that changes a vector, here and in teaching, for the fingerprint."""
    blocks = (
        SLACK,
        _BLOCK,
        BRIDGE_TEMPERATURE,
        HEAD_WEIGHT,
        OWN_COLOUR_REMOVED,
        COLOUR_IN_WORDS,
        sorted(FEATURES.items()),
    )
    return repr((MIXES, blocks, lite_teaching.settings()))
