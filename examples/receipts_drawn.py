"""Receipts and invoices as flat pictures, and where on them each detail is printed.

The faces are those that Python packages carry: matplotlib's DejaVu where it is installed, else Pillow's own, which has
no pound sign and no accents (they are spelled then). `receipts_photographed` makes pictures of a table out of these.
"""

from __future__ import annotations

import importlib.util
import unicodedata
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from receipts_facts import Paper, day, money

INK, SOFT = "#1d1f24", "#5b6068"
A4 = (1240, 1754)  # 150 dpi
ROLL = 620  # the width of a till's paper
FILES = {"sans": "DejaVuSans", "serif": "DejaVuSerif", "mono": "DejaVuSansMono"}
TINTS = ("#1f4e5f", "#6b2737", "#2c4a2e", "#3a3a66", "#7a4b12")


@dataclass(slots=True)
class Sheet:
    """A flat paper. `boxes` holds where each detail is printed, left, top, right, bottom in pixels.

    Details are `vendor`, `day`, `number`, `total`, `tax`, `account` and `item 0`, `item 1`, ...
    """

    picture: Image.Image
    face: str
    boxes: dict[str, tuple[float, float, float, float]] = field(default_factory=dict)

    def write(self, at: tuple[float, float], words: str, size: int, anchor: str = "la", detail: str | None = None, *,
              bold: bool = False, ink: str = INK) -> None:  # fmt: skip
        pen, (font, stroke) = ImageDraw.Draw(self.picture), font_of(self.face, size, bold)
        words = words if faces() == "DejaVu" else _plain(words)
        pen.text(at, words, font=font, fill=ink, anchor=anchor, stroke_width=stroke, stroke_fill=ink)
        if detail is not None:
            self.boxes[detail] = pen.textbbox(at, words, font=font, anchor=anchor, stroke_width=stroke)

    def rule(self, y: float, left: float, right: float, ink: str = "#9aa0a6", width: int = 2) -> None:
        ImageDraw.Draw(self.picture).line((left, y, right, y), fill=ink, width=width)


def faces() -> str:
    """Whose typefaces are used on this machine: `DejaVu` or `Pillow`."""
    return "DejaVu" if _folder() is not None else "Pillow"


def sheet(paper: Paper) -> Sheet:
    """The paper as a flat picture."""
    return _invoice(paper) if paper.vendor.kind == "invoice" else _receipt(paper)


def _invoice(paper: Paper) -> Sheet:
    vendor, (width, height) = paper.vendor, A4
    made = Sheet(Image.new("RGB", A4, "#fdfdfb"), vendor.face)
    tint = TINTS[sum(vendor.name.encode()) % len(TINTS)]
    left, right = 110, width - 110
    ImageDraw.Draw(made.picture).rectangle((0, 0, width, 26), fill=tint)
    made.write((left, 100), vendor.name, 46, detail="vendor", bold=True, ink=tint)
    made.write((left, 164), vendor.place, 22, ink=SOFT)
    made.write((right, 104), "INVOICE", 40, "ra", ink=tint)
    facts = [("Invoice no.", paper.number, "number"), ("Date", day(paper.day, vendor.dates), "day")]
    for at, (name, value, detail) in enumerate([*facts, ("Terms", "30 days net", None)]):
        made.write((right - 280, 210 + 40 * at), name, 22, "ra", ink=SOFT)
        made.write((right, 210 + 40 * at), value, 24, "ra", detail)
    for at, line in enumerate(("Bill to", "Osei & Daughters", "Unit 7, Canal Yard", "Hebden Bridge")):
        made.write((left, 300 + 34 * at), line, 22, ink=SOFT if at == 0 else INK)
    ImageDraw.Draw(made.picture).rectangle((left - 14, 510, right + 14, 562), fill=tint)
    for x, name, anchor in ((left, "Description", "lm"), (right - 300, "Qty", "rm"), (right, "Amount", "rm")):
        made.write((x, 536), name, 22, anchor, ink="#ffffff")
    y = 610
    for at, item in enumerate(paper.items):
        made.write((left, y), item.name, 24, "lm", f"item {at}")
        made.write((right - 300, y), str(item.count), 24, "rm")
        made.write((right, y), money(item.cents, vendor.money), 24, "rm")
        made.rule(y + 30, left, right, "#d5d8db")
        y += 62
    sums = [
        ("Subtotal", paper.net, None),
        (f"VAT {vendor.rate} %", paper.tax, "tax"),
        ("Total due", paper.total, "total"),
    ]
    for at, (name, cents, detail) in enumerate(sums):
        bold = detail == "total"
        made.write((right - 260, y + 50 + 50 * at), name, 28 if bold else 24, "rm", bold=bold)
        made.write((right, y + 50 + 50 * at), money(cents, vendor.money), 28 if bold else 24, "rm", detail, bold=bold)
    made.rule(height - 190, left, right)
    made.write((left, height - 160), f"Please pay to {vendor.account}", 22, detail="account")
    made.write((left, height - 120), f"{vendor.name}, {vendor.place}. Thank you for your business.", 19, ink=SOFT)
    return made


def _receipt(paper: Paper) -> Sheet:
    vendor, middle, left, right = paper.vendor, ROLL // 2, 40, ROLL - 40
    made = Sheet(Image.new("RGB", (ROLL, 620 + 40 * len(paper.items)), "#fbfaf6"), vendor.face)
    made.write((middle, 60), vendor.name.upper(), 34, "mm", "vendor", bold=True)
    made.write((middle, 104), vendor.place, 20, "mm", ink="#33363b")
    made.write((left, 156), day(paper.day, vendor.dates), 22, "lm", "day")
    clock = sum(paper.number.encode())
    made.write((right, 156), f"{8 + clock % 12:02}:{clock % 60:02}", 22, "rm")
    made.write((left, 192), f"No. {paper.number}", 22, "lm", "number")
    y = 250
    _dashes(made, y - 26)
    for at, item in enumerate(paper.items):
        count = f"{item.count} x " if item.count > 1 else ""
        made.write((left, y), f"{count}{item.name}", 22, "lm", f"item {at}")
        made.write(
            (right, y), money(item.cents, "plain" if vendor.money in ("pound", "dollar") else vendor.money), 22, "rm"
        )
        y += 40
    _dashes(made, y)
    made.write((left, y + 44), "TOTAL", 30, "lm", bold=True)
    made.write((right, y + 44), money(paper.total, vendor.money), 30, "rm", "total", bold=True)
    made.write((left, y + 96), f"incl. VAT {vendor.rate}%", 20, "lm")
    made.write((right, y + 96), money(paper.tax, vendor.money), 20, "rm", "tax")
    made.write((left, y + 136), "Card  **** **** **** 4417", 20, "lm")
    made.write((middle, y + 210), "Thank you, see you soon", 20, "mm", ink="#33363b")
    return made


def _dashes(made: Sheet, y: int) -> None:
    for x in range(40, ROLL - 40, 16):
        made.rule(y, x, x + 8, "#4a4d52")


@cache
def font_of(face: str, size: int, bold: bool) -> tuple[Any, int]:
    """A font, and how wide a stroke makes it bold where there is no bold one."""
    folder = _folder()
    if folder is None:
        return ImageFont.load_default(size), int(bold)
    return ImageFont.truetype(str(folder / f"{FILES[face]}{'-Bold' if bold else ''}.ttf"), size), 0


@cache
def _folder() -> Path | None:
    found = importlib.util.find_spec("matplotlib")
    folder = (
        Path(found.submodule_search_locations[0]) / "mpl-data/fonts/ttf"
        if found and found.submodule_search_locations
        else None
    )
    return folder if folder is not None and folder.is_dir() else None


def _plain(words: str) -> str:
    flat = unicodedata.normalize("NFKD", words.replace("£", "GBP ").replace("ø", "o"))
    return "".join(letter for letter in flat if letter.isascii())
