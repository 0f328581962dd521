"""The stages that train a model: `train sft`, `rsft` and `eapo`, their options and what they print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vretrver.cli.parsing import Commands, command
from vretrver.cli.printing import print_json

if TYPE_CHECKING:
    from argparse import Namespace

    from vretrver.training.checkpoint import Checkpoint

_PROCESSES = """\
On several GPUs: accelerate launch --config_file runs/qwen2_5_vl_7b/fsdp2.yaml -m vretrver.cli train ...
A run that was cut off goes on when the same command runs again."""


def add(stages: Commands) -> None:
    """Add the stages beneath `train`."""
    parser = command(stages, "sft", "Stage I: fine-tune a model on trajectories.", _PROCESSES)
    _options(parser)
    more = "Samples rollouts of a checkpoint, keeps those that are valid, right and consistent, and trains on them.\n\n"
    parser = command(stages, "rsft", "Stage II: rejection sampling, then fine-tuning.", more + _PROCESSES)
    parser.add_argument("--from", dest="parent", required=True, metavar="CKPT", help="a folder made by train sft")
    _options(parser)
    more = "Learns from rewards on rollouts of its own (GRPO); docs/eapo.md lists the keys of CONFIG.\n\n"
    parser = command(stages, "eapo", "Stage III: policy optimisation on the agent's own episodes.", more + _PROCESSES)
    parser.add_argument(
        "--from", dest="parent", required=True, metavar="CKPT", help="a folder made by train rsft or train sft"
    )
    _options(parser, "docs/eapo.md")


def sft(options: Namespace) -> int:
    from vretrver.training.config import read_config
    from vretrver.training.data import load_examples
    from vretrver.training.sft import SftConfig, train

    config = read_config(options.config, SftConfig, options.set)
    examples, held_out = load_examples(config.data), load_examples(config.validation)
    return _show(train(config, examples, Path(options.output), validation=held_out), options)


def rsft(options: Namespace) -> int:
    from vretrver.training.config import read_config
    from vretrver.training.rsft import RsftConfig
    from vretrver.training.rsft import rsft as run

    config = read_config(options.config, RsftConfig, options.set)
    return _show(run(config, Path(options.parent), Path(options.output)), options)


def eapo(options: Namespace) -> int:
    from vretrver.training.config import read_config
    from vretrver.training.eapo import EapoConfig
    from vretrver.training.eapo import eapo as run

    config = read_config(options.config, EapoConfig, options.set)
    return _show(run(config, Path(options.parent), Path(options.output)), options)


def _options(parser: Commands, keys: str = "docs/training.md") -> None:
    parser.add_argument("config", metavar="CONFIG", help=f"a TOML file; {keys} lists its keys")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="the trained model's folder")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting, such as --set epochs=1"
    )
    parser.add_argument("--json", action="store_true", help="print the checkpoint's record")


def _show(record: Checkpoint, options: Namespace) -> int:
    import os
    from dataclasses import asdict

    if int(os.environ.get("RANK", "0")):
        return 0  # the first process speaks for all
    if options.json:
        print_json(asdict(record))
        return 0
    facts = record.facts
    gone = facts.get("left_out", 0)
    left = gone if isinstance(gone, int) else sum(gone.values())
    made = f"{facts['rollouts']} rollouts" if "rollouts" in facts else f"{facts.get('rows')} rows"
    asked = "queries" if "rollouts" in facts else "examples"
    print(
        f"{options.output}: {made}, {facts.get('steps')} steps"
        + (f", {left} {asked} left out" if left else "")
        + f"; use it with --policy local:{options.output}"
    )
    return 0
