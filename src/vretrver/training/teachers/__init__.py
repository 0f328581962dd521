"""Teachers: who writes trajectories to learn from (paper, section 3.4, stage I). A teacher gives a policy for a task.

    oracle[:STYLE]    knows the truth of the small-detail world; STYLE is ledger (default), narrator, terse or nano;
                      oracle:STYLE,again=0.5 looks once more at what it knows, so often
    blind[:STYLE]     the same words without any look, for the control that learns from text alone
    evidence          the embedded agent, on any task
    chat:URL#MODEL, local:MODEL, ...    any policy by its name (the paper took Qwen2.5-VL-72B)

The product's reranker runs that policy; what comes of it is filtered (`training.filtering`). To add one, write a class
with the members of `Teacher`.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from vretrver.datasets import Task
from vretrver.errors import InvalidInput
from vretrver.policies import Policy, load_policy
from vretrver.policies.options import split_options


@runtime_checkable
class Teacher(Protocol):
    """`name` is recorded with every example."""

    @property
    def name(self) -> str: ...

    def policy(self, task: Task, seed: int = 0) -> Policy:
        """What answers this task's windows.

        Args:
            seed: of its wording, where it draws any; another seed tells the same otherwise.

        Raises:
            InvalidInput: it cannot teach this task.
        """
        ...


class PolicyTeacher:
    """Any policy as a teacher: it answers every task as it would serve."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    @property
    def name(self) -> str:
        return self._policy.name

    def policy(self, task: Task, seed: int = 0) -> Policy:
        return self._policy


def load_teacher(name: str | Teacher) -> Teacher:
    """The teacher of a name, or the object itself if it is one already.

    Raises:
        InvalidInput: no such teacher, style or policy. MissingExtra: its library is not installed.
    """
    if not isinstance(name, str):
        return name
    match name.partition(":"):
        case ("oracle" | "blind") as who, _, style:
            from vretrver.training.teachers.oracle import OracleTeacher

            style, options = split_options(style, {"again": float})
            return OracleTeacher(style or "ledger", looks=who == "oracle", **options)
        case "evidence", "", "":
            from vretrver.training.teachers.evidence import EvidenceTeacher

            return EvidenceTeacher()
        case (("chat" | "local" | "cross-encoder"), _, _):
            return PolicyTeacher(load_policy(name))
    raise InvalidInput(
        f"unknown teacher {name!r}; choose oracle[:STYLE], blind[:STYLE], evidence, chat:<URL>#<model> or "
        "local:<model>, or pass an object with policy()"
    )
