"""The questions of a run: which candidates contain an answer, and answers written from the best ones and marked.

The policy that answers is asked through the journal, as the one that ranks: an answer is on disk before it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vretrver.answering import Answer, Writer
from vretrver.answering.writer import MODEL_FAILED
from vretrver.datasets import Topic
from vretrver.errors import PolicyError
from vretrver.evaluation.answered import Answered
from vretrver.evaluation.marking import MAX_ANSWER, mark
from vretrver.evaluation.marking.contains import bearing
from vretrver.evaluation.outcome import Outcome
from vretrver.evaluation.recording import RecordedPolicy
from vretrver.trace import Ranking
from vretrver.usage import Usage

PATIENCE = 16
"""So many answers in a row that the model failed to give end the run."""


class Questions:
    """Answers the questions of topics.

    Args:
        writer: its policy is the recorded one.
        recorded: the journal's policy.
        sources: how many results an answer is written from.
    """

    def __init__(self, writer: Writer, recorded: RecordedPolicy, sources: int) -> None:
        self._writer, self._recorded, self._sources = writer, recorded, sources
        self._failing = 0

    def answer(self, topics: Sequence[Topic], rankings: Sequence[Ranking]) -> list[Answered]:
        """One answer per topic.

        Raises:
            PolicyError: the policy failed again and again.
        """
        self._recorded.topic_of = {topic.query: topic.id for topic in topics}
        free = [replace(ranking, usage=Usage()) for ranking in rankings]  # so that the usage is the answer's alone
        answers = self._writer.write(free, self._sources)
        for answer in answers:
            failed = (answer.error or "").startswith(MODEL_FAILED)
            self._failing = self._failing + 1 if failed else 0
            if self._failing >= PATIENCE:
                raise PolicyError(
                    f"the policy failed to answer {PATIENCE} questions in a row, the last time: {answer.error}; what "
                    "was finished before is kept, and the same command goes on from there"
                )
        return [self._marked(*pair) for pair in zip(topics, answers, strict=True)]

    def _marked(self, topic: Topic, answer: Answer) -> Answered:
        found = {result.document.id: result.document for result in answer.ranking.results}
        cited = tuple(dict.fromkeys(one.id for one in answer.citations))
        said = answer.words[:MAX_ANSWER]
        sought = () if topic.expected is None else topic.expected.sought
        return Answered(
            text=said,
            score=None if topic.expected is None else mark(said, topic.expected),
            cited=cited,
            borne_out=any(bearing(found[name], sought) for name in cited),
            no_answer=answer.no_answer,
            error=answer.error,
            repairs=len(answer.repairs),
            usage=replace(answer.usage, seconds=0.0),
            seconds=round(self._recorded.seconds_of(topic.id), 4),
        )


def unanswered(topic: Topic, error: str) -> Answered:
    """Of a topic that could not be asked."""
    return Answered("", None if topic.expected is None else mark("", topic.expected), error=error)


def looked_through(outcome: Outcome, topic: Topic, ranking: Ranking | None, pseudo: bool) -> Outcome:
    """The outcome with the candidates that contain an answer, where it is known what answers.

    Args:
        pseudo: whether these are what is relevant, because the benchmark labels nothing.
    """
    if topic.expected is None:
        return outcome
    outcome = replace(outcome, kind=topic.expected.kind)
    if not topic.expected.known:
        return outcome
    results = () if ranking is None else ranking.results
    grades = {one.document.id: bearing(one.document, topic.expected.sought) for one in results}
    found = {name: grade for name, grade in sorted(grades.items()) if grade}
    return replace(
        outcome, bearing=found, pseudo=pseudo, relevant=dict.fromkeys(found, 1) if pseudo else outcome.relevant
    )
