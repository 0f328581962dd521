"""Questions from end to end: fixtures in, passages found and ranked, a fake endpoint answers, metrics exact."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import kvqa_data
from conftest import MeanColour
from vretrver.answering import Writer
from vretrver.cli import main
from vretrver.coarse import coarse_ranking
from vretrver.datasets import load_task
from vretrver.errors import InvalidInput, PolicyError, RecordError
from vretrver.evaluation.evaluate import evaluate
from vretrver.evaluation.folder import outcomes_of
from vretrver.evaluation.marking import MAX_ANSWER
from vretrver.evaluation.questions import Questions
from vretrver.evaluation.recording import RecordedPolicy
from vretrver.evaluation.settings import Settings
from vretrver.messages import Completion, Conversation
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.report import compare, read_run, write_report
from vretrver.testing import FakeEndpoint, Reading
from vretrver.types import Candidate, Document, Query
from vretrver.usage import Tokens

PRICES = "prompt=1,completion=2"


def source(text: str, words: str) -> str:
    """The number of the source whose text begins so."""
    found = re.search(rf"\[(\d+)\][^\[]*text: {re.escape(words)}", text)
    assert found, text
    return found[1]


def answered(text: str) -> str:
    """The road to the harbour is right and cited; the vegetable is right and cites the wrong passage; the sport is half
    right and cites nothing."""
    if "Where does this bus go?" in text:
        return f"<think>It says so.</think><answer>The harbour [{source(text, 'The harbour')}].</answer>"
    if "Which vegetable" in text:
        return f"<answer>leek [{source(text, 'Racing')}]</answer>"
    return "<answer>Motocross</answer>"


@pytest.fixture
def endpoint() -> Any:
    def reply(asked: Reading) -> str | None:
        return answered(asked.text) if "Sources:" in asked.text else None

    with FakeEndpoint(reply=reply) as server:
        yield server


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    root = kvqa_data.okvqa(tmp_path / "okvqa")

    def go(name: str, dataset: str = "okvqa", place: Path = root, **options: Any) -> dict[str, Any]:
        settings = {"k": 4, "ocr": False, "coarse": "bm25", "batch": 2, **options.pop("settings", {})}
        return evaluate(
            load_task(dataset, place),
            tmp_path / name,
            replace(Settings(), **settings),
            embedder=MeanColour(),
            policy=options.pop("policy", None),
            cache=tmp_path / "cache",
            progress=False,
            **options,
        )

    return go


def test_okvqa_is_found_answered_and_marked(run: Run, tmp_path: Path, endpoint: FakeEndpoint) -> None:
    metrics = run("run", answers=endpoint.policy, settings={"prices": PRICES})
    assert endpoint.counters.calls == 3
    outcomes = {one.topic: one for one in outcomes_of(tmp_path / "run")}
    # "ride" is in "rides" and "leek" in "Leeks": parts of words; the harbour is a word of its own
    assert [dict(one.bearing or {}) for one in outcomes.values()] == [{"0": 1}, {"3": 1}, {"1": 2}]
    # 8 of 10 said harbor, 2 harbour: 8 see two others, 2 see one. 2 of 10 said motocross: the same. All 10 said leek.
    soft = (8 * (2 / 3) + 2 * (1 / 3)) / 10
    scores = [one.answered.score for one in outcomes.values() if one.answered]
    assert scores == pytest.approx([soft, 1.0, soft])
    told = metrics["answers"]
    assert (told["n"], told["n_marked"], told["errors"]) == (3, 3, 0)
    assert told["accuracy"] == pytest.approx((2 * soft + 1) / 3, abs=1e-6)
    assert told["grounded"] == pytest.approx(soft / 3, abs=1e-6)  # the leek cites what does not name it
    assert (told["borne_out"], told["answered"]) == (pytest.approx(1 / 3, abs=1e-6), 1.0)
    assert told["cited"] == pytest.approx(2 / 3, abs=1e-6)
    assert told["groups"]["Cooking and Food"]["accuracy"] == 1.0
    assert told["usage"]["policy_calls"] == {"total": 3, "mean": 1.0}
    assert told["usage"]["money"]["total"] > 0
    assert metrics["usage"]["policy_calls"]["total"] == 0  # nobody ranked
    sent = json.loads((tmp_path / "run/vqa_results.json").read_text())
    assert sent[2] == {"question_id": 3, "answer": "the harbour"}
    texts = [one.answered.text for one in outcomes.values() if one.answered]
    assert texts == ["Motocross", "leek", "The harbour."]


def test_the_passages_are_measured_before_and_after(run: Run, tmp_path: Path, endpoint: FakeEndpoint) -> None:
    last_first = ScriptedPolicy(["<answer>[4, 3, 2, 1]</answer>"])
    metrics = run("run", policy=last_first, settings={"tools": "none"}, answers=endpoint.policy)
    outcomes = outcomes_of(tmp_path / "run")
    places = [one.coarse.index(next(iter(one.bearing or {}))) + 1 for one in outcomes]
    before, after = (sum(place == 1 for place in at) / 3 for at in (places, [5 - place for place in places]))
    pseudo = metrics["pseudo"]
    assert [pseudo[stage]["pr@1"] for stage in ("coarse", "reranked")] == pytest.approx([before, after], abs=1e-6)
    assert before != after
    assert pseudo["coarse"]["pr@5"] == pseudo["reranked"]["pr@5"] == pseudo["ceiling"] == 1.0
    assert pseudo["coarse"]["pr@5 whole words"] == pytest.approx(1 / 3, abs=1e-6)
    assert pseudo["interval"]["difference"]["pr@5"] == [0.0, 0.0]
    assert metrics["relevant"] == "contains an answer"
    assert (metrics["headline"], metrics["coarse"]["pr@5"], metrics["coarse"]["hit@5"]) == ("pr@5", 1.0, 1.0)
    assert "recall@4" not in metrics["coarse"]  # how many are relevant, nobody knows
    assert (metrics["judged"], metrics["n_judged"]) == (True, 3)


def files(folder: Path) -> dict[str, bytes]:
    """What a resumed run must give again."""
    names = ("metrics.json", "answers.jsonl", "vqa_results.json", "run.trec", "qrels.trec", "config.json")
    return {name: (folder / name).read_bytes() for name in names}


class Dies(ScriptedPolicy):
    """Answers so many questions and is then interrupted, as by Ctrl-C."""

    def __init__(self, after: int) -> None:
        super().__init__(written)
        self.after = after

    def complete(self, conversations: Any) -> list[Completion]:
        if len(self.seen) >= self.after:
            raise KeyboardInterrupt
        return super().complete(conversations)


def written(conversation: Conversation) -> Completion:
    return Completion(answered(conversation.messages[-1].text), tokens=Tokens(100, 10))


@pytest.mark.parametrize("after", [0, 2])
def test_a_run_that_was_stopped_goes_on_and_pays_no_answer_twice(run: Run, tmp_path: Path, after: int) -> None:
    last_first = ["<answer>[4, 3, 2, 1]</answer>"]
    run("whole", policy=ScriptedPolicy(last_first), answers=ScriptedPolicy(written))
    with pytest.raises(KeyboardInterrupt):
        run("cut", policy=ScriptedPolicy(last_first), answers=Dies(after))
    ranker, writer = ScriptedPolicy(last_first), ScriptedPolicy(written)
    run("cut", policy=ranker, answers=writer)
    assert files(tmp_path / "cut") == files(tmp_path / "whole")
    assert len(writer.seen) == 3 - after
    assert len(ranker.seen) == {0: 1, 2: 0}[after]  # the batch in which it died was ranked, and kept
    run("cut", policy=ranker, answers=writer)
    assert len(writer.seen) == 3 - after


def test_a_model_that_fails_is_an_error_of_its_question_and_one_that_is_down_ends_the_run(
    run: Run, tmp_path: Path
) -> None:
    def fails_once(conversation: Conversation) -> Completion:
        if "Which vegetable" in conversation.messages[-1].text:
            raise ValueError("no such vegetable")
        return written(conversation)

    told = run("run", answers=ScriptedPolicy(fails_once))["answers"]
    assert (told["errors"], told["answered"]) == (1, pytest.approx(2 / 3, abs=1e-6))
    kept = [json.loads(line) for line in (tmp_path / "run/answers.jsonl").read_text().splitlines()]
    assert kept[1]["error"] == "the model failed: ValueError: no such vegetable"
    assert (kept[1]["score"], kept[1]["answer"]) == (0.0, "")

    down = Questions(Writer(ScriptedPolicy([])), RecordedPolicy(ScriptedPolicy([]), None, []), 5)  # type: ignore[arg-type]
    topics = load_task("okvqa", tmp_path / "okvqa").topics
    document = Document("d", "a passage")
    rankings = [coarse_ranking(Query("what?"), [Candidate(document, 1.0, 1)])] * 16
    with pytest.raises(PolicyError, match="failed to answer 16 questions in a row"):
        down.answer([topics[0]] * 16, rankings)


def test_what_cannot_be_answered_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="'evidence' cannot answer in words; give chat:URL#MODEL"):
        run("run", answers="evidence")
    kvqa_data.put_lines(tmp_path / "mine/queries.jsonl", [{"id": "q", "text": "a", "relevant": ["d"]}])
    kvqa_data.put_lines(tmp_path / "mine/documents.jsonl", [{"id": "d", "text": "a"}])
    with pytest.raises(InvalidInput, match="jsonl/mine asks no questions"):
        run("mine-run", "jsonl", tmp_path / "mine", answers="chat:http://127.0.0.1:1/v1#none")


def test_answers_are_bounded_and_a_question_without_sources_is_not_asked(run: Run, tmp_path: Path) -> None:
    endless = ScriptedPolicy([f"<answer>{'leek ' * 2000}</answer>"])
    run("run", answers=endless)
    kept = [json.loads(line) for line in (tmp_path / "run/answers.jsonl").read_text().splitlines()]
    assert {len(one["answer"]) for one in kept} == {MAX_ANSWER}
    system = endless.seen[0].messages[0].text
    assert "in as few words as possible" in system
    assert "one to three sentences" not in system


def test_infoseek_by_what_is_unseen_and_by_kind(run: Run, tmp_path: Path) -> None:
    def reply(conversation: Conversation) -> Completion:
        text = conversation.messages[-1].text
        if "How long" in text:
            return Completion(f"<answer>about 1,300 m [{source(text, 'Golden Gate Bridge')}]</answer>")
        if "When was" in text:
            return Completion("<answer>1940</answer>")
        return Completion(f"<answer>Crow [{source(text, 'Carrion crow')}]</answer>")

    place = kvqa_data.infoseek(tmp_path / "infoseek")
    metrics = run("run", "infoseek", place, answers=ScriptedPolicy(reply), settings={"k": 5})
    told = metrics["answers"]
    assert {name: part["accuracy"] for name, part in told["kinds"].items()} == {
        "String": 1.0, "Numerical": 1.0, "Time": 0.0
    }  # fmt: skip
    assert {name: part["accuracy"] for name, part in told["groups"].items()} == {
        "unseen_entity": 1.0, "unseen_question": 0.5
    }  # fmt: skip
    assert told["combined"] == {"harmonic_mean": pytest.approx(2 / 3, abs=1e-6)}  # of 1 and 1/2
    assert told["accuracy"] == told["grounded"] == pytest.approx(2 / 3, abs=1e-6)
    outcomes = outcomes_of(tmp_path / "run")
    assert [dict(one.bearing or {}) for one in outcomes] == [
        {"Q25394#0.0": 2, "Q25394#0.1": 2, "Q25394#0.2": 2}, {"Q44440#0.0": 2}, {"Q44440#0.0": 2}
    ]  # fmt: skip
    assert not any(one.pseudo for one in outcomes)  # labelled: hit@k is over the entity's article
    assert "relevant" not in metrics
    assert metrics["coarse"]["recall@5"] == 1.0
    sent = [json.loads(line) for line in (tmp_path / "run/predictions.jsonl").read_text().splitlines()]
    assert sent[0] == {"data_id": "infoseek_val_00000000", "prediction": "Crow"}


def test_encyclopedic_vqa_lists_and_hops(run: Run, tmp_path: Path) -> None:
    def reply(conversation: Conversation) -> Completion:
        text = conversation.messages[-1].text
        if "Which colours" in text:
            return Completion(f"<answer>red and white [{source(text, 'Rose')}]</answer>")
        if "Who named" in text:
            return Completion("<answer>none</answer>")
        return Completion(f"<answer>Worms [{source(text, 'Crow. Diet')}]</answer>")

    place = kvqa_data.evqa(tmp_path / "evqa")
    told = run("run", "evqa", place, answers=ScriptedPolicy(reply))["answers"]
    assert {name: (part["n"], part["accuracy"]) for name, part in told["kinds"].items()} == {
        "templated": (2, 1.0), "multi_answer": (1, 1.0), "2_hop": (1, 0.0)
    }  # fmt: skip
    assert (told["combined"], told["no_answer"]) == ({"single_hop": 1.0}, 0.25)
    assert told["grounded"] == 0.75
    sent = [json.loads(line) for line in (tmp_path / "run/evqa_candidates.jsonl").read_text().splitlines()]
    assert sent[1] == {"row": 0, "picture": 1, "candidate": "Worms"}


def test_questions_of_one_s_own(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "mine"
    asked = [{"id": "q1", "text": "When does the bus leave?", "answers": ["At nine", "9:00"]},
             {"id": "q2", "text": "Which soup is served?", "answers": ["leek soup"]}]  # fmt: skip
    kvqa_data.put_lines(place / "queries.jsonl", asked)
    said = [{"id": "a", "text": "The bus leaves at nine."}, {"id": "b", "text": "The soup of the day."}]
    kvqa_data.put_lines(place / "documents.jsonl", said)
    told = run("run", "jsonl", place, answers=ScriptedPolicy(["<answer>At nine! [1]</answer>"]))
    assert told["answers"]["accuracy"] == 0.5
    assert told["pseudo"]["coarse"]["pr@1"] == 0.5
    assert told["relevant"] == "contains an answer"
    assert {"recall@5", "ndcg@10"}.isdisjoint(told["coarse"])
    for spoilt, why in (
        ("nine", 'write a list, even of one: \\["nine"\\]'),
        ([" "], "holds no text"),
        ([1], "must be a text"),
    ):
        kvqa_data.put_lines(place / "queries.jsonl", [{"id": "q1", "text": "When?", "answers": spoilt}])
        with pytest.raises(RecordError, match=why):
            load_task("jsonl", place)


def test_answers_that_nobody_can_mark_are_counted(run: Run, tmp_path: Path) -> None:
    place = kvqa_data.infoseek(tmp_path / "infoseek", "val")
    bare = [{name: one[name] for name in ("data_id", "image_id", "question")} for one in kvqa_data.INFOSEEK]
    kvqa_data.put_lines(place / "infoseek_val.jsonl", bare)
    (place / "infoseek_val_withkb.jsonl").unlink()
    metrics = run("run", "infoseek", place, answers=ScriptedPolicy(["<answer>crow</answer>"]))
    assert (metrics["judged"], metrics["answers"]["n_marked"], metrics["answers"]["accuracy"]) == (False, 0, None)
    assert metrics["answers"]["answered"] == 1.0
    assert "pseudo" not in metrics


def test_the_page_and_the_comparison_tell_of_answers(run: Run, tmp_path: Path) -> None:
    first_only = ScriptedPolicy(["<answer><b>leek</b></answer>"])
    run("a", answers=first_only)
    run("b", answers=ScriptedPolicy(written), settings={"prices": PRICES})
    found = {one.measure: one for one in compare(tmp_path / "a", tmp_path / "b").contrasts}
    assert list(found) == ["pr@5", "hit@1", "accuracy", "grounded"]
    soft = (8 * (2 / 3) + 2 * (1 / 3)) / 10
    assert [found["accuracy"].a, found["accuracy"].b] == pytest.approx([0.0, (2 * soft + 1) / 3])
    assert len(found["accuracy"].won) == 3
    drawn = write_report([tmp_path / "a", tmp_path / "b"], tmp_path / "report.html").read_text()
    page = html.unescape(drawn)
    assert "Questions and answers" in page
    assert "Answered: “The harbour.”, marked .600, citing 1" in page
    assert "<b>leek</b>" not in drawn
    assert "“<b>leek</b>”" in page
    assert "right and borne out by a cited source" in page
    assert read_run(tmp_path / "b").by_topic["3"].answered is not None


def test_a_spoilt_answer_in_a_run_folder_is_named(run: Run, tmp_path: Path) -> None:
    run("run", answers=ScriptedPolicy(written))
    path = tmp_path / "run/outcomes.jsonl"
    lines = path.read_text().splitlines()
    spoilt: dict[str, Any]
    for spoilt in ({"text": 1}, {"score": "high"}, {"cited": [1]}, {"usage": {}}):
        record = json.loads(lines[0])
        record["answered"] |= spoilt
        path.write_text("\n".join([json.dumps(record), *lines[1:]]) + "\n")
        with pytest.raises(RecordError, match=r"outcomes.jsonl line 1: "):
            read_run(tmp_path / "run")


def test_the_command(tmp_path: Path, endpoint: FakeEndpoint, capsys: pytest.CaptureFixture[str]) -> None:
    root = kvqa_data.okvqa(tmp_path / "okvqa")
    out = tmp_path / "run"
    words = ["eval", "okvqa", "--root", str(root), "--coarse", "bm25", "--policy", "none", "--top-k", "4", "--no-ocr",
             "--answers", endpoint.policy, "--sources", "4", "--cache", str(tmp_path / "cache"),
             "-o", str(out)]  # fmt: skip
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "3 questions, answered 1.000, citing 0.667" in said
    assert re.search(r"^accuracy +0\.733 +95 % interval 0\.600 to 1\.000", said, re.MULTILINE)
    config = json.loads((out / "config.json").read_text())
    assert (config["sources"], config["answers"]) == (4, endpoint.policy)
