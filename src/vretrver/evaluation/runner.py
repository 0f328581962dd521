"""The runner: a task through first stage and reranker, journalled, so that a run that was cut off goes on.

Topics advance in fixed batches. A call is on disk before its answer is used, an outcome before the next batch begins;
what was being asked when the process died is asked again, nothing else. The files for readers are written at the end,
from the journal alone, so a resumed run gives the same bytes. What the numbers mean is `vretrver.evaluation.summary`.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from vretrver.coarse import coarse_ranking
from vretrver.datasets import Task, Topic
from vretrver.errors import ImageError, MissingPath, PolicyError
from vretrver.evaluation.journal import Journal
from vretrver.evaluation.outcome import Outcome
from vretrver.evaluation.questions import Questions, looked_through, unanswered
from vretrver.evaluation.recording import RecordedPolicy
from vretrver.evaluation.stages import FirstStage
from vretrver.images import image_size
from vretrver.reranker import Reranker
from vretrver.trace import Ranking, StopReason
from vretrver.types import Candidate
from vretrver.viewer.trace_file import line_of

TRACES = "traces.jsonl"
PATIENCE = 16
"""So many windows in a row on which the policy fails end the run: a server that is down must not become a result."""
Found: TypeAlias = tuple[Topic, list[Candidate]]


class Runner:
    """Asks topics and keeps what became of them.

    Args:
        folder: the run's; holds the traces.
        journal: held for writing.
        stage: gives the candidates.
        reranker: looks at them; None leaves the coarse order. Its policy is the recorded one.
        recorded: the journal's policy, or None without one.
        k: candidates per topic.
        shuffles, seed: how many further orders, and what draws them.
        questions: answers the topics' questions from what was ranked; None where no answer is asked for.
    """

    def __init__(
        self,
        folder: Path,
        journal: Journal,
        stage: FirstStage,
        reranker: Reranker | None,
        recorded: RecordedPolicy | None,
        *,
        k: int,
        shuffles: int = 0,
        seed: int = 0,
        questions: Questions | None = None,
    ) -> None:
        self._questions, self._pseudo = questions, False
        self._traces = folder / TRACES
        self._journal, self._stage, self._reranker, self._recorded = journal, stage, reranker, recorded
        self._k, self._shuffles, self._seed = k, shuffles, seed
        self._failing = 0

    def run(self, task: Task, batches: Sequence[Sequence[int]], progress: bool) -> None:
        """Ask every topic of the batches that the journal does not have.

        Raises:
            PolicyError: the policy failed on every window of a batch; what was finished is kept.
            StorageError: the disk is full or read-only.
        """
        from tqdm import tqdm

        done = {record["at"]: record for record in self._journal.records if "outcome" in record}
        _cut(self._traces, max((record["traces_end"] for record in done.values()), default=0))
        self._pseudo = not any(topic.relevant for topic in task.topics)
        total = sum(map(len, batches))
        quiet = None if progress else True
        bar = tqdm(total=total, initial=len(done), unit="topic", desc=task.name, disable=quiet)
        with self._traces.open("ab") as traces, bar:
            for batch in batches:
                missing = [at for at in batch if at not in done]
                if not missing:
                    continue
                # The whole batch is searched again, so that its vectors come from the same company as before.
                results = self._asked([task.topics[at] for at in batch])
                fresh = [(at, *result) for at, result in zip(batch, results, strict=True) if at not in done]
                self._keep(traces, fresh)
                bar.update(len(fresh))

    def _keep(self, traces: Any, fresh: Iterable[tuple[int, Outcome, Ranking | None]]) -> None:
        records = []
        for at, outcome, ranking in fresh:
            if ranking is not None:
                traces.write(line_of(ranking, pictures=False, topic=outcome.topic).encode("ascii"))
            records.append({"at": at, "traces_end": traces.tell(), "outcome": outcome.to_record()})
        traces.flush()
        os.fsync(traces.fileno())
        self._journal.append(records)

    def _asked(self, topics: Sequence[Topic]) -> list[tuple[Outcome, Ranking | None]]:
        started = time.perf_counter()
        found = self._found(topics)
        sound = [(topic, one) for topic, one in zip(topics, found, strict=True) if not isinstance(one, str)]
        rankings = self._ranked(sound)
        rounds = range(self._shuffles if self._reranker else 0)
        shuffled = [self._ranked(self._mixed(sound, number)) for number in rounds]
        answers = self._questions.answer([topic for topic, _found in sound], rankings) if self._questions else []
        seconds = round((time.perf_counter() - started) / len(topics), 4)
        results: list[tuple[Outcome, Ranking | None]] = []
        at = 0
        for topic, one in zip(topics, found, strict=True):
            outcome = replace(_unasked(topic), seconds=seconds)
            if isinstance(one, str):
                nothing = unanswered(topic, one) if self._questions else None
                outcome = replace(looked_through(outcome, topic, None, self._pseudo), error=one, answered=nothing)
                results.append((outcome, None))
                continue
            paid = round(self._recorded.seconds_of(topic.id), 4) if self._recorded else 0.0
            orders = tuple(others[at].ids for others in shuffled)
            outcome = replace(_answered(outcome, topic, one, rankings[at]), shuffled=orders, policy_seconds=paid)
            outcome = looked_through(outcome, topic, rankings[at], self._pseudo)
            outcome = replace(outcome, answered=answers[at] if answers else None)
            results.append((outcome, rankings[at]))
            at += 1
        return results

    def _found(self, topics: Sequence[Topic]) -> list[list[Candidate] | str]:
        """Candidates per topic, or in one line why it cannot be asked."""
        try:
            for topic in topics:
                for image in topic.query.images:
                    image_size(image)  # not every stage opens them, and the reranker must be able to
            more = max(len(topic.excluded) for topic in topics)
            found = self._stage.search(topics, self._k + more)
            return [_allowed(topic, one)[: self._k] for topic, one in zip(topics, found, strict=True)]
        except (ImageError, MissingPath) as fault:
            if len(topics) == 1:
                return [" ".join(str(fault).split())[:300]]
            return [one for topic in topics for one in self._found([topic])]

    def _ranked(self, asked: Sequence[Found]) -> list[Ranking]:
        queries = [topic.query for topic, _candidates in asked]
        if self._reranker is None or self._recorded is None:
            return [coarse_ranking(query, found) for query, (_topic, found) in zip(queries, asked, strict=True)]
        self._recorded.topic_of = {topic.query: topic.id for topic, _candidates in asked}
        rankings = self._reranker.rerank_many(queries, [found for _topic, found in asked])
        for trace in (trace for ranking in rankings for trace in ranking.traces):
            failed = trace.stop is StopReason.POLICY_ERROR
            self._failing = self._failing + 1 if failed else 0
            if self._failing >= PATIENCE:
                raise PolicyError(
                    f"the policy failed on {PATIENCE} windows in a row, the last time with: {trace.error}; what was "
                    "finished before is kept, and the same command goes on from there"
                )
        return rankings

    def _mixed(self, asked: Sequence[Found], number: int) -> list[Found]:
        """The same candidates, handed over in another order."""
        mixed = []
        for topic, candidates in asked:
            draw = random.Random(f"{self._seed}:{topic.id}:{number}")  # noqa: S311  # no secret
            mixed.append((topic, draw.sample(candidates, len(candidates))))
        return mixed


def _allowed(topic: Topic, candidates: list[Candidate]) -> list[Candidate]:
    """The candidates that the topic may rank, numbered anew."""
    if not topic.excluded:
        return candidates
    kept = [candidate for candidate in candidates if candidate.document.id not in topic.excluded]
    return [replace(candidate, rank=rank) for rank, candidate in enumerate(kept, start=1)]


def _unasked(topic: Topic) -> Outcome:
    """What is known of a topic before it is asked."""
    return Outcome(
        topic=topic.id,
        group=topic.group,
        modality=topic.query.modality,
        query=topic.query.text,
        images=tuple(image.label for image in topic.query.images),
        relevant=dict(topic.relevant),
        coarse=(),
        scores=(),
        order=(),
        confidence=(),
    )


def _answered(outcome: Outcome, topic: Topic, candidates: Sequence[Candidate], ranking: Ranking) -> Outcome:
    coarse = coarse_ranking(topic.query, candidates)  # its scores fall strictly
    windows = ranking.traces
    return replace(
        outcome,
        coarse=coarse.ids,
        scores=tuple(result.score for result in coarse.results),
        order=ranking.ids,
        confidence=tuple(result.confidence for result in ranking.results),
        no_match=ranking.no_match,
        usage=replace(ranking.usage, seconds=0.0),  # the clock's part is `seconds`
        tools=tuple(turn.call.name for trace in windows for turn in trace.turns if turn.call and turn.observation),
        repairs=len(ranking.repairs),
        stops=tuple(trace.stop.value for trace in windows),
        skipped=ranking.skipped,
        agreement=ranking.agreement,
    )


def _cut(path: Path, end: int) -> None:
    """Drop traces that were being written when a run was cut off."""
    if path.exists() and path.stat().st_size > end:
        os.truncate(path, end)
