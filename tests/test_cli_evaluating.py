"""eval, merge, report and compare on a benchmark of a user's own: the commands as a newcomer types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import Paint
from vretrver.calibration import Calibration, Logistic
from vretrver.cli import main

Capture = pytest.CaptureFixture[str]
COLOURS = ("red", "green", "blue", "yellow", "black", "orange")


@pytest.fixture
def own(tmp_path: Path, paint: Paint) -> Path:
    """Six cards asked for by picture; a query's answer is the card of its colour."""
    root = tmp_path / "own"
    for colour in COLOURS:
        paint(f"own/cards/{colour}.png", colour, (64, 48))
        paint(f"own/asked/{colour}.png", colour, (48, 64))
    documents = [{"id": f"card-{c}", "text": f"a plain {c} card", "image": f"cards/{c}.png"} for c in COLOURS]
    queries = [
        {"id": f"ask-{c}", "text": f"the {c} card", "image": f"asked/{c}.png", "relevant": [f"card-{c}"]}
        for c in COLOURS
    ]
    for name, rows in (("documents", documents), ("queries", queries)):
        (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


@pytest.fixture
def run(own: Path, tmp_path: Path, capsys: Capture) -> Any:
    def go(name: str, *more: str) -> dict[str, Any]:
        command = ["eval", "jsonl", "--root", str(own), "-o", str(tmp_path / name), "--cache", str(tmp_path / "cache")]
        assert main([*command, "--no-ocr", "--top-k", "4", "--json", *more]) == 0, capsys.readouterr().err
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return go


def test_a_run_and_its_files(run: Any, tmp_path: Path) -> None:
    metrics = run("run")
    assert (metrics["n"], metrics["k"]) == (6, 4)
    assert metrics["coarse"]["hit@1"] == metrics["reranked"]["hit@1"] == 1.0
    assert metrics["config"]["policy"] == "evidence"
    kept = {path.name for path in (tmp_path / "run").iterdir()} - {"journal.jsonl.lock"}
    assert kept == {
        "config.json", "journal.jsonl", "outcomes.jsonl", "metrics.json", "timing.json", "traces.jsonl", "run.trec",
        "coarse.trec", "qrels.trec",
    }  # fmt: skip
    assert json.loads((tmp_path / "run/metrics.json").read_text()) == metrics
    view, page = (
        ["view", str(tmp_path / "run/traces.jsonl"), "-o", str(tmp_path / "traces.html")],
        tmp_path / "traces.html",
    )
    assert main(view) == 0
    assert "data:image/jpeg" not in page.read_text(encoding="utf-8")
    assert main([*view, "--pictures"]) == 0
    assert "data:image/jpeg" in page.read_text(encoding="utf-8")


def test_shards_topics_and_limits(run: Any, tmp_path: Path, capsys: Capture) -> None:
    whole = run("whole", "--batch", "2")
    for number in ("1/2", "2/2"):
        run(f"part{number[0]}", "--batch", "2", "--shard", number)
    assert main(["merge", str(tmp_path / "part1"), str(tmp_path / "part2"), "-o", str(tmp_path / "all"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == whole
    (tmp_path / "ids").write_text("ask-red\nask-blue\n")
    some = run("some", "--topics", str(tmp_path / "ids"))
    assert some["n"] == 2
    assert some["config"]["facts"]["topics"] == "2 of 6"
    assert run("few", "--limit", "3")["n"] == 3


def test_ablations_are_flags(run: Any) -> None:
    assert run("coarse", "--policy", "none")["usage"]["policy_calls"]["total"] == 0
    without = run("without", "--tools", "none")
    assert without["usage"]["tool_calls"]["total"] == 0
    assert without["config"]["tools"] == []
    assert run("vector", "--coarse", "vector", "--policy", "none")["config"]["coarse"] == "vector"
    assert run("words", "--coarse", "bm25", "--policy", "none")["coarse"]["hit@1"] == 1.0
    assert run("planned", "--planner", "sliding:2,1")["config"]["planner"] == "sliding:2,1"
    assert run("small", "--window-tokens", "4")["config"]["window_pixels"] == 3136


def test_how_sure_a_run_is_to_be_is_recorded(run: Any, tmp_path: Path) -> None:
    """Of the six topics the ranking's own certainty decides which are looked at; all of them may be skipped."""
    plain = run("plain", "--policy", "none")["config"]
    assert (plain["second_look"], plain["fusion"], plain["gate"]) == (None, 0.0, None)
    twice = run("twice", "--second-look", "reverse", "--fusion", "0.25")
    assert (twice["config"]["second_look"], twice["config"]["fusion"]) == ("reverse", 0.25)
    assert twice["usage"]["windows"]["total"] == 12 and twice["looking"]["agreement"] is not None
    own = tmp_path / "own.json"
    own.write_text(json.dumps(Calibration({"*": Logistic()}, Logistic(), 0.0).to_record()))
    gated = run("gated", "--gate", "0.5", "--calibration", str(own))
    assert gated["looking"]["skipped"] == 1.0 and gated["usage"]["policy_calls"]["total"] == 0
    assert len({plain["hash"], twice["config"]["hash"], gated["config"]["hash"]}) == 3


def test_names_with_blanks_come_through_trec_files_and_back(run: Any, own: Path, tmp_path: Path) -> None:
    for name in ("documents", "queries"):
        path = own / f"{name}.jsonl"
        path.write_text(path.read_text().replace('"card-red"', '"card of red"').replace('"ask-red"', '"ask for red"'))
    first = run("run", "--policy", "none")
    again = run("again", "--policy", "none", "--coarse", f"run:{tmp_path / 'run/coarse.trec'}")
    assert again["coarse"] == first["coarse"]
    assert first["coarse"]["hit@1"] == 1.0


def test_corruption_is_recorded_and_changes_the_pictures(run: Any) -> None:
    blurred = run("blurred", "--degrade", "lowres=8,noise=0.3", "--degrade-on", "both", "--policy", "none")
    assert blurred["config"]["degrade"] == "lowres=8,noise=0.3"
    assert blurred["config"]["degrade_on"] == "both"
    assert blurred["config"]["data"] == run("sound", "--policy", "none")["config"]["data"]


def test_report_and_compare(run: Any, tmp_path: Path, capsys: Capture) -> None:
    run("a", "--policy", "none")
    run("b")
    runs = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert main(["report", *runs, "-o", str(tmp_path / "report.html")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "ask-red" in page or "the red card" in page
    assert main(["compare", *runs]) == 0
    assert "difference" in capsys.readouterr().out
    assert main(["compare", *runs, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_what_people_see(own: Path, tmp_path: Path, capsys: Capture) -> None:
    command = ["eval", "jsonl", "--root", str(own), "-o", str(tmp_path / "run"), "--cache", str(tmp_path / "cache")]
    assert main([*command, "--no-ocr", "--top-k", "4"]) == 0
    printed = capsys.readouterr().out
    assert "6 queries, each a picture with text, over 6 items" in printed
    assert "an answer is among the 4 candidates" in printed
    assert "vretrver report" in printed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["eval", "imagenet", "-o", "OUT"], "unknown dataset 'imagenet'; choose from mbeir, circo"),
        (["eval", "jsonl", "-o", "OUT"], "jsonl needs --root"),
        (["eval", "jsonl", "--root", "OWN", "--size", "5", "-o", "OUT"], "jsonl takes no size"),
        (["eval", "jsonl", "--root", "NOWHERE", "-o", "OUT"], "NOWHERE"),
        (["eval", "jsonl", "--root", "OWN", "--degrade", "melt=3", "-o", "OUT"], "melt"),
        (["eval", "jsonl", "--root", "OWN", "--shard", "9/3", "-o", "OUT"], "a shard is i/n"),
        (["eval", "jsonl", "--root", "OWN", "--coarse", "run:NOWHERE", "-o", "OUT"], "NOWHERE"),
        (["eval", "jsonl", "--root", "OWN", "--topics", "NOWHERE", "-o", "OUT"], "no such file of topic ids"),
        (["eval", "jsonl", "--root", "OWN", "--policy", "magic", "-o", "OUT"], "unknown policy 'magic'"),
        (["report", "NOWHERE", "-o", "OUT"], "NOWHERE"),
        (["compare", "NOWHERE", "NOWHERE"], "NOWHERE"),
        (["merge", "NOWHERE", "-o", "OUT"], "is no run folder"),
    ],
)
def test_misuse_is_one_line_that_says_what_to_do(
    own: Path, tmp_path: Path, capsys: Capture, arguments: list[str], says: str
) -> None:
    places = {"OWN": str(own), "OUT": str(tmp_path / "out"), "NOWHERE": str(tmp_path / "NOWHERE")}
    given = [places.get(one, one.replace("NOWHERE", places["NOWHERE"])) for one in arguments]
    more = ["--cache", str(tmp_path / "cache"), "--no-ocr"] if given[0] == "eval" else []
    assert main([*given, *more]) == 1
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1, error
