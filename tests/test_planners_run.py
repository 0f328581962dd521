"""The measurement behind docs/planners.md: the paper's schedule by hand, what is counted, a small run of the whole."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from runs.planners import topics  # noqa: E402
from runs.planners.__main__ import turns  # noqa: E402
from runs.planners.calibrate import fitted  # noqa: E402
from runs.planners.measuring import Ranked, difference, row, summary  # noqa: E402
from runs.planners.ours import Ours  # noqa: E402
from runs.planners.paper import Paper, padded  # noqa: E402
from runs.planners.peers import Peer, PeerFault  # noqa: E402
from runs.planners.table import table, targets  # noqa: E402

from vretrver.testing import FakeEndpoint, Served  # noqa: E402
from vretrver.types import Document, Query  # noqa: E402

Drain = Callable[[], list[Served]]


@contextmanager
def serving(**options: Any) -> Iterator[tuple[FakeEndpoint, Drain]]:
    """An endpoint that ranks without noise and looks whenever it may."""
    heard: list[Served] = []

    def drain() -> list[Served]:
        found = heard[:]
        heard.clear()
        return found

    with FakeEndpoint(topics.perceived, look_share=1.0, on_served=heard.append, **options) as endpoint:
        yield endpoint, drain


def best(topic: topics.Topic, many: int) -> list[int]:
    return sorted(range(topics.K), key=lambda number: -topic.hidden[number])[:many]


def test_a_topic_has_fifty_candidates_and_some_answer() -> None:
    one = topics.topic(7)
    assert sorted(one.order) == list(range(50)) and 1 <= len(one.relevant) <= 3 and one == topics.topic(7)
    worst = min(one.hidden[number] for number in one.relevant)
    assert worst > sorted(one.hidden)[len(one.hidden) // 2]
    assert topics.perceived(one.query, topics.passage(3), None) == one.hidden[3]
    assert topics.perceived("what?", "Passage 3.", None) == 0.0


def test_the_first_stages_chances_mean_what_they_say() -> None:
    found = [topics.topic(2_000_000 + index) for index in range(200)]
    documents = [Document(str(number), topics.passage(number)) for number in range(topics.K)]
    given = [fitted().chances(Query(one.query), topics.candidates(one, documents)) or [] for one in found]
    assert all(len(chances) == topics.K for chances in given)
    assert 0.8 < sum(map(sum, given)) / sum(len(one.relevant) for one in found) < 1.25
    first = [chances[0] for chances in given]
    assert 0.7 < sum(first) / sum(one.order[0] in one.relevant for one in found) < 1.4


def test_the_papers_tokens_by_hand(tmp_path: Path) -> None:
    """Pictures of 280x280 are 100 patches. Four windows of 20, three generations each, all 20 pictures every time:
    12 * 2000. Two of them again in the second and third: 4 * 2 * 200. A crop of the middle half, padded by a tenth on
    each side, is 196x196, 49 patches, in the third: 4 * 49."""
    pictures = topics.pictures(tmp_path, (280, 280))
    with serving(boxes="released", prefix_blocks=0) as (endpoint, drain):
        ranked = Paper(endpoint.url, drain, pictures=pictures, tools=True).rank(topics.topic(0))
    served = [one for step in ranked.steps for one in step]
    assert (ranked.calls, ranked.rounds, [len(step) for step in ranked.steps]) == (12, 4, [1] * 12)
    assert sum(one.image_tokens for one in served) == 12 * 2000 + 4 * 2 * 200 + 4 * 49
    assert [one.images for one in served[:3]] == [20, 22, 23] and sum(one.cached_tokens for one in served) == 0
    with serving(boxes="released") as (endpoint, drain):
        free = Paper(endpoint.url, drain, pictures=pictures).rank(topics.topic(0))
    assert [one.image_tokens for step in free.steps for one in step] == [2000] * 4


def test_a_box_in_shares_and_one_in_pixels() -> None:
    assert padded([0.25, 0.25, 0.75, 0.75], (280, 280)) == (42, 42, 238, 238)
    assert padded([0, 0, 100, 50], (200, 100)) == (0, 0, 120, 60)
    assert padded([1000, 1000, 2000, 2000], (10_000, 10_000)) == (400, 400, 2600, 2600)  # 600 pixels, no tenth


def test_without_noise_every_schedule_finds_the_best() -> None:
    one = topics.topic(3)
    with serving() as (endpoint, drain):
        paper = Paper(endpoint.url, drain).rank(one)
        ours = {name: Ours(endpoint.url, drain, name).rank(one) for name in ("sliding", "merge", "onepass")}
    assert list(paper.order)[:10] == list(ours["sliding"].order)[:10] == best(one, 10)
    assert list(ours["merge"].order)[:5] == best(one, 5)
    counted = {name: (ranked.calls, ranked.rounds) for name, ranked in ours.items()}
    assert counted == {"sliding": (4, 4), "merge": (3, 2), "onepass": (1, 1)}
    assert [len(step) for step in ours["merge"].steps] == [2, 1]
    assert all(sorted(ranked.order) == list(range(50)) for ranked in (paper, *ours.values()))


def test_thumbnails_and_looks_are_counted(tmp_path: Path) -> None:
    """280x280 at up to 25 patches is 140x140; two looks at two whole pictures and one at a crop, as above."""
    pictures = topics.pictures(tmp_path, (280, 280))
    with serving() as (endpoint, drain):
        ours = Ours(endpoint.url, drain, "onepass", pictures=pictures, tool_turns=2, patches=25)
        ranked = ours.rank(topics.topic(0))
    assert [step[0].image_tokens for step in ranked.steps] == [500, 500 + 200, 500 + 200 + 49]
    assert ranked.rounds == 1 and ours.setting == "onepass, pictures of 25 patches, 2 tool turns"


def served(seconds: float) -> Served:
    return Served(100, 40, 30, 5, 1, seconds)


def test_a_row_adds_up_and_parallel_calls_take_as_long_as_the_longest() -> None:
    topic = topics.Topic(0, (0.0,) * 50, (0.0,) * 50, frozenset({4, 9}))
    order = [4, *range(4), *range(5, 50)]  # one answer first, the other tenth
    one = row(topic, Ranked(order, 2, [[served(1.0), served(3.0)], [served(2.0)]], cpu=0.006))
    assert (one["calls"], one["rounds"], one["seconds"]) == (3, 2, 5.0) and one["cpu_ms"] == pytest.approx(2.0)
    assert (one["prompt"], one["cached"], one["uncached"], one["image"], one["completion"]) == (300, 120, 180, 90, 15)
    assert (one["hit@1"], one["hit@5"], one["hit@10"], one["R@5"]) == (1, 1, 1, 0.5)


def rows(found: list[float], calls: float) -> list[dict[str, float]]:
    base = row(topics.topic(0), Ranked(range(50), 1, [[served(1.0)]], 0.0))
    return [{**base, "R@5": value, "calls": calls, "seconds": at} for at, value in enumerate(found, start=1)]


def test_sums_differences_and_the_table() -> None:
    before, after = rows([1.0, 0.0, 1.0, 0.0], 4), rows([1.0, 0.0, 1.0, 1.0], 3)
    told = {"name": "ours", "track": "text", "setting": "merge", **summary(after)}
    assert (told["topics"], told["calls"], told["p50"], told["R@5"]["mean"]) == (4, 3, 2.5, 0.75)
    assert told["p95"] == pytest.approx(3.85)
    change = difference(before, after)
    assert (change["R@5"], change["calls"], change["rounds"]) == (0.25, 0.75, 1.0)
    assert change["interval"][0] <= 0 <= 0.25 <= change["interval"][1]
    lines = table({"merge/text": told}, "text").splitlines()
    assert len(lines) == 3 and lines[2].startswith(
        "| `merge` ours, merge | 4 | 3 | 1 | 100 | 40 | 60 | 30 | 5 | 2.50 |"
    )
    assert table({"merge/text": told}, "image").count("\n") == 1


def test_targets_compare_with_the_papers_schedule() -> None:
    found = {
        "paper/2/uncached": {"track": "image", "uncached": 1000},
        "merge/2/96": {"track": "image", "uncached": 100},
        "merge/2/512": {"track": "image", "uncached": 101},
        "merge/text": {"track": "text", "uncached": 1},
    }
    lines = targets(found, {})
    assert len(lines) == 2 and "merge/2/96: x10.0" in lines[0] and lines[0].endswith("met)")
    assert lines[1].endswith("missed)")


def test_everybody_begins_once() -> None:
    assert [turns(["a", "b", "c"], index) for index in range(3)] == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]]


WORKER = """
import json, sys
print(json.dumps({"ready": "1.2"}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    order = [name for name, _text in asked["passages"]][::-1]
    known = "topic 1:" in asked["query"]
    print(json.dumps({"order": order, "cpu": 0.5} if known else {"error": "ValueError: no"}), flush=True)
"""


def test_another_library_is_asked_over_a_pipe(tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(WORKER)
    with open(tmp_path / "log", "w") as log:
        peer = Peer("rank_llm", "http://x", lambda: [served(1.0)] * 4, Path(sys.executable), log, worker)
        ranked = peer.rank(topics.topic(1))
        with pytest.raises(PeerFault, match="ValueError: no"):
            peer.rank(topics.topic(2))
        peer.close()
    assert peer.name == "rank_llm 1.2" and list(ranked.order) == topics.topic(1).order[::-1]
    assert (ranked.calls, ranked.rounds, ranked.cpu) == (4, 4, 0.5)


def test_a_small_run_writes_all_it_found(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    only = "sliding/text,merge/text,paper/0,merge/2/64"
    command = [sys.executable, "-m", "runs.planners", "--topics", "3", "--slow", "3", "--faulty", "1", "--only", only]
    done = subprocess.run([*command, "-o", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "results.json").read_text())
    assert {key: one["topics"] for key, one in found["contenders"].items()} == dict.fromkeys(only.split(","), 3)
    assert found["contenders"]["paper/0"]["image"] == 4 * 20 * 391
    assert [(one["valid"], one["topics"]) for one in found["faults"]] == [(1, 1), (1, 1)]
    assert "no --peers" in found["absent"]["rank_llm, rerankers"]
    assert done.stdout == (tmp_path / "table.md").read_text() and "| `merge` ours, merge |" in done.stdout
    assert (tmp_path / "planners.png").stat().st_size > 10_000
