"""The report as a file: what it holds, what it refuses to run, and what becomes of hostile run folders."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from run_folders import make_run
from test_viewer import HOSTILE, embedded
from vretrver.errors import InvalidInput, RecordError, StorageError
from vretrver.report import paper, read_run, write_report
from vretrver.report.cases import choose
from vretrver.report.page import file_names_of, names_of
from vretrver.report.trace_page import read_chosen

ALLOWED = {"http://www.w3.org/2000/svg"}


class Tags(HTMLParser):
    """Every tag with its attributes, and the text between."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


def written(folder: Path, *runs: Path, **options: Any) -> tuple[str, Tags]:
    page = write_report(runs, folder / "report.html", **options).read_text("ascii")
    return page, Tags(page)


def edit(folder: Path, name: str, **changes: Any) -> None:
    record = json.loads((folder / name).read_text()) | changes
    (folder / name).write_text(json.dumps(record))


def test_a_report_tells_what_happened(tmp_path: Path) -> None:
    run = make_run(tmp_path / "grocery", "WWRRRXLME", groups=("small", "large"), shuffles=2)
    _page, tags = written(tmp_path, run)
    for said in (
        "9 queries, each text or pictures, over 21,551 items.",
        "first for 50.0 % before looking and for 62.5 % after",
        "Won by reranking: 2", "Lost by reranking: 1", "That settles it.", "Neither: 5", "small", "large",
        "69.7 on 16 cells", "2 / 5 / 1", "gone: a red kite", "Kendall's τ", "arXiv 2602.06034", "ECE",
    ):  # fmt: skip
        assert said in tags.text, said
    titles = [tags.text.count(f"\n{title}\n") for title in ("By part", "Order stability", "Errors", "Cost")]
    assert titles == [2, 2, 2, 2]  # in the contents, and over the section
    assert "Side by side" not in tags.text and "Robustness" not in tags.text  # there is one run


def test_queries_won_and_lost_link_to_their_traces(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "WXLR")
    _page, tags = written(tmp_path, run)
    links = [given["href"] for tag, given in tags.found if tag == "a" and "files" in (given.get("href") or "")]
    assert links == [f"report.files/run.html#{n}" for n in (1, 2, 3, 4)]
    records = embedded(tmp_path / "report.files" / "run.html")["records"]
    assert [record["query"]["text"] for record in records] == [f"a red kite {n}" for n in (2, 0, 1, 3)]
    assert all("topic" not in record and "originals" not in record for record in records)
    picture = next(iter(records[0]["pictures"].values()))
    assert (picture["width"], picture["height"]) == (320, 240)
    assert [given["aria-label"] for tag, given in tags.found if given.get("class") == "thumb"][:3] == [
        "First before: a red kite, picture 0", "First after: a red kite, picture 1",
        "First before: a red kite, picture 0",
    ]  # fmt: skip


def test_a_picture_is_in_the_page_once(tmp_path: Path) -> None:
    _page, tags = written(tmp_path, make_run(tmp_path / "run", "WWWWLLLL"))
    names = [given["id"] for tag, given in tags.found if tag == "symbol"]
    used = {given["href"] for tag, given in tags.found if tag == "use"}
    assert len(names) == len(set(names)) <= 5
    assert used == {f"#{name}" for name in names}


def test_pictures_that_are_gone_or_unwanted_are_not_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "WL")
    page, _tags = written(tmp_path, run, pictures=False)
    assert "data:image" not in page
    assert all(not one["pictures"] for one in embedded(tmp_path / "report.files" / "run.html")["records"])
    for picture in (tmp_path / "run-pictures").iterdir():
        picture.write_bytes(b"no picture")
    page, tags = written(tmp_path, run)
    assert "data:image" not in page
    assert "Won by reranking: 1" in tags.text


def test_without_traces_the_report_still_shows_the_queries(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "WL")
    (run / "traces.jsonl").unlink()
    _page, tags = written(tmp_path, run)
    assert "See how it looked" not in tags.text
    assert "place 2 → 1, confidence 55 %" in tags.text
    assert not (tmp_path / "report.files").exists()


def test_traces_of_another_run_are_noticed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "WLE")
    lines = (run / "traces.jsonl").read_text().splitlines()
    (run / "traces.jsonl").write_text("\n".join(reversed(lines)) + "\n")
    with pytest.raises(RecordError, match="line 1 is of topic 'q-1', where"):
        write_report([run], tmp_path / "report.html")


def test_a_line_belongs_to_the_topics_that_could_be_asked(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "run", "EWEL", pictures=False))
    found = read_chosen(run, {"q-3"})
    assert [ranking.query.text for _record, ranking in found.values()] == ["a red kite 3"]


def test_the_page_runs_no_script_and_loads_nothing(tmp_path: Path) -> None:
    page, tags = written(tmp_path, make_run(tmp_path / "run", "WLRX"))
    names = [tag for tag, _given in tags.found]
    assert not {"script", "iframe", "object", "link", "base", "form"} & set(names)
    policy = next(given["content"] for tag, given in tags.found if "Content-Security" in str(given.get("http-equiv")))
    style = re.search(r"<style>(.*?)</style>", page, re.S)
    assert policy and style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy and "script-src" not in policy and "default-src 'none'" in policy
    for _tag, given in tags.found:
        assert "style" not in given  # the policy would refuse it
        for name in ("href", "src", "xlink:href"):
            value = given.get(name) or "#"
            assert value.startswith(("#", "data:image/jpeg;base64,", "report.files/")), value
    assert set(re.findall(r"https?://[^\s\"'<]+", page)) <= ALLOWED


def test_hostile_run_folders_stay_text(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run \"><img src=x onerror=1>.js'", "WLRXME", words=HOSTILE, name=HOSTILE, groups=(HOSTILE, "b"),
        config={"policy": HOSTILE, "embedder": HOSTILE, "tools": [HOSTILE], HOSTILE: HOSTILE},
    )  # fmt: skip
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["looking"] |= {
        "tools": {HOSTILE: 3, "x": HOSTILE},
        "stops": {HOSTILE: 1},
        "by_calls": {HOSTILE: {"n": HOSTILE}},
    }
    edit(run, "metrics.json", title=HOSTILE, headline=HOSTILE, looking=metrics["looking"], split=HOSTILE, n=HOSTILE)
    other = make_run(tmp_path / "other", "WLRXME", config={"split": HOSTILE, HOSTILE: 1})
    edit(other, "metrics.json", headline=HOSTILE)
    page, tags = written(tmp_path, run, other)
    plain_page, _plain = written(tmp_path, make_run(tmp_path / "plain", "WLRXME"))
    assert page.count("<script") == plain_page.count("<script") == 0
    assert page.count("<style") == page.count("</style") == 1
    assert not any(tag == "img" or any(name.startswith("on") for name in given) for tag, given in tags.found)
    assert "<img src=x onerror=alert(1)>" in tags.text  # there to be read
    beside = [path.name for path in (tmp_path / "report.files").iterdir()]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+\.html", name) for name in beside)
    for path in (tmp_path / "report.files").iterdir():
        assert path.read_text("utf-8").count("<script") == 2


@pytest.mark.parametrize("odd", [
    {"calibration": [1]}, {"calibration": {"ece": "x", "bins": [5, {"low": 0}]}}, {"groups": [1]}, {"groups": {"a": 7}},
    {"looking": 3}, {"looking": {"by_calls": {"1": None}, "tools": [1]}}, {"usage": []}, {"errors": "no"},
    {"errors": [[1]]}, {"interval": {"difference": {"hit@1": [None, "x"]}}}, {"stability": {"hit@1": "x"}},
    {"stability": True}, {"wins": "x", "sign_p": [], "ceiling": {}}, {"k": 10**400}, {"title": None}, {"config": 5},
    {"coarse": {"hit@1": []}}, {"n": -1e308, "wins": 1e308},
])  # fmt: skip
def test_odd_metrics_leave_a_gap_and_no_fault(tmp_path: Path, odd: dict[str, Any]) -> None:
    run = make_run(tmp_path / "run", "WLRX", pictures=False, groups=("a", "b"))
    edit(run, "metrics.json", **odd)
    _page, tags = written(tmp_path, run)
    assert "Did looking help?" in tags.text


def test_answers_that_are_not_public(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "WLRX", pictures=False)
    unknown = ("coarse", "reranked", "ceiling", "wins", "ties", "losses", "sign_p", "interval", "calibration")
    edit(run, "metrics.json", judged=False, **dict.fromkeys(unknown))
    _page, tags = written(tmp_path, run)
    assert "The right answers are not public, so nothing could be measured here." in tags.text


def test_runs_of_one_task_stand_side_by_side(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / "all", "RRXXXX", pictures=False),
        make_run(tmp_path / "off", "RRXXWW", pictures=False, config={"tools": [], "policy_fingerprint": "x"}),
        make_run(tmp_path / "blur", "RRXXXM", pictures=False, config={"degrade": "blur=2", "degrade_on": "queries"}),
        make_run(tmp_path / "else", "RW", pictures=False, config={"task": "circo", "data": "c"}),
    ]
    _page, tags = written(tmp_path, *runs)
    part = tags.text[tags.text.rindex("\nSide by side\n") : tags.text.rindex("\nRobustness\n")].split("\n")
    names = ("tools", "policy_fingerprint", "degrade", "degrade_on", "planner", "embedder")
    assert [name in part for name in names] == [True, True, True, True, False, False]
    assert "+16.7 points" in part and "2 / 0" in part  # two queries of six, each half a reciprocal rank better
    assert "else" not in part
    assert "Blur on query pictures, mbeir/cirr_task7" in tags.text


def test_cells_of_mbeir_are_averaged_where_nothing_else_differs(tmp_path: Path) -> None:
    cells = {"mbeir/cirr_task7": "RR", "mbeir/oven_task6": "RX", "mbeir/grocery_task4": "XX"}
    runs = [make_run(tmp_path / task[6:], plan, pictures=False, config={"task": task}) for task, plan in cells.items()]
    _page, tags = written(tmp_path, *runs)
    # Mean reciprocal ranks of 1 and (1 + 1/2) / 2; grocery is no cell of M-BEIR.
    assert "average over 2 of 16 cells (cirr_task7 and runs alike): 87.5, cirr_task7: 100.0 (mrr@10)" in tags.text
    other = make_run(tmp_path / "other", "RX", pictures=False, config={"task": "mbeir/oven_task6", "tools": []})
    _page, tags = written(tmp_path, runs[0], other)
    assert "average over" not in tags.text


def test_every_element_is_closed_where_it_should_be(tmp_path: Path) -> None:
    class Nesting(Tags):
        def __init__(self, page: str) -> None:
            self.open: list[str] = []
            super().__init__(page)

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.open += [] if tag in ("meta", "br", "img") else [tag]

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    page, tags = written(tmp_path, make_run(tmp_path / "a", "WLRXME"), make_run(tmp_path / "b", "WLRXME"))
    assert Nesting(page).open == []
    ids = [given["id"] for _tag, given in tags.found if "id" in given]
    assert len(ids) == len(set(ids))


def test_two_folders_of_one_name_stay_apart(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / side / "run", "W") for side in ("a", "b")]
    assert list(names_of([read_run(run) for run in runs]).values()) == ["run", "run (2)"]
    assert file_names_of(["run", "Run", "a b", "a_20b", "", "...", "é" * 99]) == [
        "run.html", "Run-2.html", "a_20b.html", "a_20b-2.html", "run-3.html", "run-4.html", "_e9" * 26 + "_e.html",
    ]  # fmt: skip
    written(tmp_path, *runs)
    assert len(list((tmp_path / "report.files").iterdir())) == 2
    once = read_run(runs[0])
    page = write_report([once, once], tmp_path / "once.html").read_text("ascii")
    assert "Retrieval report: run<" in page


def test_lost_and_won_queries_come_first(tmp_path: Path) -> None:
    outcomes = read_run(make_run(tmp_path / "run", "W" * 6 + "L" * 3 + "RXME" * 3, pictures=False)).outcomes
    assert [one.change for one in choose(outcomes, 4)] == ["lost"] * 2 + ["won"] * 2
    assert [one.change for one in choose(outcomes, 8)] == ["lost"] * 3 + ["won"] * 5
    assert [one.change for one in choose(outcomes, 12)] == ["lost"] * 3 + ["won"] * 6 + ["tied"] * 3
    assert [one.first_after for one in choose(outcomes, 12)][-3:] == [2, 2, 2]  # found and not first: the telling ties
    assert len(choose(outcomes, 99)) == 18
    assert choose(outcomes, 0) == []


def test_what_cannot_be_written_or_asked(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "W")
    for runs, traces in (([], 5), ([run], -1), ([run] * 201, 5)):
        with pytest.raises(InvalidInput):
            write_report(runs, tmp_path / "report.html", traces)
    (tmp_path / "taken.files").write_text("a file")
    with pytest.raises(StorageError, match=r"taken\.files"):
        write_report([run], tmp_path / "taken.html")
    assert not (tmp_path / "taken.html").exists()


def test_a_name_with_odd_characters_is_linked_to(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a b#c?", "W")
    page = write_report([run], tmp_path / "re port#1.html").read_text()
    link = re.search(r'href="([^"]*\.html#1)"', page)
    assert link and html.unescape(link[1]) == "re%20port%231.files/a_20b_23c_3f.html#1"
    assert (tmp_path / "re port#1.files" / "a_20b_23c_3f.html").is_file()


@pytest.mark.parametrize(("task", "percent"), [
    ("mbeir/cirr_task7", 69.7), ("mbeir/grocery_task4", None), ("circo", 48.2), ("genecis/focus_attribute", 30.7),
    ("visdial", 75.1), ("vist", 31.2), ("mtfiq", 68.3), ("world", None), ("mbeir", None), ("", None),
])  # fmt: skip
def test_the_papers_figure_stands_beside_its_own_task_only(task: str, percent: float | None) -> None:
    figure = paper.beside(task)
    assert (figure.percent if figure else None) == percent
    assert len(paper.CELLS) == len(set(paper.CELLS)) == 16
