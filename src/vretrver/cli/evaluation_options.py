"""Options of eval, merge, report, compare and calibrate."""

from __future__ import annotations

import argparse
from typing import Any

from vretrver.cli.parsing import POLICIES, Commands, add_certainty, add_costs, add_looking, command, positive

_DATASETS = """\
DATASET is one of
  mbeir     M-BEIR's layout, UniIR's or your own: --root M-BEIR --task cirr_task7 [--pool global]
  circo, genecis, visdial, vist, mtfiq    the paper's unseen sets: --root FOLDER
  okvqa, infoseek, evqa    questions about pictures, over passages: --root FOLDER [--answers chat:URL#MODEL]
  released  V-Retrver's evaluation parquet: --root FILE
  jsonl     your own data: --root FOLDER with queries.jsonl and documents.jsonl
  world     the small-detail world, made here: --size 500 --seed 7
docs/datasets.md says how each folder is laid out. A run that was cut off goes on when the same command runs again."""


def add(commands: Commands) -> None:
    """Add the commands."""
    _add_eval(commands)
    _add_merge(commands)
    _add_report(commands)
    _add_compare(commands)
    _add_calibrate(commands)


def _add_eval(commands: Commands) -> None:
    parser = command(commands, "eval", "Measure retrieval and what looking did, on a benchmark or your own data.")
    parser.description += "\n\n" + _DATASETS
    parser.add_argument("dataset", metavar="DATASET")
    parser.add_argument("-o", "--output", required=True, metavar="RUN", help="the run's folder")
    _add_data(parser.add_argument_group("data"))
    _add_stages(parser.add_argument_group("what is evaluated"))
    _add_answers(parser.add_argument_group("answers, of benchmarks that ask questions"))
    _add_robustness(parser.add_argument_group("robustness"))
    _add_work(parser.add_argument_group("the work"))
    parser.add_argument("--json", action="store_true", help="print metrics.json")


def _add_data(group: Any) -> None:
    group.add_argument("--root", metavar="PATH", help="where the dataset lies")
    group.add_argument("--task", help="which of its tasks or subsets")
    group.add_argument("--split", help="its test split by default")
    group.add_argument("--pool", choices=("local", "global"), help="M-BEIR: which pool (default local)")
    group.add_argument(
        "--instructions",
        choices=("fixed", "none", "gold"),
        help="M-BEIR: the fixed prompt of the task (default), none, or UniIR's, whose modality is read off the gold",
    )
    group.add_argument("--size", type=positive, help="world: how many topics (default 500)")
    group.add_argument("--seed", type=int, help="world: its seed (default 7); elsewhere of shuffles (default 0)")
    group.add_argument("--distractors", type=positive, help="world: look-alikes beside each answer (default 3)")
    group.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="PATTERN",
        help="world: only these of its groups, such as 'i->i/which' or 't->i/*'; may be given several times",
    )
    group.add_argument("--allow-missing", action="store_true", help="leave out what lacks its picture")
    group.add_argument("--topics", metavar="FILE", help="only the topics whose ids are in this file, one a line")
    group.add_argument("--limit", type=positive, metavar="N", help="only N of the topics, evenly spread")


def _add_stages(group: Any) -> None:
    group.add_argument("--embedder", default="lite", help="lite (default) or sentence-transformers:MODEL")
    group.add_argument(
        "--coarse",
        default="hybrid",
        metavar="STAGE",
        help="first stage: hybrid (default: vector, words, print, colour), vector, bm25, or run:FILE (a TREC run)",
    )
    group.add_argument("--policy", default="evidence", help=POLICIES)
    group.add_argument("--top-k", type=positive, default=50, help="candidates that are reranked (default 50)")
    add_looking(group)
    add_costs(group)
    add_certainty(group)
    group.add_argument(
        "--ocr",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="read the words on pictures (default: when the extra [ocr] is installed)",
    )


def _add_answers(group: Any) -> None:
    group.add_argument(
        "--answers", metavar="POLICY", help="who answers from what was ranked: chat:URL#MODEL or local:MODEL"
    )
    group.add_argument("--sources", type=positive, default=5, metavar="N", help="results it is given (default 5)")
    group.add_argument(
        "--source-tokens",
        type=positive,
        default=1024,
        metavar="N",
        help="image tokens that a source's picture may take, 4 to 5120 (default 1024)",
    )


def _add_robustness(group: Any) -> None:
    group.add_argument(
        "--degrade",
        metavar="SPEC",
        help="corrupt pictures first, such as blur=2,noise=0.1,jpeg=20,occlude=0.2,lowres=64",
    )
    group.add_argument(
        "--degrade-on", choices=("queries", "pool", "both"), default="queries", help="whose pictures (default queries)"
    )
    group.add_argument(
        "--shuffles", type=int, default=0, metavar="N", help="rank N more times with the candidates shuffled"
    )


def _add_work(group: Any) -> None:
    group.add_argument("--shard", metavar="I/N", help="the I-th of N parts, for N machines; join them with merge")
    group.add_argument("--batch", type=positive, default=16, metavar="N", help="topics that advance together")
    group.add_argument("--cache", metavar="DIR", help="indexes and words read (default: your cache folder)")


def _add_merge(commands: Commands) -> None:
    parser = command(commands, "merge", "Make one run of all shards of a run.")
    parser.add_argument("shards", nargs="+", metavar="SHARD", help="run folders made with --shard")
    parser.add_argument("-o", "--output", required=True, metavar="RUN")
    parser.add_argument("--json", action="store_true", help="print metrics.json")


def _add_report(commands: Commands) -> None:
    parser = command(
        commands,
        "report",
        "One page about runs: tables beside the paper's, wins and losses with pictures, traces one click away.",
        "`vretrver report ablation DIR -o HTML` is the page of an ablation: what each stage of training is worth. DIR\n"
        "holds ablation.toml and runs/COLUMN/ROW, as runs/nano.sh makes them; docs/ablation.md says more.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders made by eval; or: ablation DIR")
    parser.add_argument("-o", "--output", required=True, metavar="HTML")
    parser.add_argument(
        "--traces",
        type=int,
        metavar="N",
        help="traces to show per run (default 50); of an ablation, per pair of rows (default 6)",
    )
    parser.add_argument(
        "--no-pictures", action="store_true", help="open no picture: for runs that came from somebody else"
    )


def _add_compare(commands: Commands) -> None:
    parser = command(
        commands, "compare", "Is run B better than run A? Paired bootstrap, significance, wins, losses, cost."
    )
    parser.add_argument("a", metavar="A", help="a run folder")
    parser.add_argument("b", metavar="B", help="another run of the same task")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_calibrate(commands: Commands) -> None:
    parser = command(
        commands,
        "calibrate",
        "Fit how sure results are to a run of your own model on judged topics, for --calibration.",
        "The run is one of validation topics that will not be reported; at least 50. What is printed was measured by\n"
        "cross-validation: each topic by weights that were fitted without it. docs/confidence.md says more.",
    )
    parser.add_argument("run", metavar="RUN", help="a run folder made by eval")
    parser.add_argument("-o", "--output", required=True, metavar="FILE")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
