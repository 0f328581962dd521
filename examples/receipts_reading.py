"""What a query wants of a receipt, and which printed line has it: days, amounts, numbers and words, however written.

`14 March` is met by `14/03/2025`, `14.03.2025`, `2025-03-14` and `Mar 14, 2025`; `1234.50` by `£1,234.50` and
`1 234,50 kr`; a number only digit by digit, and one that differs in a digit is told as such. Print is untrusted text:
it is compared, never obeyed. It leaves out languages other than English for months.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from receipts_facts import MONTHS

from vretrver.ocr import Line
from vretrver.types import Box

_MONTH = "|".join(name[:3] for name in MONTHS)
_DAYS = (
    re.compile(rf"(?P<d>\d{{1,2}})\s?(?P<name>{_MONTH})[a-z]*\.?,?(?:\s?(?P<y>20\d\d))?", re.IGNORECASE),
    re.compile(rf"(?P<name>{_MONTH})[a-z]*\.?\s?(?P<d>\d{{1,2}})(?!\d)(?:,?\s?(?P<y>20\d\d))?", re.IGNORECASE),
    re.compile(r"(?<!\d)(?P<d>\d{1,2})[./](?P<m>\d{1,2})[./](?P<y>20\d\d)"),
    re.compile(r"(?<!\d)(?P<y>20\d\d)-(?P<m>\d{2})-(?P<d>\d{2})"),
)
_IN = re.compile(rf"\bin (?P<name>{_MONTH})[a-z]*", re.IGNORECASE)
_AMOUNT = re.compile(r"(?<![\d.,])\d{1,3}(?:[ .,]?\d{3})*\s?[.,]\s?\d{2}(?![\d%])")
_NUMBER = re.compile(r"\b([A-Z]{2})\s?[-–.]?\s?(\d{6})\b")
_TAIL = re.compile(r"ending (?:in )?(\d[\d ]{2,6}\d)", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{3,}")
_SAYS_HOW = frozenset(
    """
    the receipt receipts invoice invoices paper from with total and for our paid pay did what much how number account
    ending bill which was were that day all when spend spent ltd gmbh inc
    """.split()  # noqa: SIM905
)
_MONTH_NAMES = frozenset(name.casefold() for full in MONTHS for name in (full, full[:3]))

Day = tuple[int | None, int, int]
"""Year or None, month, day."""


@dataclass(frozen=True, slots=True)
class Detail:
    """One thing that a paper must show.

    Args:
        kind: `day` (a `Day`), `month` (its number), `amount` (in cents), `number`, `digits` (the last of an account),
            `word`.
        said: for people.
    """

    kind: str
    value: Any
    said: str


@dataclass(frozen=True, slots=True)
class Met:
    """A detail on a paper: the line that has it, and how well, 0..1."""

    detail: Detail
    line: Line
    share: float


def wanted(text: str) -> list[Detail]:
    """What a query asks for."""
    month = _IN.search(text)
    plain = _NUMBER.sub(" ", text)
    return [
        *(Detail("day", one, f"{one[2]} {MONTHS[one[1] - 1]}") for one in days(text)),
        *(Detail("month", _month(name), MONTHS[_month(name) - 1]) for name in ([month["name"]] if month else [])),
        *(Detail("amount", cents, f"{cents / 100:.2f}") for cents in amounts(text)),
        *(Detail("number", number, number) for number in numbers(text)),
        *(Detail("digits", _digits(tail), f"...{tail}") for tail in _TAIL.findall(text)),
        *(Detail("word", word, word) for word in words(plain) if word not in _MONTH_NAMES),
    ]


def met_on(lines: Sequence[Line], details: Sequence[Detail]) -> list[Met]:
    """The best line for each detail that is there at all."""
    # Nothing on a paper is more than its total; an item's price or the tax is the amount asked for less likely.
    total = max((cents for line in lines for cents in amounts(line.text)), default=0)
    found = []
    for detail in details:
        shares = [_share(detail, line.text, total) for line in lines]
        if max(shares, default=0.0) > 0:
            found.append(Met(detail, lines[shares.index(max(shares))], max(shares)))
    return found


def _share(detail: Detail, text: str, total: int) -> float:
    """How well a line meets a detail, 0..1."""
    match detail.kind:
        case "day":
            return max((_same(detail.value, one) for one in days(text)), default=0.0)
        case "month":
            return float(any(month == detail.value for _year, month, _day in days(text)))
        case "amount":
            return (1.0 if detail.value == total else 0.6) if detail.value in amounts(text) else 0.0
        case "number":
            return max((_alike(detail.value, one) for one in numbers(text)), default=0.0)
        case "digits":
            return float(len(_digits(text)) > 8 and _digits(text).endswith(detail.value))
        case _:
            return max((_near(detail.value, one) for one in words(text)), default=0.0)


def days(text: str) -> list[Day]:
    found: list[Day] = []
    for pattern in _DAYS:
        for match in pattern.finditer(text):
            parts = match.groupdict()
            month = _month(parts["name"]) if parts.get("name") else int(parts["m"])
            if 1 <= month <= 12 and 1 <= int(parts["d"]) <= 31:
                found.append((int(parts["y"]) if parts.get("y") else None, month, int(parts["d"])))
    return list(dict.fromkeys(found))


def amounts(text: str) -> list[int]:
    """Amounts with two decimals, in cents. `1.234,50`, `1 234,50` and `1,234.50` are one."""
    for other in (_NUMBER, *_DAYS):
        text = other.sub(" / ", text)  # so that what stands on both sides does not become one
    return list(dict.fromkeys(int(_digits(found)) for found in _AMOUNT.findall(text)))


def numbers(text: str) -> list[str]:
    return [f"{letters}-{digits}" for letters, digits in _NUMBER.findall(text.upper())]


def words(text: str) -> list[str]:
    return list(dict.fromkeys(word for word in _WORD.findall(text.casefold()) if word not in _SAYS_HOW))


def around(lines: Sequence[Line], size: tuple[int, int]) -> Box:
    """The box around lines, with some paper around them, inside a picture of that size."""
    x0, y0 = (min(line.box[side] for line in lines) for side in (0, 1))
    x1, y1 = (max(line.box[side] for line in lines) for side in (2, 3))
    return padded((x0, y0, x1, y1), size, 16)


def padded(box: Box, size: tuple[int, int], pad: int) -> Box:
    """A box widened by some pixels on each side, inside a picture of that size."""
    x0, y0, x1, y1 = box
    return max(0, x0 - pad), max(0, y0 - pad), min(size[0], x1 + pad), min(size[1], y1 + pad)


def _same(wanted: Day, read: Day) -> float:
    years = {wanted[0], read[0]} - {None}
    return float(wanted[1:] == read[1:] and len(years) < 2)


def _alike(wanted: str, read: str) -> float:
    differ = sum(a != b for a, b in zip(wanted, read, strict=True))
    return 1.0 if differ == 0 else 0.2 if differ == 1 else 0.0


def _near(wanted: str, read: str) -> float:
    """Words: the same, or glued to others; a letter off counts little, for `Farn` is not `Fern`."""
    if wanted == read or (len(wanted) >= 4 and wanted in read):
        return 1.0
    differ = sum(a != b for a, b in zip(wanted, read, strict=False))
    return 0.3 if len(wanted) == len(read) and differ == 1 else 0.0


def _digits(text: str) -> str:
    return "".join(letter for letter in text if letter.isdigit())


def _month(name: str) -> int:
    return next(at for at, full in enumerate(MONTHS, 1) if full.casefold().startswith(name.casefold()[:3]))
