"""Questions about the receipts of `receipts.py`, answered with the papers and the places on them that say so.

    python examples/ask.py -o receipts
    python examples/ask.py -o receipts --policy chat:http://localhost:8000/v1#Qwen/Qwen2.5-VL-7B-Instruct
    python examples/ask.py -o receipts --policy chat:... "Who fixed the gutter?"

The index finds papers, the example's clerk ranks them, and the best are given to a multimodal model, which answers
and cites documents and boxes; every citation is checked (docs/ask.md). Without --policy a stand-in answers
(`receipts_model`): rules behind a real chat endpoint on this machine, which shows the road and measures nothing.
Answers to the example's own questions are compared with what was drawn, and all of it goes to a page.
"""

from __future__ import annotations

import argparse
import html
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import mode

from receipts import Shot, collection
from receipts_clerk import Clerk
from receipts_facts import MONTHS, VENDORS, Vendor, money
from receipts_model import Model
from receipts_page import crop_list, document, framed_picture
from receipts_reading import amounts, days, numbers

from vretrver import Pipeline, Reranker, Retriever, VretrverError, load_policy
from vretrver.answering import Answer, Answerer
from vretrver.ocr import Reads
from vretrver.ocr_memory import RememberedReader
from vretrver.testing import FakeEndpoint

SOURCES = 4
SOURCE_TOKENS = 2048  # of 28x28 pixels: print on a page of A4 can be read at that size


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and what was drawn: the words of the answer, and the papers that it must rest on; None: not known."""

    text: str
    expected: str | None = None
    papers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Answered:
    """A question with its answer."""

    question: Question
    answer: Answer

    @property
    def verdict(self) -> str:
        """How the answer compares with what was drawn; empty where that is not known."""
        asked, answer = self.question, self.answer
        if answer.error:
            return f"failed: {answer.error}"
        if asked.expected is None:
            return ""
        if not asked.papers:
            return "right: no paper says it" if answer.no_answer else "wrong: no paper says it"
        cited = {one.id for one in answer.citations}
        if not _says(answer.text, asked.expected):
            return f"wrong: it is {asked.expected}"
        return "right" if cited == asked.papers else f"right, but cites {', '.join(sorted(cited)) or 'nothing'}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help="your own, in place of the example's")
    parser.add_argument("-o", "--output", type=Path, default=Path("receipts"), help="folder (default: receipts)")
    parser.add_argument("--policy", metavar="chat:URL#MODEL", help="who answers; by default a stand-in on this machine")
    options = parser.parse_args(argv)
    try:
        page, _answers = run(options.output, [Question(text) for text in options.questions], policy=options.policy)
    except KeyboardInterrupt:
        print("\nstopped; what was read is kept", file=sys.stderr)
        return 1
    except VretrverError as error:
        print(f"ask: {error}", file=sys.stderr)
        return 1
    print(f"\nOpen {page.resolve().as_uri()}")
    return 0


def run(
    folder: Path,
    questions: Sequence[Question] = (),
    *,
    policy: str | None = None,
    vendors: tuple[Vendor, ...] = VENDORS,
    how: Sequence[str] | None = None,
    reader: Reads | None = None,
    say: Callable[[str], None] = print,
) -> tuple[Path, list[Answered]]:
    """Draw and index where that was not done yet, ask, and write the page.

    Args:
        questions: the example's own when there are none.
        policy: who answers, as `load_policy` takes it; the stand-in when None.
        folder, vendors, how, reader, say: as `receipts.run`.
    """
    reader = RememberedReader(folder / "read.jsonl") if reader is None else reader
    shots = collection(folder, reader, vendors=vendors, how=how, say=say)
    pipeline = Pipeline(Retriever.open(folder / "papers.vr"), Reranker(Clerk(reader)))
    who = policy or "a stand-in: rules, no model"
    with ExitStack() as stack:
        if policy is None:
            policy = stack.enter_context(FakeEndpoint(reply=Model(reader).answer)).policy
            say(f"who answers is {who}; give --policy chat:URL#MODEL for one")
        answerer = Answerer(pipeline, load_policy(policy), source_tokens=SOURCE_TOKENS)
        answers = []
        for question in questions or own_questions(shots):
            answers.append(Answered(question, answerer.ask(question.text, k=SOURCES, top_k=20)))
            _tell(answers[-1], say)
    page = folder / "answers.html"
    page.write_text(answers_page(answers, who), encoding="utf-8")
    return page, answers


def own_questions(shots: Sequence[Shot]) -> list[Question]:
    """Questions whose answers were drawn: sums of a month, a number by its day, a day by what was bought, and one that
    no paper answers."""
    asked = []
    for vendor in dict.fromkeys(shot.paper.vendor for shot in shots):
        theirs = [shot for shot in shots if shot.paper.vendor is vendor]
        month = mode(shot.paper.day.month for shot in theirs)
        paid = [shot for shot in theirs if shot.paper.day.month == month]
        total = money(sum(shot.paper.total for shot in paid), "plain")
        ids = frozenset(shot.file.name for shot in paid)
        asked.append(Question(f"What did we pay {vendor.name} in {MONTHS[month - 1]}?", total, ids))
        one = min(theirs, key=lambda shot: shot.paper.day)
        if sum(shot.paper.day == one.paper.day for shot in theirs) == 1:
            when = f"{one.paper.day.day} {MONTHS[one.paper.day.month - 1]}"
            text = f"What is the number of the {vendor.name} {vendor.kind} of {when}?"
            asked.append(Question(text, one.paper.number, frozenset({one.file.name})))
    return [*asked, Question(f"What did we pay {shots[0].paper.vendor.name} in December?", "", frozenset())]


def _says(text: str, expected: str) -> bool:
    """Whether an answer begins with what was drawn, however it writes amounts and days; more may follow."""
    for read in (amounts, numbers, days):
        if read(expected):
            return read(expected)[0] in read(text)[:1]
    return expected.casefold() in text.casefold()


def _tell(answered: Answered, say: Callable[[str], None]) -> None:
    answer = answered.answer
    say(f"\n{answered.question.text}")
    say(f"  {answer.text or ('The sources do not answer this.' if answer.no_answer else answer.error)}")
    for one in answer.citations:
        say(f"    [{one.source}] {one.id}" + (f", box {','.join(map(str, one.box))}" if one.box else ""))
    for repair in answer.repairs:
        say(f"    ({repair})")
    if answered.verdict:
        say(f"  as drawn: {answered.verdict}")


def answers_page(answers: Sequence[Answered], who: str) -> str:
    """The page: each answer over the papers that it cites, the cited places framed and enlarged."""
    known = [one for one in answers if one.question.expected is not None]
    right = sum(one.verdict.startswith("right") for one in known)
    facts = [
        ("questions", str(len(answers))),
        ("answered as drawn", f"{right} of {len(known)}"),
        ("who answers", who),
    ]
    costs = "".join(f"<div><dt>{name}</dt><dd>{html.escape(value)}</dd></div>" for name, value in facts)
    return document(
        "Answers, and where they stand",
        "The papers were found by their print and given to whoever answers. Each number in an answer is a paper; "
        "the frames are the places that the answer names, checked to lie on it.",
        f'<dl class="costs">{costs}</dl>{"".join(map(_story, answers))}',
    )


def _story(answered: Answered) -> str:
    answer, verdict = answered.answer, answered.verdict
    said = html.escape(answer.text) or ("The sources do not answer this." if answer.no_answer else "No answer.")
    for number in {one.source for one in answer.citations}:
        said = said.replace(f"[{number}]", f"<sup>{number}</sup>")
    papers = ""
    for number in sorted({one.source for one in answer.citations}):
        document_ = answer.ranking.results[number - 1].document
        boxes = [one.box for one in answer.citations if one.source == number and one.box]
        if document_.image is not None:
            framed = framed_picture(document_.image, [(box, True) for box in boxes])
            beside = crop_list(document_.image, [(box, "", True) for box in boxes])
            caption = f"<figcaption>{number}: {html.escape(document_.id)}</figcaption>"
            papers += f'<figure class="paper">{framed}<div>{beside}{caption}</div></figure>'
    good = "better" if verdict.startswith("right") else "worse" if verdict else ""
    return f"""<article class="story"><div class="asked"><h3>{html.escape(answered.question.text)}</h3>
<p class="about">{html.escape("; ".join(answer.repairs))}</p></div>
<div class="orders"><p class="answer">{said}</p><p class="outcome {good}">{html.escape(verdict)}</p>
{papers}</div></article>"""


if __name__ == "__main__":
    sys.exit(main())
