from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from flat_world import flat_world
from vretrver.cli import main
from vretrver.datasets import load_task
from vretrver.errors import InvalidInput, MissingPath, PolicyError
from vretrver.policies.scripted import ScriptedPolicy
from vretrver.training.config import read_config, read_resolved
from vretrver.training.filtering import Rules
from vretrver.training.parquet_reading import read_rows
from vretrver.training.sharegpt import read_sharegpt
from vretrver.training.sources import Source
from vretrver.training.synthesis import Synthesis, synthesize
from vretrver.training.teachers import PolicyTeacher
from vretrver.training.trajectories import Recipe, Synthesizer, first_stage
from vretrver.viewer import read_traces

RECIPE = Path(__file__).parents[1] / "runs" / "world.toml"
SIZE = 6


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    flat_world(folder / "datasets" / "world", SIZE)
    return folder


def settings(cache: Path, **more: object) -> Synthesis:
    source = Source("world", split="train", size=SIZE, seed=1, distractors=3)
    given = {"teachers": ("oracle:ledger", "oracle:narrator"), "batch": 4, **more}
    return Synthesis((source,), cache=str(cache), recipe=Recipe("compare_crops", shuffle=True), **given)  # type: ignore[arg-type]


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a data folder but the lock."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def whole(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    synthesize(settings(cache), folder, progress=False)
    return folder


def test_a_data_folder(cache: Path, whole: Path) -> None:
    counts = json.loads((whole / "counts.json").read_text())
    assert (counts["asked"], counts["kept"], counts["dropped"]) == (2 * SIZE, 2 * SIZE, {})
    assert [part["teacher"] for part in counts["parts"]] == ["oracle:ledger", "oracle:narrator"]
    assert sum(counts["tool_turns"].values()) == 2 * SIZE
    examples = list(read_sharegpt(whole / "sft.jsonl"))
    assert len(examples) == 2 * SIZE
    first = examples[0]
    assert first.facts["prompt_hash"] == first.prompt_hash and first.facts["teacher"] == "oracle:ledger"
    assert [example.facts["teacher"] for example in examples[SIZE:]] == ["oracle:narrator"] * SIZE
    ((name, count),) = counts["rows"].items()
    config = read_resolved(whole)
    root = Path(config["data"][0]["root"])
    rows = list(read_rows(whole / name, root))
    assert len(rows) == count == SIZE
    by_topic = {example.facts["topic"]: example for example in reversed(examples[:SIZE])}
    for row in rows:  # the row's prompt is the example's
        assert row.system == by_topic[row.qid].messages[0].text and row.user == by_topic[row.qid].messages[1].text
        assert [at + 1 for at in row.relevant] == by_topic[row.qid].facts["relevant"]
    assert len(load_task("released", whole / name, images=root).topics) == SIZE
    shown = read_traces(whole / "traces.jsonl")
    assert len(shown) == 2 * len({example.facts["group"] for example in examples}) and shown[0].traces[0].turns


@pytest.mark.parametrize("share", [0.0, 0.3, 0.97, 1.0])
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(
    cache: Path, whole: Path, tmp_path: Path, share: float
) -> None:
    """And to the same with two threads."""
    torn = tmp_path / "torn"
    journal = (whole / "journal.jsonl").read_bytes()
    torn.mkdir()
    (torn / "config.json").write_bytes((whole / "config.json").read_bytes())
    (torn / "journal.jsonl").write_bytes(journal[: int(len(journal) * share)])
    for path in (whole / "images").rglob("*.jpg"):  # pictures are written before the line that names them
        if path.name.encode() in journal[: int(len(journal) * share)]:
            place = torn / path.relative_to(whole)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    synthesize(settings(cache, workers=2), torn, progress=False)
    ours, theirs = content(torn), content(whole)
    assert ours.pop("config.json") and theirs.pop("config.json") and ours == theirs


def test_a_folder_of_other_settings_is_refused(cache: Path, whole: Path) -> None:
    with pytest.raises(InvalidInput, match="made with other settings: seed was 0"):
        synthesize(settings(cache, seed=1), whole, progress=False)


def test_another_sample_tells_the_same_otherwise(cache: Path, tmp_path: Path) -> None:
    synthesize(settings(cache, teachers=("oracle:narrator",), samples=2), tmp_path, progress=False)
    examples = list(read_sharegpt(tmp_path / "sft.jsonl"))
    assert [example.facts["seed"] for example in examples] == [0] * SIZE + [1] * SIZE
    for first, second in zip(examples[:SIZE], examples[SIZE:], strict=True):
        assert first.facts["topic"] == second.facts["topic"] and first.messages[2] != second.messages[2]


def test_dropped_ones_are_counted_by_reason(cache: Path, tmp_path: Path) -> None:
    counts = synthesize(settings(cache, teachers=("blind",)), tmp_path, progress=False)
    assert (counts["kept"], counts["dropped"]) == (0, {"unsettled": SIZE})
    assert (tmp_path / "sft.jsonl").read_bytes() == b""
    assert len(list(read_rows(next((tmp_path / "rl").iterdir()), check=False))) == SIZE  # windows are kept all the same


def test_which_topics(cache: Path) -> None:
    def chosen(**more: object) -> list[str]:
        source = Source("world", split="train", size=SIZE, seed=1, distractors=3, **more)  # type: ignore[arg-type]
        return [topic.group for topic in source.load(cache).topics]

    assert len(chosen()) == SIZE
    only = chosen(groups=("t->i/*",))  # the world draws as many of these alone
    assert len(only) == SIZE and all(one.startswith("t->i/") for one in only)
    assert chosen(limit=2) == [chosen()[0], chosen()[SIZE // 2]]
    with pytest.raises(InvalidInput, match=r"no group .text.; it has t->i/which"):
        chosen(groups=("text",))


def test_missing_pictures_are_an_error_or_left_out(tmp_path: Path) -> None:
    task = flat_world(tmp_path / "datasets" / "world", 4)
    assert task.root
    # The world draws again what is missing; so the task is handed over as somebody's own.
    own = tmp_path / "own"
    own.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (own / name).write_bytes((task.root / "000000-c0.jpg").read_bytes())
    documents = [{"id": name, "image": f"{name}.jpg"} for name in "abc"]
    queries = [{"id": "q", "text": "grey", "relevant": ["a"]}, {"id": "r", "text": "grey", "relevant": ["c"]}]
    for file, records in (("documents", documents), ("queries", queries)):
        (own / f"{file}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    with pytest.raises(MissingPath, match=r"1 pictures of .* are missing, such as"):
        Source("jsonl", str(own)).load(tmp_path)
    assert len(Source("jsonl", str(own), allow_missing=True).load(tmp_path).pool) == 2


def test_a_teacher_that_fails_again_and_again_ends_the_work(cache: Path) -> None:
    task = Source("world", split="train", size=SIZE, seed=1, distractors=3).load(cache)
    work = Synthesizer(task, PolicyTeacher(ScriptedPolicy([])), Recipe(), Rules())
    assert {attempt.faults[:2] for attempt in work.attempts(task.topics)} == {("no answer", "format")}
    with pytest.raises(PolicyError, match="the teacher scripted failed on 16 windows in a row"):
        for _ in range(2):
            work.attempts(task.topics)


def test_a_gallery_that_nobody_ranked_says_nothing(cache: Path) -> None:
    task = Source("world", split="train", size=SIZE, seed=1, distractors=3).load(cache)
    for ranked, scores in ((False, [0.0] * 4), (True, [1.0, 0.5, 1 / 3, 0.25])):
        (found,) = first_stage(replace(task, given_order=ranked), Recipe()).search(task.topics[:1], 4)
        assert [one.score for one in found] == scores
        assert tuple(one.document.id for one in found) == task.topics[0].candidates
    without = replace(task, topics=(replace(task.topics[0], candidates=None),))
    with pytest.raises(InvalidInput, match="has no gallery; set coarse to hybrid, vector or bm25"):
        first_stage(without, Recipe(coarse="given"))


def test_settings_that_cannot_be() -> None:
    with pytest.raises(InvalidInput, match="name at least one task"):
        Synthesis(())
    with pytest.raises(InvalidInput, match="window is 1; it must be at least 2"):
        Recipe(window=1)
    with pytest.raises(InvalidInput, match="unknown tool"):
        Recipe(tools="hammer")


def test_the_command(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert read_config(RECIPE, Synthesis).rules == Rules(looks=1)
    about = ["--set", f"tasks.0.size={SIZE}", "--set", f"cache={cache}", "--set", "recipe.tools=compare"]
    command = ["train", "synthesize", str(RECIPE), "-o", str(tmp_path / "data"), *about]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert f"world, oracle:ledger: {SIZE} of {SIZE} kept\n" in out and f"{2 * SIZE} examples with" in out
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == 2 * SIZE
    assert main([*command, "--set", "sede=1"]) == 1
    assert capsys.readouterr().err == f"vretrver: {RECIPE}: unknown key 'sede'; did you mean 'seed'?\n"


@pytest.mark.parametrize("command", [["train"], ["train", "synthesise"], ["train", "synthesize", "a.toml"]])
def test_a_command_that_is_none_is_misuse(command: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(command)
    assert stopped.value.code == 2
