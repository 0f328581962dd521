"""The page on training must name every setting of the stages that train, and show commands that parse."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

from vretrver.cli.options import parse
from vretrver.training.rsft import RsftConfig, Sampling
from vretrver.training.samples import SampleConfig
from vretrver.training.sft import SftConfig

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
STAGES = PAGE.partition("## Stage I: fine-tuning")[2]
SHELL = "".join(re.findall(r"```sh\n(.*?)```", STAGES, flags=re.DOTALL)).replace("\\\n", " ")


@pytest.mark.parametrize("command", [line for line in SHELL.splitlines() if line.startswith("vretrver ")])
def test_the_commands_parse(command: str) -> None:
    parse(shlex.split(command, comments=True)[1:])


@pytest.mark.parametrize("kind", [SftConfig, SampleConfig, Sampling, RsftConfig])
def test_every_setting_is_named(kind: type) -> None:
    for one in fields(kind):
        assert re.search(rf"[`\[]{one.name}[`\]]", STAGES), one.name


def test_files_that_it_names_are_there() -> None:
    for name in re.findall(r"`((?:runs|tests)/[\w./]+)", STAGES):
        assert (ROOT / name).exists(), name
