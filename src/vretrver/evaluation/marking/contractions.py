"""English contractions that lack an apostrophe, as VQA's and Encyclopedic-VQA's normalisations mend them.

Each form with one apostrophe is known without it; each with two is known with either one missing, not with both. The
official table has gaps, which are kept: `shes`, `wed` and `id` are words of their own, `couldntve` is not mended; and
an oddity, kept too: `somebody'd` loses its apostrophe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_ENDINGS = {
    "n't": "ai are ca could did does do had has have is might must need ought sha should was were wo would",
    "'ve": "could might must not should they we what where who would you",
    "'d": "he how it someone something there they where who you",
    "'ll": "how it somebody someone something they what who why you",
    "'s": "he how somebody someone that there what when where who why",
    "'re": "there they what why you",
    "n't've": "could had might should would",
    "'d've": "he it she somebody someone something there they we who you",
}
_OTHERS = ("ma'am", "o'clock", "y'all", "y'all'll", "y'all'd've")


def _forms() -> Iterator[str]:
    yield from (word + ending for ending, words in _ENDINGS.items() for word in words.split())
    yield from _OTHERS


def _missing_one(form: str) -> Iterator[str]:
    places = [at for at, char in enumerate(form) if char == "'"]
    yield from (form[:at] + form[at + 1 :] for at in places)


CONTRACTIONS: Mapping[str, str] = {
    **{bare: form for form in _forms() for bare in _missing_one(form)},
    "twas": "'twas",
    **dict.fromkeys(("ow's'at", "'ows'at", "'ow'sat"), "'ow's'at"),
    "somebody'd": "somebodyd",
}
"""As written -> as mended; lower case."""
