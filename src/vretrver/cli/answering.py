"""The command of a person with a question: ask."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from vretrver.cli.parsing import Commands, add_certainty, add_costs, add_looking, command, positive
from vretrver.cli.printing import print_json, printable

if TYPE_CHECKING:
    from argparse import Namespace

    from vretrver.answering import Answer, Answerer
    from vretrver.types import Query


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands,
        "ask",
        "Answer a question from an index's pictures and texts, citing documents and boxes.",
        "The index is searched and its results are ranked as `vretrver search` does; the best are given to the model,\n"
        "which answers from them. Each citation is checked. The exit status is 1 when there is neither an answer nor\n"
        "word that the sources hold none.",
    )
    parser.add_argument("index", metavar="INDEX", help="made by `vretrver index`")
    parser.add_argument("text", metavar="QUESTION", help="what to answer")
    parser.add_argument("--policy", required=True, help="who answers: chat:URL#MODEL or local:MODEL")
    parser.add_argument(
        "--ranker", metavar="POLICY", help="who ranks: by default who answers; or evidence, none, as `search --policy`"
    )
    parser.add_argument("--image", action="append", metavar="FILE", help="a picture to ask with; may be repeated")
    parser.add_argument("-k", type=positive, default=5, help="how many sources the model is given (default 5)")
    parser.add_argument("--top-k", type=positive, default=50, help="candidates that are ranked (default 50)")
    parser.add_argument("--where", action="append", metavar="NAME=VALUE", help="keep documents with this metadata")
    parser.add_argument(
        "--source-tokens",
        type=positive,
        default=1024,
        metavar="N",
        help="image tokens (28x28 pixels each) that a source's picture may take, 4 to 5120 (default 1024)",
    )
    add_looking(parser)
    add_costs(parser)
    add_certainty(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--trace", metavar="FILE", help="append how the sources were ranked, for `vretrver view`")


def ask(options: Namespace) -> int:
    from vretrver.cli.searching import query_of, warn_of_failures, where_of

    query, where = query_of(options.text, options), where_of(options.where)
    answer = _answerer(options, query).ask(query, k=options.k, top_k=options.top_k, where=where)
    warn_of_failures(answer.ranking)
    if options.trace:
        from vretrver.viewer import append_trace

        append_trace(options.trace, answer.ranking)
    if options.json:
        print_json(answer.to_json())
    else:
        _print(answer)
    if answer.error:
        print(f"vretrver: {printable(answer.error)}", file=sys.stderr)
    return 1 if answer.error else 0


def _answerer(options: Namespace, query: Query) -> Answerer:
    from vretrver.answering import Answerer, for_ranking, names_a_writer
    from vretrver.budget import Budget
    from vretrver.cli.agents import reranker_of
    from vretrver.pipeline import Pipeline
    from vretrver.policies import load_policy
    from vretrver.retriever import Retriever
    from vretrver.usage import Prices

    budget = Budget.parse(options.budget) if options.budget else None
    left = None if budget is None else for_ranking(budget, options.k, len(query.images))
    policy = load_policy(names_a_writer(options.policy))
    reranker = reranker_of(options, options.ranker or policy, left)
    return Answerer(
        Pipeline(Retriever.open(options.index), reranker),
        policy,
        source_tokens=options.source_tokens,
        budget=budget,
        prices=Prices.parse(options.prices) if options.prices else None,
    )


def _print(answer: Answer) -> None:
    from vretrver.cli.searching import cost_line

    if answer.no_answer:
        print("The sources do not answer this.")
    if answer.text:
        print(printable(answer.text))
    if answer.uncited:
        print("It cites no source: this is the model's own word.")
    for result in answer.ranking.results:
        print(f"[{result.rank}] {printable(result.document.id)}")
        for one in (one for one in answer.citations if one.source == result.rank):
            box = f"box {','.join(map(str, one.box))}" if one.box else None
            quote = f'"{printable(one.quote)}"' if one.quote else None
            print(f"    cited: {box or quote or 'as a whole'}")
    for repair in answer.repairs:
        print(f"vretrver: {printable(repair)}", file=sys.stderr)
    print(cost_line(answer.usage), file=sys.stderr)
