"""What verl's agent loop is told: the keyword `asking` of its YAML file (`runs/verl/agent_loop.yaml`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vretrver.boxes import BoxFamily
from vretrver.errors import InvalidInput
from vretrver.policies.habits import Habits
from vretrver.protocol import Wire
from vretrver.tools import load_toolbox
from vretrver.training.examples import WINDOW_PIXELS
from vretrver.training.rewards import Reward, load_reward


@dataclass(frozen=True, slots=True)
class Asking:
    """How rollouts are asked and judged.

    Args:
        root: the folder that the rows' paths start from.
        tools, max_tool_turns, boxes, window_pixels: as the checkpoint learnt; another prompt is another task.
        max_new_tokens: of one turn.
        reward, weights: as `rewards.load_reward` takes them.
        world: the folder of the small-detail world that the rows are of, where its truth is to be used.
        traces: a folder for the rollouts' trace files; None keeps none.

    Raises:
        InvalidInput: no such tool or reward, or a number is out of range.
    """

    root: str
    tools: str = "select_images,crop_image"
    max_tool_turns: int = 2
    boxes: BoxFamily = "released"
    window_pixels: int = WINDOW_PIXELS
    max_new_tokens: int = 1024
    reward: str = "paper"
    weights: Mapping[str, float] = field(default_factory=dict)
    world: str | None = None
    traces: str | None = None

    def __post_init__(self) -> None:
        for name, least in (("max_tool_turns", 0), ("window_pixels", 1), ("max_new_tokens", 1)):
            if getattr(self, name) < least:
                raise InvalidInput(f"{name} is {getattr(self, name)}; it must be {least} or more")
        _ = self.habits, self.judge

    @property
    def habits(self) -> Habits:
        wire = Wire(boxes=self.boxes, window_pixels=self.window_pixels)
        return Habits.of(load_toolbox(self.tools), self.max_tool_turns, wire)

    @property
    def judge(self) -> Reward:
        return load_reward(self.reward, **self.weights)
