"""The commands of a person who trains: `train synthesize` here; `sft`, `rsft` and `eapo` are `training_stages`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vretrver.cli import training_stages
from vretrver.cli.parsing import Commands, command
from vretrver.cli.printing import print_json, printable

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

_MORE = """\
CONFIG is a TOML file; docs/training.md lists its keys, runs/world.toml is one. OUT receives sft.jsonl (the released
ShareGPT layout) with images/, one parquet a task under rl/, and counts.json. A run that was cut off goes on when the
same command runs again."""


def add(commands: Commands) -> dict[str, ArgumentParser]:
    """Add `train`; the parsers of its stages by `train STAGE`."""
    parser = command(commands, "train", "Make data for an agent, and train it: stages of the paper's curriculum.")
    stages = parser.add_subparsers(title="stages", metavar="STAGE", required=True)
    _add_synthesize(stages)
    training_stages.add(stages)
    return {f"train {name}": stage for name, stage in stages.choices.items()}


def _add_synthesize(stages: Commands) -> None:
    parser = command(stages, "synthesize", "Have a teacher write trajectories; keep those that are right.", _MORE)
    parser.add_argument("config", metavar="CONFIG")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="the data folder")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting, such as --set seed=1"
    )
    parser.add_argument("--json", action="store_true", help="print counts.json")


def synthesize(options: Namespace) -> int:
    from vretrver.training.config import read_config
    from vretrver.training.synthesis import Synthesis
    from vretrver.training.synthesis import synthesize as run

    counts = run(read_config(options.config, Synthesis, options.set), options.output)
    if options.json:
        print_json(counts)
        return 0
    for part in counts["parts"]:
        print(printable(f"{part['task']}, {part['teacher']}: {_told(part)}"))
    if len(counts["parts"]) > 1:
        print(f"in all: {_told(counts)}")
    print(f"\n{counts['kept']} examples with {counts['images']} pictures are in {options.output}")
    return 0


def _told(counts: dict[str, Any]) -> str:
    dropped = ", ".join(f"{count} {reason}" for reason, count in counts["dropped"].items())
    return f"{counts['kept']} of {counts['asked']} kept" + (f"; dropped: {dropped}" if dropped else "")
