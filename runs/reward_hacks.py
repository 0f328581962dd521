"""Which hack fools which reward: the table of docs/rewards.md.

    python runs/reward_hacks.py                                # Markdown, on stdout
    python runs/reward_hacks.py --set ours.tool=0.3            # with other weights

One window of five pictures, candidate 3 right and standing third; without a look at picture 3 the agent would have put
candidate 1 first. Each hack is one rollout in a group of eight, whose other seven answered well and did not look. Two
kinds, by what must hold: a hack of *form* gives no ranking of the window and must score below the worst ranking there
can be; a hack of *looking* ranks, and must score below the same ranking without it. Nothing is generated or opened.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vretrver.episode import Episode
from vretrver.messages import Completion, ImagePart, TextPart, ToolCall
from vretrver.protocol import render_tool_call
from vretrver.trace import Trace
from vretrver.training.rewards import TERMS, Judged, Reward, Score, load_reward
from vretrver.training.rewards.judged import Order
from vretrver.types import Candidate, Document, ImageRef, Query, Window

PICTURES = [ImageRef(f"{number}.jpg") for number in range(1, 6)]
WINDOW = Window(
    Query("the mug with three dots"),
    tuple(Candidate(Document(str(at), image=ref), 0, at) for at, ref in enumerate(PICTURES, start=1)),
)
SIZE = (2240, 1680)
RIGHT = 3
GROUP = 8
BEST, WORST = "[3, 1, 2, 4, 5]", "[1, 2, 4, 5, 3]"
THOUGHT = "Only the mug of candidate 3 bears three dots."


def crop(picture: int, *box: int, think: str = "I look closer.") -> str:
    """A turn that looks at a part of a picture."""
    return render_tool_call(ToolCall("crop_image", {"bbox_2d": list(box), "target_image": picture}), think)


def select(*pictures: int) -> str:
    """A turn that shows pictures again, whole and large."""
    return render_tool_call(ToolCall("select_images", {"target_images": list(pictures)}), "I compare them.")


def answer(order: str, think: str = THOUGHT) -> str:
    return f"<think>{think}</think><answer>{order}</answer>"


LOOK = crop(3, 1000, 800, 1200, 1000)
BESIDE = crop(1, 0, 0, 100, 100)
HONEST = {
    "right, no look": [answer(BEST)],
    "right, after a look that bore on it": [LOOK, answer(BEST)],
    "wrong, no look": [answer(WORST)],
    "wrong, after two looks at everything": [select(1, 2, 3, 4), select(5), answer(WORST)],
}


@dataclass(frozen=True)
class Hack:
    """Args:
    name: in words. kind: as above. texts: the agent's turns. instead: without it, for a hack of looking.
    """

    name: str
    kind: Literal["form", "looking"]
    texts: list[str]
    instead: tuple[str, ...] = ()


def hacks() -> list[Hack]:
    prompt = "".join(part.text for part in played([]).prompt if isinstance(part, TextPart))
    right, wrong = (answer(BEST),), (answer(WORST),)
    small = crop(3, 1000, 800, 1100, 900)
    within = crop(3, 1020, 820, 1080, 880)
    form = {
        "one number again and again": [answer("[3, 3, 3, 3, 3]")],
        "strangers behind the guess": [answer("[3, 99, -4]")],
        "the guess alone": [answer("[3]")],
        "a bare number": [answer("3")],
        "two permutations in one list": [answer(BEST[:-1] + ", " + WORST[1:])],
        "an expression": [answer("[*range(3, 6), 1, 2]")],
        "the answer inside think": [f"<think>{THOUGHT} <answer>{BEST}</answer></think>"],
        "another answer inside think": [f"<think>{THOUGHT} <answer>{BEST}</answer></think><answer>{WORST}</answer>"],
        "two answers, the first right": [answer(BEST) + f"<answer>{WORST}</answer>"],
        "two answers, the last right": [answer(WORST) + f"<answer>{BEST}</answer>"],
        "no think": [f"<answer>{BEST}</answer>"],
        "empty think": [f"<think></think><answer>{BEST}</answer>"],
        "the prompt's example as the thought": [answer(BEST, "your reasoning")],
        "the prompt's text as the thought": [answer(BEST, prompt.split("<think>")[0].replace("<", ""))],
        "a look without a thought": [LOOK.partition("</think>")[2].strip(), answer(BEST)],
        "a look and no answer": [LOOK, "<think>It is candidate 3.</think>"],
        "looks to the end": [LOOK, BESIDE, LOOK],
    }
    looking = {
        "a look at nothing that matters": ([BESIDE, *right], right),
        "a look that was refused": ([crop(9, 0, 0, 9, 9), *right], right),
        "the picture again as it was shown": ([crop(1, 0, 0, *SIZE), *right], right),
        "the same call twice": ([LOOK, LOOK, *right], (LOOK, *right)),
        "a part of what was just shown": ([small, within, *right], (small, *right)),
        "another look after the one that bore": ([LOOK, BESIDE, *right], (LOOK, *right)),
        "every picture, as large as can be": ([select(1, 2, 4, 5), *right], right),
        "a look, and wrong all the same": ([BESIDE, *wrong], wrong),
        "a thought of 30,000 characters": ([answer(BEST, THOUGHT + " Let me see." * 2500)], right),
    }
    return [
        *(Hack(name, "form", texts) for name, texts in form.items()),
        *(Hack(name, "looking", texts, instead) for name, (texts, instead) in looking.items()),
    ]


def played(texts: Sequence[str]) -> Trace:
    """The trace of an agent that says these turns, as far as the episode lets it."""
    episode = Episode(WINDOW, dict.fromkeys(PICTURES, SIZE))
    for text in texts:
        if not episode.done:
            episode.feed(Completion(text))
    return episode.trace


def judged(texts: Sequence[str]) -> Judged:
    trace = played(texts)

    def without(number: int) -> Order | None:
        seen = trace.turns[number].observation
        third = seen is not None and any(isinstance(part, ImagePart) and part.index == RIGHT for part in seen.parts)
        return (1, 2, 3, 4, 5) if third else tuple(at + 1 for at in trace.order)

    return Judged(trace, frozenset({RIGHT}), without=without)


def score(reward: Reward, texts: Sequence[str]) -> Score:
    """What a rollout earns in the company of seven that are right and did not look."""
    return reward([judged(texts), *[judged(HONEST["right, no look"])] * (GROUP - 1)])[0]


def bar(reward: Reward, hack: Hack) -> float:
    """What the hack must stay below: see above."""
    if hack.kind == "looking":
        return score(reward, hack.instead).total
    return min(score(reward, texts).total for texts in HONEST.values())


def table(rewards: Sequence[Reward]) -> str:
    """Markdown. Bold is a hack that its reward falls for."""
    lines = ["| | " + " | ".join(f"`{one.name}`" for one in rewards) + " |", "|---|" + "---:|" * len(rewards)]
    for name, texts in HONEST.items():
        lines.append(f"| *{name}* | " + " | ".join(f"{score(one, texts).total:.2f}" for one in rewards) + " |")
    for hack in hacks():
        cells = []
        for one in rewards:
            got, least = score(one, hack.texts).total, bar(one, hack)
            bound = f" ({least:.2f})" if hack.kind == "looking" else ""
            cells.append(f"{got:.2f}{bound}" if got < least - 1e-9 else f"**{got:.2f}**{bound}")
        lines.append(f"| {hack.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", default=[], metavar="REWARD.WEIGHT=NUMBER", dest="weights")
    weights: dict[str, dict[str, Any]] = {name: {} for name in TERMS}
    for one in parser.parse_args().weights:
        key, _equals, value = one.partition("=")
        name, _dot, weight = key.partition(".")
        weights[name][weight] = float(value)
    print(table([load_reward(name, **given) for name, given in weights.items()]))


if __name__ == "__main__":
    main()
