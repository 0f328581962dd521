"""Which instruction an M-BEIR query carries: a fixed row and prompt of UniIR's instruction file, none, or UniIR's way.

UniIR picks a random prompt of the row (query modality, modality of a gold candidate, dataset): the query then says
what its answer looks like, which in a pool of several modalities gives part of it away. Here `fixed` takes the
candidate modality from the task's number, and one numbered prompt; `gold` reads it off the gold, still with one
numbered prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from vretrver.datasets.records import read_lines
from vretrver.errors import InvalidInput, MissingPath, RecordError

KINDS = ("fixed", "none", "gold")
Prompts: TypeAlias = dict[tuple[str, str, str], list[str]]
Instructor: TypeAlias = Callable[[str, str, str], str | None]
"""The instruction by query id, query modality and the place to name in an error."""


def read_prompts(root: Path) -> Prompts:
    """The instruction file by (dataset id, query modality, candidate modality); its first line is a header.

    Raises:
        MissingPath: there is none.
        RecordError: a row has too few columns.
    """
    path = root / "instructions" / "query_instructions.tsv"
    if not path.is_file():
        raise MissingPath(f"no instruction file {path}; pass instructions='none' to ask without instructions")
    rows: Prompts = {}
    for at, (where, line) in enumerate(read_lines(path)):
        parts = [part.strip() for part in line.split("\t")]
        if at == 0:
            continue
        if len(parts) < 5:
            raise RecordError(f"{where}: {len(parts)} columns; query and candidate modality, name, id, prompts are due")
        rows[(parts[3], plain(parts[0]), plain(parts[1]))] = [part for part in parts[4:] if part]
    return rows


def instructor(rows: Prompts, prompt: int, asked: Callable[[str], str]) -> Instructor:
    """Gives each query the prompt of its row.

    Args:
        rows: see `read_prompts`.
        prompt: 1 for a row's first prompt.
        asked: the candidate modality by query id.

    Raises:
        InvalidInput: the prompt's number is below 1; on use, a query has no row, or its row not so many prompts.
    """
    if prompt < 1:
        raise InvalidInput(f"prompt is {prompt}; the first of a row is 1")

    def say(qid: str, query: str, where: str) -> str:
        dataset = qid.partition(":")[0]
        row = (dataset, query, asked(qid))
        if row not in rows:
            known = ", ".join(f"{q} -> {c}" for one, q, c in rows if one == dataset) or "none"
            raise InvalidInput(
                f"{where}: the instruction file has no row for dataset {dataset}, {row[1]} -> {row[2]} "
                f"(it has {known}); add one, or pass instructions='none'"
            )
        if prompt > len(rows[row]):
            raise InvalidInput(
                f"prompt {prompt} is asked for, but dataset {dataset}, {row[1]} -> {row[2]} has {len(rows[row])}"
            )
        return rows[row][prompt - 1]

    return say


def first_gold(qid: str, relevant: Mapping[str, int]) -> str:
    """The first positive of the query's own dataset, else the first: OVEN and InfoSeek list positives of each other."""
    own = qid.partition(":")[0]
    return next((did for did in relevant if did.partition(":")[0] == own), next(iter(relevant), ""))


def plain(modality: str) -> str:
    """One spelling of a modality's name."""
    return "image,text" if modality == "text,image" else modality
