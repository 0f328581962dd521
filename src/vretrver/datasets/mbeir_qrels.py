"""What answers an M-BEIR query: the qrels, the positives in the query file, and ids with UniIR's hashes of them.

UniIR names everything `dataset:n` and hashes it to an integer where it stores vectors: d * 10,000,000 + n for
candidates, d * 500,000 + n for queries. Both forms are taken here and become the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from vretrver.datasets.records import id_of, list_of, read_lines
from vretrver.errors import RecordError

CANDIDATES = 10_000_000
QUERIES = 500_000
Grades: TypeAlias = dict[str, dict[str, int]]
"""Grade by query id and document id."""


def read_qrels(path: Path) -> tuple[Grades | None, dict[str, int]]:
    """Grades of at least 1, and each query's task number, its fifth column; (None, nothing) where there is no file.

    A line is `qid 0 did relevance task_id`; TREC's four columns are taken as well.

    Raises:
        RecordError: a line has other columns; names file and line.
    """
    if not path.is_file():
        return None, {}
    found: Grades = {}
    numbers: dict[str, int] = {}
    for where, line in read_lines(path):
        parts = line.split()
        try:
            qid, _zero, did, grade, *task_id = parts
            name = unhashed(qid, QUERIES)
            if int(grade) > 0:
                found.setdefault(name, {})[unhashed(did, CANDIDATES)] = int(grade)
            if task_id:
                numbers[name] = int(task_id[0])
        except ValueError as fault:
            raise RecordError(f"{where}: not `qid 0 did relevance task_id`: {line[:80]!r}") from fault
    return found, numbers


def judged(queries: Sequence[tuple[str, Mapping[str, Any]]], qrels: Grades | None) -> tuple[Grades, dict[str, int]]:
    """What answers each query: the qrels where there is a file, else pos_cand_list.

    Args:
        queries: (where, record) of the query file.

    Returns:
        The grades, and counts of what the two disagree on, by what it is.
    """
    listed = {
        query_id(record.get("qid"), where): {
            document_id(did, where): 1 for did in list_of(record.get("pos_cand_list"), where, "pos_cand_list")
        }
        for where, record in queries
    }
    if qrels is None:
        return listed, {}
    grades = {qid: qrels.get(qid, {}) for qid in listed}
    counts = {
        "queries whose qrels differ from pos_cand_list": sum(
            bool(listed[qid]) and grades[qid].keys() != listed[qid].keys() for qid in listed
        ),
        "queries without qrels": sum(not one for one in grades.values()),
        "qrels of queries that are not asked": len(qrels.keys() - listed.keys()),
        "relevant documents of another dataset": sum(
            dataset_of(did) != dataset_of(qid) for qid, one in grades.items() for did in one
        ),
    }
    return grades, {what: count for what, count in counts.items() if count}


def query_id(value: Any, where: str) -> str:
    """A query's id, `dataset:n`."""
    return unhashed(id_of(value, where, "qid"), QUERIES)


def document_id(value: Any, where: str) -> str:
    """A candidate's id, `dataset:n`."""
    return unhashed(id_of(value, where, "did"), CANDIDATES)


def unhashed(name: str, bound: int) -> str:
    """UniIR's hash d * bound + n, digits alone, back to `d:n`; other ids stay."""
    return f"{int(name) // bound}:{int(name) % bound}" if name.isascii() and name.isdigit() else name


def dataset_of(name: str) -> str:
    """The dataset's number in an id."""
    return name.partition(":")[0]
