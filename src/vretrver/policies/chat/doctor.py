"""Is a chat endpoint there, and can it do what a search asks of it? Small requests, one verdict each.

It leaves out quality: a model may pass every check and still rank badly.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vretrver.errors import VretrverError
from vretrver.policies.chat.faults import Fault, one_line
from vretrver.policies.chat.policy import ChatPolicy
from vretrver.policies.chat.questions import Check, ask, boxes, cause, ids, images, protocol
from vretrver.policies.chat.response import read_json

SLOW = 20.0  # seconds of one small request that make a search tedious


@dataclass(frozen=True, slots=True)
class Report:
    """What the doctor found. `ok` when no check failed."""

    policy: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.verdict != "failed" for check in self.checks)

    def to_record(self) -> dict[str, Any]:
        rows = [{"name": one.name, "verdict": one.verdict, "found": one.found, "advice": one.advice} for one in self]
        return {"policy": self.policy, "ok": self.ok, "checks": rows}

    def __iter__(self) -> Any:
        return iter(self.checks)

    def __str__(self) -> str:
        lines = [f"{one.verdict:8}{one.name:10} {one.found}{f'. {one.advice}' if one.advice else ''}" for one in self]
        return "\n".join([self.policy, *lines])


def doctor(policy: ChatPolicy | str) -> Report:
    """Ask an endpoint a handful of small questions (`questions`), each for at most two minutes and two retries.

    Args:
        policy: the policy, or its name, `chat:URL#MODEL`.

    Returns:
        The checks in the order in which they build on each other. A broken server is a finding, not an error.

    Raises:
        InvalidInput: the name is not one of a chat endpoint.
    """
    chat = (ChatPolicy.load(policy) if isinstance(policy, str) else policy).for_checks()
    try:
        return Report(chat.name, tuple(_checks(chat)))
    finally:
        chat.close()


def _checks(chat: ChatPolicy) -> list[Check]:
    reachable, model = _models(chat)
    stop, chat = _stop(chat) if reachable.verdict != "failed" else (_skipped("stop"), chat)
    checks = [reachable, model, stop]
    seconds: list[float] = []
    usable = stop.verdict not in ("failed", "skipped")
    for name, look in (("images", images), ("protocol", protocol), ("boxes", boxes), ("ids", ids)):
        if name == "ids":  # it asks what `images` asks
            usable = usable and checks[3].verdict == "ok"
        checks.append(_looked(name, look, chat, seconds) if usable else _skipped(name))
    return [*checks, _latency(seconds)]


def _models(chat: ChatPolicy) -> tuple[Check, Check]:
    try:
        reply = chat.get("/models")
        listed = read_json(reply.body, reply.headers).get("data")
    except VretrverError as fault:
        said = one_line(cause(chat, fault))
        if re.match(r"HTTP (?!3|401|403)\d", said):
            found = Check("model", "warning", f"no list of models: {said}", "if more fails, look up the model's name")
            return Check("reachable", "ok", "the server answers"), found
        return Check("reachable", "failed", said, _what_to_do(said)), _skipped("model")
    except Fault as fault:
        advice = "check that the URL ends where /chat/completions goes on, usually in /v1"
        return Check("reachable", "failed", str(fault), advice), _skipped("model")
    rows = listed if isinstance(listed, list) else []
    names = [str(row.get("id")) for row in rows if isinstance(row, dict)]
    found = Check("reachable", "ok", "the server answers")
    if chat.model in names:
        return found, Check("model", "ok", f"{chat.model} is listed")
    shown = one_line(", ".join(names[:8]) or "nothing", 300)
    return found, Check("model", "warning", f"{chat.model} is not listed; there is {shown}", "choose one that is")


def _stop(chat: ChatPolicy) -> tuple[Check, ChatPolicy]:
    """Whether a stop text is taken; and the policy to go on with, since all else would fail for the same reason."""
    said = _refusal(chat)
    if said is None:
        return Check("stop", "ok", "takes text alone, and a text to stop at"), chat
    other = chat.without_stop()
    if said.startswith("HTTP") and _refusal(other) is None:
        return Check("stop", "warning", f"fails when asked to stop at a text: {said}", "add stop=false"), other
    return Check("stop", "failed", said, _what_to_do(said)), chat


def _refusal(chat: ChatPolicy) -> str | None:
    """Why a request of a few words fails; None when it does not, whatever is answered."""
    try:
        ask(chat, ["Say yes."])
    except VretrverError as fault:
        said = one_line(cause(chat, fault))
        return None if said.startswith("the answer is empty") else said
    return None


def _looked(name: str, look: Callable[[ChatPolicy], Check], chat: ChatPolicy, seconds: list[float]) -> Check:
    started = time.perf_counter()
    try:
        check = look(chat)
    except VretrverError as fault:
        said = one_line(cause(chat, fault))
        return Check(name, "failed", said, _what_to_do(said))
    seconds.append((time.perf_counter() - started) / (2 if name in ("images", "ids") else 1))
    return check


def _latency(seconds: Sequence[float]) -> Check:
    if not seconds:
        return _skipped("latency")
    typical = sorted(seconds)[len(seconds) // 2]
    found = f"{typical:.2f} s for a small request"
    if typical <= SLOW:
        return Check("latency", "ok", found)
    return Check("latency", "warning", found, "rank fewer candidates, or set a budget of seconds")


def _what_to_do(said: str) -> str:
    if re.match(r"HTTP 3", said):
        return "give the final URL"
    if re.match(r"HTTP 40[13]\b", said):
        return "put the server's key into VRETRVER_API_KEY"
    if re.match(r"HTTP 404\b", said):
        return "check the model's name, and that the URL ends in /v1"
    if re.match(r"HTTP 4(00|13|22)\b", said):
        return "the server takes no such request: does the model take images, and several in one message?"
    if said.startswith("HTTP"):
        return "look into the server's log"
    return "check that the server runs, and its host and port"


def _skipped(name: str) -> Check:
    return Check(name, "skipped", "not asked, because an earlier check failed")
