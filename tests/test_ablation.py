"""The ablation's page: what it says of runs by row and column, what it refuses, and that it runs nothing."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from ablation_folders import make_ablation, write_log
from run_folders import make_run
from vretrver.cli import main
from vretrver.errors import InvalidInput, MissingPath, RecordError
from vretrver.report import write_ablation
from vretrver.report.ablation_cells import difference, pooled, read_cells
from vretrver.report.ablation_plan import Column, Plan, Row, read_plan
from vretrver.report.ablation_targets import targets

HOSTILE = "</style><script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_ablation(tmp_path / "nano")


def text_of(page: Path) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.read_text(encoding="utf-8")))


def test_rows_by_columns_with_chance_and_the_papers_figures(folder: Path) -> None:
    page = text_of(write_ablation(folder, folder / "page.html"))
    assert ".700 [.400, 1.000]" in page  # of ten queries seven were right
    assert "Chance a random order of the same candidates .200" in page  # one of five candidates is right
    assert "full: SFT + RSFT + RL 67.2 SFT + RSFT + RL 70.0 70.0" in page
    assert "another benchmark" in page


def test_a_difference_is_paired_by_query(folder: Path) -> None:
    measured = read_cells(folder, read_plan(folder))
    a, b = measured.cell("rsft", "unseen"), measured.cell("full", "unseen")
    assert a is not None and b is not None
    found = difference(a, b)
    assert found is not None
    assert (found.won, found.lost, found.queries) == (4, 0, 10)  # WWXXRXXXXX, then WWWRWRXXWX
    assert (found.a, found.b, found.mean) == pytest.approx((0.3, 0.7, 0.4))
    assert found.ends[0] <= found.mean <= found.ends[1]


def test_seeds_are_pooled_by_query_and_each_is_shown(folder: Path) -> None:
    make_run(folder / "runs/unseen/full-seed1", "WWXXXXXXXX")
    cell = read_cells(folder, read_plan(folder)).cell("full", "unseen")
    assert cell is not None
    assert dict(cell.by_seed) == {0: 0.7, 1: 0.2}
    assert cell.hit == pytest.approx(0.45)
    assert cell.hits[:3] == (1.0, 1.0, 0.5)
    assert "seeds .700, .200" in text_of(write_ablation(folder, folder / "page.html"))


def test_what_was_not_measured_is_missing_and_nothing_stands_for_it(folder: Path) -> None:
    shutil.rmtree(folder / "runs/unseen/text-rl")
    (folder / "runs/grocery/evidence/metrics.json").unlink()
    plan = read_plan(folder)
    measured = read_cells(folder, plan)
    assert measured.cell("text-rl", "unseen") is None
    assert measured.missing == (
        ("text-rl", "unseen", "not run"),
        ("evidence", "grocery", "evidence is not finished"),
    )
    looking = targets(plan, measured)[0]
    assert looking.met is None
    assert looking.found == "not measured: text-rl on unseen"
    assert "not measured" in text_of(write_ablation(folder, folder / "page.html"))


def test_targets_are_computed(tmp_path: Path) -> None:
    always = {"full": "W" * 12, "text-rl": "X" * 12, "rsft": "WX" * 6, "evidence": "X" * 12}
    folder = make_ablation(tmp_path / "nano", always)
    plan = read_plan(folder)
    looking, economy, untrained, real = targets(plan, read_cells(folder, plan))
    assert looking.met and "the intervals lie apart" in looking.found
    assert economy.met is None and "nothing to lower" in economy.found  # one call a query, before and after
    assert untrained.met and real.met
    shutil.rmtree(folder / "runs")
    for column in ("unseen", "grocery"):
        for row, fates in (always | {"full": "WL" * 6, "evidence": "WX" * 6, "text-rl": "XW" * 6}).items():
            make_run(folder / "runs" / column / row, fates)
    looking, _economy, untrained, real = targets(plan, read_cells(folder, plan))
    assert (looking.met, untrained.met, real.met) == (False, False, True)


def test_columns_of_parts_of_one_run(tmp_path: Path) -> None:
    for row, fates in (("a", "WXWX"), ("b", "WWWX")):
        make_run(tmp_path / "runs/test" / row, fates, groups=("i->i/which", "t->i/print"))
    columns = (
        Column("which", "which", "test", ("i->i/*",)),
        Column("print", "print", "test", ("t->i/*",)),
        Column("all", "all", "test"),
    )
    plan = Plan((Row("a", "A"), Row("b", "B")), columns)
    measured = read_cells(tmp_path, plan)
    assert [measured.cells["b", one].hit for one in ("which", "print", "all")] == [1.0, 0.5, 0.75]
    pairs = [(measured.cells["a", one.id], measured.cells["b", one.id]) for one in columns]
    whole = pooled(pairs)
    assert whole is not None and whole.queries == 4  # each query once, however many columns hold it
    nothing = read_cells(tmp_path, Plan((Row("a", "A"),), (Column("c", "c", "test", ("i->t/*",)),)))
    assert (nothing.cells, nothing.missing) == ({}, (("a", "c", "a has no query in i->t/*"),))


@pytest.mark.parametrize(
    ("break_it", "error", "said"),
    [
        (lambda d: (d / "runs/unseen/full/outcomes.jsonl").write_text("{\n"), RecordError, r"unseen/full/outcomes"),
        (lambda d: (d / "runs/unseen/full/metrics.json").write_text("[]"), RecordError, r"unseen/full/metrics"),
        (lambda d: (d / "runs/unseen/full/traces.jsonl").write_text("{}\n"), RecordError, r"unseen/full/traces"),
        (lambda d: (d / "full/training/train_log.jsonl").write_text('{"loss": 1}\n{}\n'), RecordError, "full/training"),
        (lambda d: shutil.rmtree(d / "runs"), InvalidInput, "no finished run"),
        (lambda d: (d / "ablation.toml").unlink(), MissingPath, "no ablation.toml"),
        (lambda d: (d / "ablation.toml").write_text("rows = 1"), InvalidInput, "ablation.toml"),
        (lambda d: _configure(d / "runs/unseen/full", data="other"), InvalidInput, "unseen/full.* data differs"),
    ],
)
def test_what_is_broken_is_named(folder: Path, break_it: object, error: type[Exception], said: str) -> None:
    break_it(folder)  # type: ignore[operator]
    with pytest.raises(error, match=said):
        write_ablation(folder, folder / "page.html")


def _configure(run: Path, **changed: str) -> None:
    path = run / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (lambda: Plan((Row("a", "A"), Row("a", "B")), (Column("c", "C"),)), "two rows are called 'a'"),
        (lambda: Row("../a", "A"), "cannot be the name of a row"),
        (lambda: Row("a-seed2", "A"), "named like a seed"),
        (lambda: Row("a", "A", training="../elsewhere"), "training folder"),
        (lambda: Row("a", "A", paper="SFT and more"), "no row 'SFT and more'; it has base model"),
        (lambda: Column("c", "C", "a/b"), "folder of runs"),
        (lambda: Plan((), (Column("c", "C"),)), "1 to 100 rows"),
    ],
)
def test_a_plan_that_is_none(plan: object, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        plan()  # type: ignore[operator]


def test_the_command_and_a_runs_report_still(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "ablation", str(folder), "-o", str(folder / "page.html"), "--traces", "2"]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "page.html")
    assert main(["report", str(folder / "runs/unseen/full"), "-o", str(folder / "run.html")]) == 0
    assert "Did looking help?" in (folder / "run.html").read_text()
    (folder / "runs/unseen/full/outcomes.jsonl").write_text("{\n")
    capsys.readouterr()
    assert main(["report", "ablation", str(folder), "-o", str(folder / "page.html")]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "runs/unseen/full/outcomes.jsonl" in said


def test_the_page_runs_nothing_and_hostile_text_stays_text(tmp_path: Path) -> None:
    folder = make_ablation(tmp_path / "nano", more=f"title = '''{HOSTILE}'''\nnote = '''{HOSTILE}'''\n")
    shutil.rmtree(folder / "runs/unseen/full")
    make_run(folder / "runs/unseen/full", "WWWRWRXXWX", words=HOSTILE, name=HOSTILE)
    make_run(folder / "runs/unseen/rsft", "XXXRWRXXWX", words=HOSTILE, name=HOSTILE)
    write_log(folder / "rsft", 5, **{f"reward/{HOSTILE}": 1.0})
    page = write_ablation(folder, folder / "page.html").read_text(encoding="utf-8")
    assert "<script" not in page and "<img" not in page and page.count("</style>") == 1
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page


def test_examples_link_to_both_traces(folder: Path) -> None:
    page = write_ablation(folder, folder / "page.html").read_text(encoding="utf-8")
    links = re.findall(r'href="(page\.files/[^"#]+)#\d+"', page)
    assert {"page.files/unseen-rsft.html", "page.files/unseen-full.html"} <= set(links)
    assert all((folder / link).is_file() for link in links)
    assert "page.files" not in write_ablation(folder, folder / "bare.html", cases=0).read_text()
