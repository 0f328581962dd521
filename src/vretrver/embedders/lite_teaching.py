"""Teaching `lite`: from a few labelled pictures to a space that keeps those labels apart.

Every label gets a code: nearly the orthonormal set of vectors closest to the labels' text coordinates (Loewdin,
J. Chem. Phys. 18, 365, 1950), so that labels alike in words ("low fat milk", "medium fat milk") are told apart; with
more labels than dimensions, captions for instance, the codes become whitened text coordinates. Pictures are mapped to
their label's code by ridge regression in which every label counts the same, texts by how close they are to the
labels. All in closed form: exact, fast, and the same on every run.

What was taught must not disturb what was not: a picture unlike every label's pictures, and a text unlike every label,
get short codes or none (`FAMILIAR_PICTURE`, `FAMILIAR_TEXT`).

Left out: the networks (frozen) and the space the codes are joined to (`lite_space`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from vretrver import colours

CODE_DIM = 128
RIDGE = 0.3
SAMENESS = 0.1  # directions in which the labels' texts differ less than this (squared) are not told apart: wording
SHARPNESS = 15.0  # of the softmax over labels that a text is close to
# Similarity to the nearest label at which a code starts to count, and at which it counts in full. Between what other
# collections reach (garments to taught groceries: 95 % under 0.22) and what the same one does (95 % over 0.29).
FAMILIAR_PICTURE = (0.2, 0.3)
FAMILIAR_TEXT = (0.2, 0.6)


@dataclass(frozen=True)
class Taught:
    """What teaching added: a linear map from pictures to codes, and what the labels look and read like.

    "Seen" rows are a picture block of P numbers and 64 of colour.

    Args:
        weights, bias: (P + 64, CODE_DIM), (CODE_DIM,): picture to code.
        label_texts: (L, B): text coordinates of the distinct labels, unit rows.
        label_codes: (L, CODE_DIM): their codes.
        label_pictures: (L, P), float16: mean picture block of each label, unit rows.
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    label_texts: NDArray[np.float32]
    label_codes: NDArray[np.float32]
    label_pictures: NDArray[np.float16]

    def code_of_picture(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        """Codes, shape (N, CODE_DIM), no longer than 1; short where the picture is like nothing that was taught."""
        pictures = seen[:, : self.label_pictures.shape[1]]
        known = _ramp((pictures @ self.label_pictures.T.astype(np.float32)).max(axis=1), FAMILIAR_PICTURE)
        return at_most_unit(seen @ self.weights + self.bias) * known

    def code_of_text(self, said: NDArray[np.float32]) -> NDArray[np.float32]:
        """Codes, shape (N, CODE_DIM), no longer than 1; short where the text is close to no label."""
        close = said @ self.label_texts.T
        shares = np.exp(SHARPNESS * (close - close.max(axis=1, keepdims=True)))
        codes = shares / shares.sum(axis=1, keepdims=True) @ self.label_codes
        return unit_rows(codes) * _ramp(close.max(axis=1), FAMILIAR_TEXT)

    def arrays(self) -> dict[str, NDArray[np.floating]]:
        return {each.name: getattr(self, each.name) for each in fields(self)}


def teach(seen: NDArray[np.float32], rows: Sequence[int], label_texts: NDArray[np.float32]) -> Taught:
    """Fit codes and the map from pictures to them.

    Args:
        seen: what heads look at, shape (N, P + 64).
        rows: for each of the N examples, the row of its label in `label_texts`.
        label_texts: text coordinates of the L distinct labels, shape (L, B), unit rows.
    """
    codes = label_codes(label_texts)
    places = np.asarray(rows, np.intp)
    shares = 1.0 / np.bincount(places, minlength=len(codes))[places]
    shares *= len(shares) / shares.sum()
    inputs, targets = seen.astype(np.float64), codes[places].astype(np.float64)
    centre = np.average(inputs, axis=0, weights=shares)
    mean_code = np.average(targets, axis=0, weights=shares)
    root = np.sqrt(shares)[:, None]
    weights = _ridge((inputs - centre) * root, (targets - mean_code) * root)
    bias = mean_code - centre @ weights
    sums = np.zeros((len(codes), seen.shape[1] - colours.DIM))
    np.add.at(sums, places, inputs[:, : sums.shape[1]])
    looks = unit_rows(sums).astype(np.float16)
    return Taught(weights.astype(np.float32), bias.astype(np.float32), label_texts, codes, looks)


def label_codes(label_texts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit codes, shape (L, CODE_DIM): near to orthonormal for different labels, alike for two wordings of one."""
    left, strengths, _ = np.linalg.svd(label_texts.astype(np.float64), full_matrices=False)
    kept = (left * (strengths / np.sqrt(strengths**2 + SAMENESS)))[:, :CODE_DIM]
    codes = np.zeros((len(label_texts), CODE_DIM))
    codes[:, : kept.shape[1]] = kept
    return unit_rows(codes)


def _ridge(inputs: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """argmin_W |inputs W - targets|^2 + RIDGE |W|^2, through whichever Gram matrix is smaller."""
    examples, width = inputs.shape
    if examples < width:
        return np.asarray(inputs.T @ np.linalg.solve(inputs @ inputs.T + RIDGE * np.eye(examples), targets))
    return np.asarray(np.linalg.solve(inputs.T @ inputs + RIDGE * np.eye(width), inputs.T @ targets), np.float64)


def _ramp(similarities: NDArray[np.float32], bounds: tuple[float, float]) -> NDArray[np.float32]:
    """0 up to the first bound, 1 from the second, a line between: a column (N, 1)."""
    low, high = bounds
    return np.asarray(np.clip((similarities - low) / (high - low), 0, 1)[:, None], np.float32)


def unit_rows(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows scaled to unit length; a row of zeros stays as it is."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12), np.float32)


def at_most_unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows longer than 1 cut to 1; the rest as they are."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1.0), np.float32)


def settings() -> str:
    """Every setting of teaching that changes a vector, for the fingerprint."""
    return repr((CODE_DIM, RIDGE, SAMENESS, SHARPNESS, FAMILIAR_PICTURE, FAMILIAR_TEXT))
