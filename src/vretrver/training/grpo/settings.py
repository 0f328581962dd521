"""What can be set of group-relative policy optimisation; the defaults are the paper's (section 4.1) where it says them.

The clip is DAPO's, higher above than below (Yu et al. 2025, arXiv 2503.14476, section 3.1), and so is the loss, a mean
over all drawn tokens of a step (section 3.3). `dr_grpo` with `scale = "none"` is Dr. GRPO (Liu et al. 2025, arXiv
2503.20783), which takes out the bias towards long wrong answers and towards queries that are nearly settled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from vretrver.errors import InvalidInput
from vretrver.training.samples import SampleConfig
from vretrver.training.sft import SftConfig

Backend = Literal["transformers", "vllm-colocate", "vllm-server"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How rollouts are drawn.

    Args:
        rollouts: of each query, a group. temperature, max_new_tokens: of each generation.
        shuffle: show a query's candidates in another order each time that it is asked; a group sees one order.
        batch: conversations in one generation, of all groups together; halved when memory runs out.
        backend: who draws: `transformers` in the training's own process, or vLLM through TRL, beside the training
            (`vllm-colocate`) or as a server of its own (`vllm-server`).
        host, port: of that server. memory: the share of a GPU that a colocated vLLM takes.
        keep_every: steps; their rollouts are kept as trace files. 0 keeps none.

    Raises:
        InvalidInput: a number is out of range.
    """

    rollouts: int = 8
    temperature: float = 1.0
    max_new_tokens: int = 1024
    shuffle: bool = False
    batch: int = 64
    backend: Backend = "transformers"
    host: str = "127.0.0.1"
    port: int = 8000
    memory: float = 0.3
    keep_every: int = 1

    def __post_init__(self) -> None:
        for name, least in (("rollouts", 2), ("max_new_tokens", 1), ("batch", 1), ("port", 1), ("keep_every", 0)):
            if getattr(self, name) < least:
                raise InvalidInput(f"sampling: {name} is {getattr(self, name)}; it must be {least} or more")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise InvalidInput(f"sampling: temperature is {self.temperature}; it must be above 0, or all are the same")
        if not 0 < self.memory < 1:
            raise InvalidInput(f"sampling: memory is {self.memory}; it is a share of a GPU, between 0 and 1")


@dataclass(frozen=True, slots=True)
class Difficulty:
    """Which queries are asked.

    Args:
        prefer: `uncertain`: those whose groups were neither all right nor all wrong, more the nearer to one half right;
            `none`: all alike, each once before any comes again.
        floor: the weight of a query that was all right or all wrong, where one half right is 0.25; above 0 it comes
            back now and then, for the model changes.
        memory: how much of a query's estimate stays when it is asked again, 0 to below 1.
        resample: so many times a step's groups without any difference in reward are replaced by groups of other
            queries (DAPO's dynamic sampling); those that are left are masked out of the loss.

    Raises:
        InvalidInput: a number is out of range.
    """

    prefer: Literal["uncertain", "none"] = "uncertain"
    floor: float = 0.02
    memory: float = 0.5
    resample: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.floor <= 0.25:
            raise InvalidInput(f"difficulty: floor is {self.floor}; it must be above 0, at most 0.25")
        if not 0 <= self.memory < 1:
            raise InvalidInput(f"difficulty: memory is {self.memory}; it must be from 0 to below 1")
        if self.resample < 0:
            raise InvalidInput(f"difficulty: resample is {self.resample}; it must be 0 or more")


@dataclass(frozen=True, slots=True)
class Optimising(SftConfig):
    """The optimiser's settings, as stage I has them, and what is GRPO's own.

    `max_tokens` bounds an episode, its prompt and everything read and written; `epochs` counts how often each query is
    asked on average; `batch` is rollouts a step over all processes, so `batch / rollouts` queries. `data`,
    `validation`, `validate_every`, `workers` and `decode` mean nothing here and are refused.

    Args:
        loss: `dapo`, `dr_grpo` or `grpo`, as TRL names them.
        clip_low, clip_high: how far below and above 1 the ratio of new to old probability counts. With one iteration
            nothing is clipped: every rollout is the present model's.
        beta: the weight of the divergence from the model that training began with; 0 needs no second model.
        iterations: steps on the same rollouts.
        scale: what advantages are divided by: the deviation within the `group`, within the `batch`, or `none`.
        schedule: of the learning rate after its warm-up.
    """

    learning_rate: float = 1e-6
    warmup: float = 0.0
    epochs: float = 1.0
    batch: int = 1024
    decode: bool = False
    log_every: int = 1
    samples: SampleConfig = field(default_factory=SampleConfig)
    loss: Literal["dapo", "dr_grpo", "grpo"] = "dapo"
    clip_low: float = 0.2
    clip_high: float = 0.28
    beta: float = 0.0
    iterations: int = 1
    scale: Literal["group", "batch", "none"] = "group"
    schedule: Literal["constant", "cosine"] = "constant"

    def __post_init__(self) -> None:
        SftConfig.__post_init__(self)
        for name in ("data", "validation", "validate_every", "workers", "decode"):
            if getattr(self, name):
                raise InvalidInput(f"{name} means nothing in this stage: it learns from its own rollouts; take it out")
        for name, least in (("clip_low", 0), ("clip_high", 0), ("beta", 0), ("iterations", 1)):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= least):
                raise InvalidInput(f"{name} is {value}; it must be {least} or more")
        if self.save_every % self.iterations:
            raise InvalidInput(
                f"save_every is {self.save_every} and iterations {self.iterations}; it must be a multiple, or a run "
                "that goes on would draw in the middle"
            )
