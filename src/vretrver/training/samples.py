"""Looking over a model's shoulder while it trains: every so many steps it answers held-out queries.

What it did is a page (`vretrver.viewer`), and how often it was right, kept the format and looked goes into the log and
the curves. Greedy, so it draws no random numbers and changes nothing of the training. It leaves out models that are cut
over several processes (FSDP, ZeRO-3): those are measured afterwards, with `vretrver eval`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vretrver.errors import InvalidInput
from vretrver.evaluation.folder import made
from vretrver.policies.local import LocalPolicy
from vretrver.policies.local.generation import inside
from vretrver.policies.local.loading import Loaded
from vretrver.reranker import Reranker
from vretrver.trace import Ranking, StopReason
from vretrver.training.sources import Source
from vretrver.training.tasks import Asked, asked, load_source
from vretrver.training.trajectories import Recipe
from vretrver.viewer import render, write_traces
from vretrver.windows import load_planner

PAGES = "samples"


@dataclass(frozen=True, slots=True)
class SampleConfig:
    """How a training is looked after.

    Args:
        every: steps; 0 never does.
        task: held-out queries; few, for every look costs their generations.
        recipe: how they are asked; as at serving.
        shown: how many of them each page shows.
        batch, max_new_tokens: of the generations.
    """

    every: int = 0
    task: Source = field(default_factory=lambda: Source("world", split="val", size=16))
    recipe: Recipe = field(default_factory=Recipe)
    shown: int = 8
    batch: int = 8
    max_new_tokens: int = 512

    def __post_init__(self) -> None:
        for name, least in (("every", 0), ("shown", 0), ("batch", 1), ("max_new_tokens", 1)):
            if getattr(self, name) < least:
                raise InvalidInput(f"samples: {name} is {getattr(self, name)}; it must be {least} or more")


class Sampler:
    """Asks a model that is being trained.

    Args:
        folder: where the pages go.
        processor, model_type: the model's.
        cache: for drawn scenes and indexes.

    Raises:
        InvalidInput: the task is a test split. And as `Source.load`.
    """

    def __init__(self, config: SampleConfig, folder: Path, processor: Any, model_type: str, cache: Path) -> None:
        self._config, self._folder, self._processor, self._model_type = config, folder, processor, model_type
        self._task = load_source(config.task, cache)
        self._asked: list[Asked] = asked(self._task, config.recipe, cache)

    def look(self, model: Any, step: int) -> dict[str, float]:
        """Ask every query once, write the page of this step, and say how it went (`figures`)."""
        rankings = self._answers(model)
        if self._config.shown:
            page = made(self._folder) / f"step-{step:06}.html"
            traces = page.with_suffix(".jsonl")
            write_traces(traces, rankings[: self._config.shown])
            render(traces, page, title=f"step {step}")
            traces.unlink()
        return figures(rankings, [set(topic.relevant) for topic, _candidates in self._asked])

    def _answers(self, model: Any) -> list[Ranking]:
        inner = inside(model)
        training, generation = model.training, inner.generation_config
        model.eval()
        try:
            policy = LocalPolicy(  # a new one at each look, for it keeps what the model made of pictures
                Loaded("in training", model, self._processor, self._model_type),
                batch=self._config.batch,
                max_new_tokens=self._config.max_new_tokens,
            )
            recipe = self._config.recipe
            reranker = Reranker(
                policy,
                planner=load_planner(f"onepass:{recipe.window}"),
                toolbox=recipe.toolbox,
                max_tool_turns=recipe.max_tool_turns,
                wire=recipe.wire(self._task, policy),
            )
            queries = [topic.query for topic, _candidates in self._asked]
            return reranker.rerank_many(queries, [candidates for _topic, candidates in self._asked])
        finally:
            inner.generation_config = generation
            model.train(training)


def figures(rankings: Sequence[Ranking], relevant: Sequence[set[str]]) -> dict[str, float]:
    """Shares of the queries: the first is right; every window ended in a whole ranking; a call was answered.

    Args:
        relevant: per ranking, the ids that answer it.
    """
    count = max(1, len(rankings))
    valid = [
        all(trace.stop is StopReason.ANSWERED and not trace.repairs for trace in ranking.traces) for ranking in rankings
    ]
    looked = [
        any(turn.observation is not None and turn.observation.valid for trace in ranking.traces for turn in trace.turns)
        for ranking in rankings
    ]
    right = [ranking.ids[0] in wanted for ranking, wanted in zip(rankings, relevant, strict=True)]
    return {"hit@1": sum(right) / count, "format_valid": sum(valid) / count, "tool_rate": sum(looked) / count}


def sampling_callback(sampler: Sampler, every: int, record: Any) -> Any:
    """A `transformers.TrainerCallback` that looks before the first step, every so many steps and after the last.

    Args:
        record: called with a step and its figures.
    """
    from transformers import TrainerCallback

    class Samples(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, _args: Any, state: Any, _control: Any, model: Any = None, **_more: Any) -> None:
            if state.is_world_process_zero and state.global_step == 0:
                record(0, sampler.look(model, 0))

        def on_step_end(self, _args: Any, state: Any, _control: Any, model: Any = None, **_more: Any) -> None:
            due = state.global_step % every == 0 or state.global_step == state.max_steps
            if state.is_world_process_zero and due:
                record(state.global_step, sampler.look(model, state.global_step))

    return Samples()
