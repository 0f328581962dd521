"""Queries won and lost, with pictures: what was asked, what came first before and after looking, what is right.

It chooses which queries are shown, draws them, and links each to its trace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from vretrver.evaluation.outcome import Outcome
from vretrver.report.markup import Html, h
from vretrver.report.run_folder import RunFolder
from vretrver.report.thumbnails import Thumbnails
from vretrver.report.trace_page import Traces
from vretrver.report.words import percent, value
from vretrver.trace import Ranking, Result
from vretrver.types import ImageRef

TIES = 12
NAMED = 2000  # ids in a list of all won or lost
TEXT = 240
KINDS = {"lost": "Lost by reranking", "won": "Won by reranking", "tied": "Neither"}


def choose(outcomes: Sequence[Outcome], most: int) -> list[Outcome]:
    """Lost and won queries first, half of the room each unless the other leaves some; then ties that say something.

    A tie says most where the agent looked and the right answer, though among the candidates, still was not first.
    """
    asked = [outcome for outcome in outcomes if outcome.error is None]
    lost = [outcome for outcome in asked if outcome.change == "lost"]
    won = [outcome for outcome in asked if outcome.change == "won"]
    half = most // 2
    shown_lost = lost[: max(half, most - len(won))]
    shown_won = won[: most - len(shown_lost)]
    tied = sorted((outcome for outcome in asked if outcome.change == "tied"), key=_telling)
    return [*shown_lost, *shown_won, *tied[: min(TIES, most - len(shown_lost) - len(shown_won))]]


def cases(
    run: RunFolder, chosen: Sequence[Outcome], traces: Traces, links: Mapping[str, str], thumbnails: Thumbnails
) -> Html:
    """The chosen queries of a run, by kind; `links` leads from a topic to its trace."""
    parts: list[Html] = []
    for kind, title in KINDS.items():
        same = [outcome for outcome in chosen if outcome.change == kind]
        total = sum(outcome.change == kind and outcome.error is None for outcome in run.outcomes)
        if not same:
            continue
        drawn = h("div", {"class": "cases"}, [_case(one, traces, links, thumbnails) for one in same])
        heading = f"{title}: {total:,}" + (f", {len(same):,} of them here" if total > len(same) else "")
        if kind == "tied":
            parts.append(h("details", {}, h("summary", {}, heading), drawn))
        else:
            parts += [h("h4", {}, heading), drawn, _all_ids(run, kind) if total > len(same) else Html()]
    return h(
        "div", {}, parts or h("p", {"class": "aside"}, "No query came out differently, and there is none to show.")
    )


def _telling(outcome: Outcome) -> tuple[bool, bool, bool]:
    return (outcome.first_after == 1, outcome.first_after == 0, outcome.usage.tool_calls == 0)


def _case(outcome: Outcome, traces: Traces, links: Mapping[str, str], thumbnails: Thumbnails) -> Html:
    ranking = traces[outcome.topic][1] if outcome.topic in traces else None
    found = {result.document.id: result for result in ranking.results} if ranking else {}
    link = links.get(outcome.topic)
    return h("article", {"class": f"case {outcome.change}"},
        h("div", {"class": "asking"}, _pictures(outcome, ranking, thumbnails),
            h("div", {}, h("p", {"class": "words"}, _short(outcome.query) if outcome.query else "the picture alone"),
                h("p", {"class": "id"}, outcome.topic), h("p", {"class": "id"}, _how(outcome)), _answer(outcome),
                h("a", {"class": "button", "href": link}, "See how it looked") if link else None)),
        h("div", {"class": "plates"}, [
            _plate(title, name, outcome, found.get(name), thumbnails) for title, name in _shown(outcome)]),
    )  # fmt: skip


def _shown(outcome: Outcome) -> list[tuple[str, str]]:
    """The documents of a case and what each is: first before, first after, and the right answer if neither is."""
    before, after = outcome.coarse[:1], outcome.order[:1]
    if before == after:
        plates = [("First before and after", name) for name in after]
    else:
        plates = [("First before", name) for name in before] + [("First after", name) for name in after]
    if not any(outcome.relevant.get(name, 0) > 0 for _title, name in plates):
        right = [name for name, grade in outcome.relevant.items() if grade > 0]
        best = next((name for name in outcome.order if name in right), right[0] if right else None)
        plates += [("Right answer", best)] if best is not None else []
    return plates


def _plate(title: str, name: str, outcome: Outcome, result: Result | None, thumbnails: Thumbnails) -> Html:
    right = outcome.relevant.get(name, 0) > 0
    document = result.document if result else None
    text = document.text if document else None
    notes = [look.note for look in result.evidence if look.note] if result else []
    picture = thumbnails.show(document.image, f"{title}: {text or name}") if document else None
    return h("figure", {"class": "right" if right else "wrong"},
        h("figcaption", {}, title, h("span", {"class": "verdict-mark"}, "right" if right else "not right")),
        picture or (None if text else h("p", {"class": "missing"}, "no picture")),
        h("p", {"class": "caption"}, _short(text)) if text else None,
        h("p", {"class": "id"}, name), h("p", {"class": "id"}, _places(name, outcome)),
        h("p", {"class": "said"}, _short(notes[-1])) if notes else None,
    )  # fmt: skip


def _places(name: str, outcome: Outcome) -> str:
    if name not in outcome.order:
        return f"not among the {len(outcome.order)} candidates"
    after = outcome.order.index(name)
    before = outcome.coarse.index(name) + 1 if name in outcome.coarse else 0
    sure = f", confidence {percent(outcome.confidence[after], 0)}" if after < len(outcome.confidence) else ""
    return f"place {before or '?'} → {after + 1}{sure}"


def _how(outcome: Outcome) -> str:
    used = ", ".join(f"{name} × {outcome.tools.count(name)}" for name in dict.fromkeys(outcome.tools))
    return (used or "no tool was used") + ("; said that nothing matches" if outcome.no_match else "")


def _answer(outcome: Outcome) -> Html | None:
    """What was answered to it, and the mark."""
    given = outcome.answered
    if given is None:
        return None
    mark = "" if given.score is None else f", marked {value(given.score)}"
    cited = f", citing {', '.join(given.cited[:5])}" if given.cited else ", citing nothing" if given.text else ""
    said = f"“{_short(given.text)}”" if given.text else "no answer" if given.no_answer else given.error or "no answer"
    return h("p", {"class": "said"}, f"Answered: {said}{mark}{cited}")


def _pictures(outcome: Outcome, ranking: Ranking | None, thumbnails: Thumbnails) -> list[Html | None]:
    refs = ranking.query.images if ranking else tuple(
        ImageRef(path=label) for label in outcome.images if label and not label.startswith("bytes:"))  # fmt: skip
    names = [PurePath(ref.label).name for ref in refs[:4]]
    return [thumbnails.show(ref, f"Query picture {name}") for ref, name in zip(refs, names, strict=False)]


def _all_ids(run: RunFolder, kind: str) -> Html:
    ids = [outcome.topic for outcome in run.outcomes if outcome.change == kind and outcome.error is None]
    more = f" and {len(ids) - NAMED:,} more" if len(ids) > NAMED else ""
    return h(
        "details",
        {},
        h("summary", {}, f"All {len(ids):,} that were {kind}"),
        h("p", {"class": "ids"}, ", ".join(ids[:NAMED]) + more),
    )


def _short(text: str) -> str:
    return text if len(text) <= TEXT else text[: TEXT - 1] + "…"
