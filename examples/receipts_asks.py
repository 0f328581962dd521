"""What the receipts are asked for: each ask quotes details that one paper alone has, or that none has."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from receipts_facts import MONTHS, Paper, money


@dataclass(frozen=True, slots=True)
class Ask:
    """One search: its words, the paper that answers it (None: nothing does), and the details that it quotes."""

    name: str
    series: str
    text: str
    right: str | None
    details: tuple[str, ...]


SERIES = {
    "day and total": "The vendor has another paper with the same total, of another day.",
    "number": "Three papers of the vendor have numbers that differ from it in one digit.",
    "vendor and amount": "A name and an amount; Farn and Fern are two firms.",
    "items": "Two things that stand on this paper together.",
    "account": "The last digits of the account that an invoice is to be paid to, and its total.",
    "not there": "An invoice number that no paper has; four differ from it in one or two digits.",
}


def asks(papers: Sequence[Paper], each: int = 8, seed: int = 3) -> list[Ask]:
    """Up to `each` asks a series; those that two papers would answer are left out."""
    chance = random.Random(seed)
    made: list[Ask] = []
    for series in SERIES:
        kept: list[Ask] = []
        for paper in chance.sample(list(papers), len(papers)):
            found = _asked(series, paper, papers)
            if found is not None and len(kept) < each:
                right = None if series == "not there" else paper.id
                kept.append(Ask(f"{series.replace(' ', '-')}-{len(kept) + 1}", series, found[0], right, found[1:]))
        made += kept
    return made


def _asked(series: str, paper: Paper, papers: Sequence[Paper]) -> tuple[str, ...] | None:
    """The words of an ask for a paper and the details that they quote; None where it does not suit."""
    total, kind, vendor = money(paper.total, "plain"), paper.vendor.kind, paper.vendor
    twin = any(p.total == paper.total for p in papers if p is not paper and p.vendor is vendor)
    found: tuple[str, ...] | None = None
    match series:
        case "day and total" if twin:
            found = f"the {kind} of {paper.day.day} {MONTHS[paper.day.month - 1]} with total {total}", "day", "total"
        case "number":
            found = f"{kind} {paper.number}", "number"
        case "vendor and amount" if not twin:
            found = f"{vendor.name} {total}", "vendor", "total"
        case "account" if vendor.account and not twin:
            last = vendor.account.replace(" ", "")[-4:]
            found = f"to be paid to the account ending {last}, total {total}", "account", "total"
        case "items":
            first, second = _names(paper)[:2]
            if sum({first, second} <= set(_names(other)) for other in papers) == 1:
                found = f"{kind} with {first} and {second}", "item 0", "item 1"
        case "not there":
            number = f"{paper.number[:-1]}{(int(paper.number[-1]) + 5) % 10}"
            if all(number != other.number for other in papers):
                found = (f"{kind} {number}",)
    return found


def _names(paper: Paper) -> list[str]:
    return [item.name.split(",")[0] for item in paper.items]
