"""The paper's schedule as a plain client, reimplemented from its description: what the savings are measured against.

Windows of 20, moving 10, from the back to the front, one after the other; every picture at full size; up to two tool
turns in a window, and every turn sends the whole conversation again, all 20 pictures of the window included. It shares
no code with `vretrver` but the text of the system prompt, so that words cost the same, and the rule for a picture's
size. It leaves out what this measurement does not need: retries, repairs beyond a complete order, traces.
"""

from __future__ import annotations

import base64
import io
import json
import re
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import urllib3
from PIL import Image
from runs.planners.measuring import Ranked
from runs.planners.topics import Topic, caption, passage

from vretrver.protocol import system_prompt
from vretrver.sizes import shown_size
from vretrver.testing import Served
from vretrver.tools import default_toolbox

WINDOW, STRIDE, TOOL_TURNS = 20, 10, 2
STOP = "</tool_call>"
Part = dict[str, Any]
Box = tuple[float, float, float, float]


class Paper:
    """Args:
    tools: whether a window may look twice.
    setting: what else there is to say, such as whether the server keeps prefixes.
    """

    name = "the paper's"

    def __init__(
        self,
        url: str,
        drain: Callable[[], list[Served]],
        *,
        pictures: Sequence[Path] = (),
        tools: bool = False,
        setting: str = "",
    ) -> None:
        self.track = "image" if pictures else "text"
        self.setting = setting
        self._pictures, self._tools = pictures, tools
        self._address, self._http, self._drain = f"{url}/chat/completions", urllib3.PoolManager(), drain

    def rank(self, topic: Topic) -> Ranked:
        order, rounds = topic.order, 0
        started = time.process_time()
        end = len(order)
        while end > 0:
            start = max(0, end - WINDOW)
            order[start:end] = self._window(topic.query, order[start:end])
            end = end - STRIDE if start > 0 else 0
            rounds += 1
        cpu = time.process_time() - started
        return Ranked(order, rounds, [[one] for one in self._drain()], cpu)

    def close(self) -> None:
        self._http.clear()

    def _window(self, query: str, window: list[int]) -> list[int]:
        messages = self._opening(query, window)
        for turn in range(TOOL_TURNS + 1):
            text = self._ask(messages)
            called = re.search(r"<tool_call>(.*?)(?:</tool_call>|$)", text, re.DOTALL)
            if called is None or not self._tools or turn == TOOL_TURNS:
                break
            messages.append({"role": "assistant", "content": text if STOP in text else text + STOP})
            messages.append({"role": "user", "content": self._observation(json.loads(called[1]), window)})
        return _ordered(text, window)

    def _opening(self, query: str, window: list[int]) -> list[dict[str, Any]]:
        parts: list[Part] = [_text(f"Query: {query}\n\nCandidates:")]
        for position, number in enumerate(window, start=1):
            parts.append(_text(f"\n({position}) "))
            if self._pictures:
                parts += [_picture(self._pictures[number]), _text(f" {caption(number)}")]
            else:
                parts.append(_text(passage(number)))
        parts.append(_text(f"\n\nGuidelines: {GUIDELINES.format(n=len(window))}"))
        system = system_prompt(default_toolbox(), TOOL_TURNS if self._tools else 0)
        return [{"role": "system", "content": system}, {"role": "user", "content": parts}]

    def _observation(self, call: dict[str, Any], window: list[int]) -> list[Part]:
        """What a tool shows: pictures are numbered from 1 in the window's order, as every candidate has one."""
        arguments = call["arguments"]
        if call["name"] == "select_images":
            paths = [self._pictures[window[index - 1]] for index in arguments["target_images"]]
            width, height = shown_size(*_size(paths[0]))
            said = f"(Image Size: {width}x{height}, Numbered 1 to {len(paths)}):"
            return [_text(f"Here are the selected images for detailed analysis. {said}"), *map(_picture, paths)]
        path = self._pictures[window[arguments["target_image"] - 1]]
        x0, y0, x1, y1 = padded(arguments["bbox_2d"], _size(path))
        width, height = shown_size(x1 - x0, y1 - y0)
        said = f"Here is the cropped image. (Image Size: {width}x{height})\n"
        return [_text(said), _picture(path, (x0, y0, x1, y1))]

    def _ask(self, messages: list[dict[str, Any]]) -> str:
        body = {"model": "fake", "temperature": 0, "stop": [STOP], "messages": messages}
        reply = self._http.request("POST", self._address, json=body)
        return str(reply.json()["choices"][0]["message"]["content"])


def padded(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The crop rule: values all <= 1 are shares of the sides; each side grows by min(0.1, 600 / side) of it."""
    width, height = size
    across, down = (width, height) if max(box) <= 1 else (1, 1)
    grow_x, grow_y = min(0.1, 600 / width) * width, min(0.1, 600 / height) * height
    x0, y0, x1, y1 = box[0] * across - grow_x, box[1] * down - grow_y, box[2] * across + grow_x, box[3] * down + grow_y
    return int(max(0, x0)), int(max(0, y0)), int(min(width, x1)), int(min(height, y1))


GUIDELINES = (
    "Rank all {n} candidates from most to least relevant to the query. Image numbers count images: 0 is the query "
    "image, and 1 to N are the candidates' images in order. Compare the candidates step by step; where a detail "
    "decides, use a tool. Reason inside <think></think>, then answer: "
    "<think>your reasoning</think><answer>[2, 1, 3]</answer>"
)


def _ordered(text: str, window: list[int]) -> list[int]:
    answer = text.rpartition("<answer>")[2].partition("</answer>")[0]
    positions = [int(word) - 1 for word in re.findall(r"\d+", answer)]
    kept = dict.fromkeys(position for position in positions if 0 <= position < len(window))
    kept |= dict.fromkeys(range(len(window)))
    return [window[position] for position in kept]


def _text(text: str) -> Part:
    return {"type": "text", "text": text}


@lru_cache(maxsize=4096)
def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


@lru_cache(maxsize=4096)
def _data_url(path: Path, box: tuple[int, int, int, int] | None) -> str:
    with Image.open(path) as opened:
        picture = opened.convert("RGB").crop(box or (0, 0, *opened.size))
    buffer = io.BytesIO()
    picture.resize(shown_size(*picture.size), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _picture(path: Path, box: tuple[int, int, int, int] | None = None) -> Part:
    return {"type": "image_url", "image_url": {"url": _data_url(path, box)}}
