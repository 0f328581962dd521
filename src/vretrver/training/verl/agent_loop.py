"""verl's agent loop around the product's episode (verl 0.9.1, V1 trainer).

verl makes one object of this class for each rollout, in worker processes of Ray, and asks it to `run`. Tokens come from
verl's own servers; everything else is `playing`. The reward is given with the rollout, so no reward function of verl's
is asked; its terms go out as `reward_extra_info`, NaN where a term was not scored. What several rollouts of a process
share is made once.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from omegaconf import OmegaConf  # type: ignore[import-not-found,unused-ignore]
from verl.experimental.agent_loop.agent_loop import (  # type: ignore[import-not-found,unused-ignore]
    AgentLoopBase,
    AgentLoopMetrics,
    AgentLoopOutput,
)

from vretrver.errors import InvalidInput
from vretrver.evaluation.folder import made
from vretrver.training.config import from_mapping
from vretrver.training.rewards import Score
from vretrver.training.verl.groups import Groups, group_size
from vretrver.training.verl.playing import Play, Stage
from vretrver.training.verl.settings import Asking
from vretrver.viewer.trace_file import line_of

_SHARED: dict[tuple[str, int, int], tuple[Stage, Groups]] = {}


class EpisodeLoop(AgentLoopBase):  # type: ignore[misc,unused-ignore]
    """Args:
    asking: `settings.Asking` as a mapping. The others are verl's.
    """

    def __init__(self, *args: Any, asking: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        plain = OmegaConf.to_container(asking, resolve=True) if OmegaConf.is_config(asking) else dict(asking)
        length = int(self.rollout_config.response_length)
        key = json.dumps(plain, sort_keys=True), id(self.processor), length
        if key not in _SHARED:
            settings = from_mapping(Asking, plain, "asking")
            name = Path(str(self.config.actor_rollout_ref.model.path)).name
            _SHARED[key] = Stage(settings, self.processor, name, length), Groups(settings.judge)
        self._stage, self._groups = _SHARED[key]

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        """One rollout.

        Args:
            kwargs: a row of the parquet file, and verl's `uid` and `session_id`.
        """
        size = group_size(sampling_params, self.rollout_config)
        if "uid" not in kwargs or "session_id" not in kwargs:
            raise InvalidInput("rollouts of a group must run in one process; set trainer.use_v1=true")
        try:
            play, metrics, steps = await self._played(sampling_params, kwargs)
        except BaseException:
            self._groups.leave(kwargs["uid"], size)
            raise
        score = await self._groups.score(kwargs["uid"], size, play.judged)
        self._keep(play, score, kwargs)
        return self._output(play, score, metrics, steps)

    async def _played(
        self, sampling_params: dict[str, Any], row: dict[str, Any]
    ) -> tuple[Play, AgentLoopMetrics, dict[str, Any]]:
        metrics, request = AgentLoopMetrics(), uuid4().hex
        steps: dict[str, Any] = {}
        record = {name: row[name] for name in ("data_source", "ability", "reward_model", "extra_info") if name in row}
        play: Play = await self.loop.run_in_executor(None, self._stage.begin, record)
        if play.tape.opening > self.rollout_config.prompt_length:
            raise InvalidInput(
                f"the prompt of {play.row.qid!r} has {play.tape.opening} tokens, data.max_prompt_length is "
                f"{self.rollout_config.prompt_length}; raise it, or show the window's pictures smaller"
            )
        while not play.done:
            started = time.perf_counter()
            output = await self.server_manager.generate(
                request_id=request,
                prompt_ids=list(play.tape.ids),
                sampling_params={**sampling_params, **play.options},
                image_data=await self.loop.run_in_executor(None, play.pictures) or None,
            )
            seconds = time.perf_counter() - started
            metrics.generate_sequences += seconds
            steps = {**output.extra_fields, **_span(steps, output.extra_fields)}
            feed = partial(play.feed, output.token_ids, output.log_probs or (), seconds)
            started = time.perf_counter()
            await self.loop.run_in_executor(None, feed)
            metrics.tool_calls += time.perf_counter() - started
        return play, metrics, steps

    def _output(self, play: Play, score: Score, metrics: AgentLoopMetrics, steps: Mapping[str, Any]) -> AgentLoopOutput:
        tape = play.tape
        terms = {name: float("nan") if value is None else value for name, value in score.terms.items()}
        more = {"calls": play.trace.tool_calls, "right": float(_right(play))}
        return AgentLoopOutput(
            prompt_ids=tape.ids[: tape.opening],
            response_ids=tape.ids[tape.opening :],
            response_mask=[int(one) for one in tape.trained],
            response_logprobs=list(tape.logprobs) if any(tape.logprobs) else None,
            multi_modal_data={"images": play.pictures()} if tape.views else {},
            reward_score=score.total,
            num_turns=1 + len(play.trace.turns) + play.trace.tool_calls,
            metrics=metrics,
            extra_fields={**steps, "reward_extra_info": terms | more, "turn_scores": [], "tool_rewards": []},
        )

    def _keep(self, play: Play, score: Score, row: Mapping[str, Any]) -> None:
        """Append the rollout to this process's trace file."""
        if self._stage.asking.traces is None:
            return
        record = json.loads(line_of(play.ranking(), pictures=False, topic=play.row.qid))
        record |= {"rollout": int(row["session_id"]), "step": int(row.get("global_steps", 0))}
        record |= {"reward": score.total, "terms": dict(score.terms)}
        with (made(Path(self._stage.asking.traces)) / f"{os.getpid()}.jsonl").open("a", encoding="ascii") as lines:
            lines.write(json.dumps(record, ensure_ascii=True, allow_nan=False) + "\n")


def _right(play: Play) -> bool:
    return play.trace.order[0] in play.row.relevant and play.trace.stop.value == "answered"


def _span(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The first and the last version of the weights that a rollout was drawn with."""
    first = before.get("min_global_steps")
    return {} if first is None else {"min_global_steps": min(first, now.get("min_global_steps", first))}
