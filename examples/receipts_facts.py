"""What is printed on the receipts and invoices of the example: invented vendors, dates, numbers, items and totals.

Everything is drawn from a seed, so the truth is known to the digit. Four papers a vendor, made to be confused: the
second has the first one's total on another day, the third its day with another total, and invoice numbers differ in
one digit. Vendors are invented, two of them differ in a letter, and the account numbers are none.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


@dataclass(frozen=True, slots=True)
class Vendor:
    """A shop or a firm, and how it writes.

    Args:
        name, place: as printed.
        kind: `receipt` or `invoice`.
        money: how amounts are written; see `money`. `dates`: how days are; see `day`.
        rate: value-added tax, per cent; included in a receipt's prices, added to an invoice's.
        face: the typeface that it prints in (`receipts_drawn`).
        goods: names and prices in cents.
    """

    name: str
    place: str
    kind: str
    money: str
    dates: str
    rate: int
    face: str
    goods: tuple[tuple[str, int], ...]
    account: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    name: str
    count: int
    cents: int  # of all of them


@dataclass(frozen=True, slots=True)
class Paper:
    """One receipt or invoice. Amounts are in cents; `total` is what was paid, `tax` the part of it that is tax."""

    id: str
    vendor: Vendor
    day: date
    number: str
    items: tuple[Item, ...]

    @property
    def net(self) -> int:
        return self._sum if self.vendor.kind == "invoice" else self.total - self.tax

    @property
    def tax(self) -> int:
        rate = self.vendor.rate
        return round(self._sum * rate / (100 if self.vendor.kind == "invoice" else 100 + rate))

    @property
    def total(self) -> int:
        return self._sum + self.tax if self.vendor.kind == "invoice" else self._sum

    @property
    def _sum(self) -> int:
        return sum(item.cents for item in self.items)


_TABLE = (
    # name and place; kind, how amounts and days are written, tax, face; account; goods with their prices in cents
    ("Farn Ltd, 12 Mill Lane, Otley", "invoice pound long 20 sans", "GB29 FARN 6016 1331 9268 19",
     "Bookkeeping, monthly 24000; Payroll run 6500; Year-end review 41000; Filing fee 3400"),
    ("Fern Ltd, 4 Quay Street, Whitby", "invoice pound slash 20 serif", "GB94 FERN 2020 1530 0934 59",
     "Window cleaning 8500; Ladder hire 3200; Gutter repair 14750; Callout 4500"),
    ("Kvist Papper AB, Storgatan 8, Lund", "invoice krona iso 25 sans", "SE45 5000 0000 0583 9825 7466",
     "Copy paper A4, box 31900; Envelopes C5 12450; Toner black 89900; Binders 4950"),
    ("Nordlicht GmbH, Hafenstr. 21, Kiel", "invoice euro dot 19 serif", "DE89 3704 0044 0532 0130 00",
     "LED panel 60x60 4990; Mounting set 1290; Installation, hour 6800; Driver 40 W 2350"),
    ("Tarn Hosting Inc, 88 Lake Road, Duluth", "invoice dollar month 8 sans", "ACH 0210 0002 1447 0935",
     "Virtual server, month 4800; Backup 500 GB 1250; Domain renewal 1599; Support hour 9500"),
    ("Cafe Almond, 3 Abbey Walk, York", "receipt pound slash 20 mono", "",
     "Flat white 340; Oat latte 390; Almond croissant 320; Soup of the day 650; Rye toast 480; Lemon cake 410"),
    ("Brook Hardware, 19 Forge Row, Leeds", "receipt pound long 20 mono", "",
     "Wood screws 4x40 549; Masking tape 399; Paint brush 50mm 725; Wall filler 650; Sandpaper P120 289"),
    ("Backhaus Ahlers, Markt 5, Oldenburg", "receipt euro dot 7 mono", "",
     "Roggenbrot 1kg 480; Laugenbrezel 95; Franzbrötchen 190; Kaffee klein 240; Apfeltasche 225"),
    ("Taxi Halden, Stasjonsgata 1, Halden", "receipt krona dot 12 mono", "",
     "Starttakst 6900; Kjøring 8,4 km 14280; Ventetid 6 min 5400; Nattillegg 4500; Bompenger 2800"),
    ("Greenleaf Grocers, 700 Elm Avenue, Dayton", "receipt dollar month 8 mono", "",
     "Oat milk 1l 429; Rye bread 549; Eggs, dozen 399; Spinach 279; Tomatoes 344; Olive oil 1099"),
)  # fmt: skip


def _vendor(where: str, how: str, account: str, goods: str) -> Vendor:
    name, place = where.split(", ", 1)
    kind, amounts, dates, rate, face = how.split()
    priced = tuple((thing.rsplit(" ", 1)[0], int(thing.rsplit(" ", 1)[1])) for thing in goods.split("; "))
    return Vendor(name, place, kind, amounts, dates, int(rate), face, priced, account)


VENDORS = tuple(_vendor(*row) for row in _TABLE)


def papers(vendors: tuple[Vendor, ...] = VENDORS, seed: int = 5) -> list[Paper]:
    """Four papers a vendor; ids are numbered in an order that says nothing."""
    chance = random.Random(seed)
    made = [(vendor, *facts) for vendor in vendors for facts in _four(vendor, chance)]
    chance.shuffle(made)
    return [Paper(f"scan-{at:03}", *facts) for at, facts in enumerate(made, 1)]


def _four(vendor: Vendor, chance: random.Random) -> list[tuple[date, str, tuple[Item, ...]]]:
    first, again, third, other = (date(2025, 1, 6) + timedelta(days=day) for day in chance.sample(range(170), 4))
    goods, more, rest = (_items(vendor, chance) for _ in range(3))
    while len({sum(item.cents for item in items) for items in (goods, more, rest)}) < 3:
        more, rest = _items(vendor, chance), _items(vendor, chance)
    third = first
    days = [first, again, third, other]
    return list(zip(days, _numbers(vendor, chance), [goods, goods, more, rest], strict=True))


def _items(vendor: Vendor, chance: random.Random) -> tuple[Item, ...]:
    chosen = chance.sample(vendor.goods, chance.randint(2, min(4, len(vendor.goods))))
    counts = [chance.choice((1, 1, 1, 2, 3)) for _ in chosen]
    return tuple(Item(name, count, count * price) for (name, price), count in zip(chosen, counts, strict=True))


def _numbers(vendor: Vendor, chance: random.Random) -> list[str]:
    """Four numbers; each of the last three differs from the first in one digit."""
    digits = [chance.randint(1, 9) for _ in range(6)]
    numbers = ["".join(map(str, digits))]
    for place in chance.sample(range(1, 6), 3):
        changed = digits.copy()
        changed[place] = (digits[place] + chance.randint(1, 8)) % 10
        numbers.append("".join(map(str, changed)))
    initials = "".join(word[0] for word in vendor.name.split()[:2]).upper()
    return [f"{initials}-{number}" for number in numbers]


def money(cents: int, style: str) -> str:
    """An amount as it is written: `£1,234.50`, `1.234,50 EUR`, `1 234,50 kr`, `$1,234.50`, `1234.50` for `plain`."""
    english = f"{cents / 100:,.2f}"
    match style:
        case "pound":
            return f"£{english}"
        case "dollar":
            return f"${english}"
        case "euro":
            return english.translate(str.maketrans(",.", ".,")) + " EUR"
        case "krona":
            return english.translate(str.maketrans(",.", " ,")) + " kr"
        case _:
            return f"{cents / 100:.2f}"


def day(when: date, style: str) -> str:
    """A day as it is written: `14 March 2025`, `14/03/2025`, `14.03.2025`, `2025-03-14`, `Mar 14, 2025`."""
    match style:
        case "long":
            return f"{when.day} {MONTHS[when.month - 1]} {when.year}"
        case "slash":
            return f"{when:%d/%m/%Y}"
        case "dot":
            return f"{when:%d.%m.%Y}"
        case "month":
            return f"{MONTHS[when.month - 1][:3]} {when.day}, {when.year}"
        case _:
            return when.isoformat()
