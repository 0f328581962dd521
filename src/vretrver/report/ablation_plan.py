"""What an ablation compares: `ablation.toml` in a folder that holds run folders by column and row.

    DIR/ablation.toml                   this module reads it
    DIR/runs/<column>/<row>             what `vretrver eval` wrote of a row on a column
    DIR/runs/<column>/<row>-seed1       the same, trained again with another seed; the seeds of a row are pooled
    DIR/<training>/training/            the log of a row's training, for the dynamics

    title = "The nano agent"
    [[rows]]
    id = "full"
    label = "SFT + RSFT + RL"
    paper = "full: SFT + RSFT + RL"     # the paper's row that it stands beside (report.paper.ABLATION)
    training = "full"
    [[columns]]
    id = "test-which"
    label = "unseen marks"
    runs = "test"                       # several columns may read the parts of one run
    groups = ["i->i/which"]
    kind = "world"                      # or degraded, real
    [[pairs]]
    a = "sft"
    b = "full"

A name in it is a name inside the folder and nothing else. It leaves out the reading of runs (`ablation_cells`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vretrver.errors import InvalidInput, MissingPath
from vretrver.report import paper
from vretrver.training.config import read_config

FILE = "ablation.toml"
MAX_ROWS, MAX_COLUMNS = 100, 40
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_SEED = re.compile(r"(.+)-seed([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Row:
    """One way to make an agent.

    Args:
        id: names it. label: its name in tables. what: how it was made, in words.
        runs: its folder's name under each column; the id when "". Several rows may read one, in tables of their own.
        part: the table it stands in: its title; rows of the same part stand together.
        paper: the paper's row beside it, as `report.paper.ABLATION` names it; "" for none.
        training: the folder with its training's log, for dynamics; "" for none.

    Raises:
        InvalidInput: a name that could be no folder's, or no such row of the paper.
    """

    id: str
    label: str
    what: str = ""
    runs: str = ""
    part: str = "The curriculum"
    paper: str = ""
    training: str = ""

    def __post_init__(self) -> None:
        _name("row", self.id)
        _name("run folder", self.folder)
        if _SEED.fullmatch(self.folder):
            raise InvalidInput(f"the row {self.folder!r} is named like a seed of a row; leave -seedN to the folders")
        if self.training:
            _name("training folder", self.training)
        known = [one.system for one in paper.ABLATION]
        if self.paper and self.paper not in known:
            raise InvalidInput(f"the paper's ablation has no row {self.paper!r}; it has {', '.join(known)}")

    @property
    def folder(self) -> str:
        return self.runs or self.id

    @property
    def published(self) -> float | None:
        """The paper's own figure, in percent."""
        return next((one.percent for one in paper.ABLATION if one.system == self.paper), None)


@dataclass(frozen=True, slots=True)
class Column:
    """What agents are measured on.

    Args:
        id, label: as of a row. runs: the folder under `runs/`; the id when "".
        groups: patterns of topic groups (`i->i/*`) that count here; all when empty.
        kind: `world` the small-detail world, `degraded` the same with worse pictures, `real` photographs: targets are
            told by it.

    Raises:
        InvalidInput: a name that could be no folder's.
    """

    id: str
    label: str
    runs: str = ""
    groups: tuple[str, ...] = ()
    kind: Literal["world", "degraded", "real"] = "world"

    def __post_init__(self) -> None:
        _name("column", self.id)
        _name("folder of runs", self.folder)

    @property
    def folder(self) -> str:
        return self.runs or self.id


@dataclass(frozen=True, slots=True)
class Pair:
    """Rows whose difference is of interest: b - a, by query."""

    a: str
    b: str


@dataclass(frozen=True, slots=True)
class Roles:
    """Which row is which, where the targets name one."""

    full: str = "full"
    before: str = "rsft"
    text: str = "text-rl"
    evidence: str = "evidence"


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole of `ablation.toml`.

    Args:
        title: of the page. note: what a reader should know first: model, data, machine, date, commit.
        rows, columns: in the order of the tables. pairs: besides the usual ones.
        roles: of rows, for targets.

    Raises:
        InvalidInput: nothing to compare, too much, two of one name, or a pair of rows that are not there.
    """

    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    title: str = "Ablation"
    note: str = ""
    pairs: tuple[Pair, ...] = ()
    roles: Roles = Roles()

    def __post_init__(self) -> None:
        for what, given, most in (("rows", self.rows, MAX_ROWS), ("columns", self.columns, MAX_COLUMNS)):
            names = [one.id for one in given]
            if not 1 <= len(names) <= most:
                raise InvalidInput(f"an ablation has 1 to {most} {what}; there are {len(names)}")
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise InvalidInput(f"two {what} are called {twice!r}; each needs a name of its own")
        known = {row.id for row in self.rows}
        if stranger := next((one for pair in self.pairs for one in (pair.a, pair.b) if one not in known), None):
            raise InvalidInput(f"a pair names the row {stranger!r}; the rows are {', '.join(sorted(known))}")

    @property
    def row_of(self) -> Mapping[str, Row]:
        return {row.id: row for row in self.rows}

    @property
    def compared(self) -> list[Pair]:
        """The pairs that matter, as far as their rows are there, then the plan's own."""
        known = self.row_of
        usual = (Pair(a, b) for a, b in USUAL if a in known and b in known)
        return list(dict.fromkeys([*usual, *self.pairs]))


USUAL = (
    ("base-no-tools", "base"), ("base", "sft"), ("text", "sft"), ("sft", "rsft"), ("rsft", "full"), ("sft", "sft-rl"),
    ("sft-rl", "full"), ("text", "text-rl"), ("text-rl", "full"), ("evidence", "full"),
)  # fmt: skip
"""What each stage adds, the controls against what they control, and the agent that is not trained, by row."""


def read_plan(folder: Path) -> Plan:
    """The plan of an ablation's folder.

    Raises:
        MissingPath: there is no such folder, or no plan in it.
        RecordError: it is no TOML. InvalidInput: it is no plan; says what is wrong.
    """
    if not folder.is_dir():
        raise MissingPath(f"no such folder of an ablation: {folder}")
    if not (folder / FILE).is_file():
        raise MissingPath(f"{folder} holds no {FILE}, which says what is compared; runs/nano.sh writes one")
    return read_config(folder / FILE, Plan)


def seeds_of(folder: Path, row: str) -> dict[int, Path]:
    """A row's run folders under a column's folder, by seed; a folder without a number is seed 0's."""
    found = {0: folder / row} if (folder / row).is_dir() else {}
    for path in _folders(folder):
        parts = _SEED.fullmatch(path.name)
        if parts and parts[1] == row:
            found.setdefault(int(parts[2]), path)
    return dict(sorted(found.items()))


def _folders(folder: Path) -> Iterable[Path]:
    return (path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ()


def _name(what: str, given: str) -> None:
    if not _NAME.fullmatch(given):
        raise InvalidInput(
            f"{given!r} cannot be the name of a {what}; letters, digits, '.', '_', '+' and '-' make one, and it begins "
            "with a letter or digit"
        )
