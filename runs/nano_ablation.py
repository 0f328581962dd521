"""What runs/nano.sh is about to do, with estimated minutes; and afterwards what its folder compares (ablation.toml).

    python runs/nano_ablation.py plan OUT          # before
    python runs/nano_ablation.py describe OUT      # after: OUT/ablation.toml, for `vretrver report ablation OUT`

Both read the script's environment: ARMS, ON, WORLD, SEEDS, SIZE, SETTINGS, LEARN, LEARN_TEXT, LEARN_RSFT, LEARN_RL,
STEPS_SFT, STEPS_RL, WORDS, REWARD. RATES="episode=0.3,row=0.1" changes the seconds that estimates are made of.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CURRICULUM, REWARDS, TOWER, TOOLS, TEACHERS = (
    "The curriculum", "The reward of stage III", "The vision tower in stage III", "One tool alone", "Who wrote the data"
)  # fmt: skip
ROWS = {
    "base-no-tools": ("base", "no training, no tools", "base model", CURRICULUM),
    "base": ("base with tools", "no training", "tools without training", CURRICULUM),
    "text": ("text-only SFT", "right answers in words, without a look", "", CURRICULUM),
    "sft": ("SFT", "an oracle's trajectories", "SFT", CURRICULUM),
    "rsft": ("SFT + RSFT", "and those of its own rollouts that hold", "SFT + RSFT", CURRICULUM),
    "text-rl": ("text-only RL", "stage III from text-only SFT, tools off", "text-only RL (tools off)", CURRICULUM),
    "sft-rl": ("SFT + RL", "stage III from SFT", "SFT + RL", CURRICULUM),
    "full": ("SFT + RSFT + RL", "all stages", "full: SFT + RSFT + RL", CURRICULUM),
    "longer": ("SFT + RSFT + 2 RL", "stage III once more, mostly on photographs", "", CURRICULUM),
    "longer2": ("SFT + RSFT + 3 RL", "and a third time", "", CURRICULUM),
    "evidence": ("evidence policy", "the embedded agent, not trained", "", CURRICULUM),
    "reward-paper": ("paper", "the paper's text", "", REWARDS),
    "reward-released": ("released", "the released code", "", REWARDS),
    "reward-ours": ("ours", "only permutations earn, looks are priced", "", REWARDS),
    "tuned": ("tuned", "the tower learns too", "", TOWER),
    "zoom": ("zoom", "all stages with crop_image alone", "", TOOLS),
    "select": ("select", "all stages with select_images alone", "", TOOLS),
    "teacher-ledger": ("ledger", "stage I on one teacher's words", "", TEACHERS),
    "teacher-narrator": ("narrator", "the same questions in other words", "", TEACHERS),
    "teacher-both": ("both", "both teachers' words, twice the examples", "", TEACHERS),
}
"""Arm -> label, how it was made, the paper's row, the table it stands in."""

RATES = {
    "draw": 0.25,  # a question's scenes
    "write": 0.06,  # a trajectory, its pictures included
    "row": 0.4,  # a row of training
    "episode": 0.65,  # of the nano agent, one look
    "text": 0.45,  # of a row's or an episode's, where nobody looks
    "evidence": 1.2,  # a query of the embedded agent
    "start": 5.0,  # of a command
}
"""Seconds of one core, of the nano agent's 4.4M weights in float32; docs/ablation.md says how they were measured."""


def main() -> None:
    verb, out = sys.argv[1], Path(sys.argv[2])
    {"plan": plan, "describe": describe}[verb](out)


def given(name: str, other: str = "") -> str:
    return os.environ.get(name) or other


def arms() -> list[str]:
    return given("ARMS").split()


def made() -> list[str]:
    """The arms that are run: the one that has the full agent's reward is the full agent."""
    return list(dict.fromkeys("full" if arm == f"reward-{default_reward()}" else arm for arm in arms()))


# -- before ----------------------------------------------------------------------------------------------------------


def plan(out: Path) -> None:
    """Print every stage with the minutes that it may take on one core; what is there already takes none."""
    rates = RATES | {name: float(value) for name, _, value in (one.partition("=") for one in _rates())}
    whole = 0.0
    print(f"{'stage':<46}{'minutes':>8}   of what", file=sys.stderr)
    for name, seconds, what, done in stages(out, rates):
        print(f"{name:<46}{0 if done else seconds / 60:>8.1f}   {what}{' (there)' if done else ''}", file=sys.stderr)
        whole += 0 if done else seconds
    print(f"{'in all':<46}{whole / 60:>8.1f}", file=sys.stderr)


def _rates() -> list[str]:
    return [one for one in given("RATES").split(",") if one]


def stages(out: Path, rates: dict[str, float]) -> Iterator[tuple[str, float, str, bool]]:
    """(name, seconds, in words, whether it is there)."""
    wanted = {need for arm in made() for need in needs(arm)}
    for name in [one for one in ORDER if one in wanted]:
        for seed in given("SEEDS", "0").split() if name not in ("data", "data-text") else ["0"]:
            folder = out / (name if seed == "0" else f"{name}-seed{seed}")
            yield (folder.name, *stage(name, rates), _finished(folder))
    for arm in made():
        for column in given("ON").split():
            for seed in given("SEEDS", "0").split() if arm in wanted or arm not in ORDER else ["0"]:
                name = arm if seed == "0" else f"{arm}-seed{seed}"
                if seed != "0" and arm in ("base", "base-no-tools", "evidence"):
                    continue
                less = rates["text"] if arm in TEXT else 1.0
                each = rates["evidence"] if arm == "evidence" else less * rates["episode"]
                count = int(given("SIZE", "500"))
                done = (out / "runs" / column / name / "metrics.json").is_file()
                yield f"eval {name} on {column}", count * each + rates["start"], f"{count} queries", done
    for column in given("ON").split():
        if "_task" not in column:
            count = int(given("SIZE", "500"))
            done = any((out / "runs" / column).glob("*/metrics.json"))
            yield f"scenes of {column}", count * rates["draw"], f"{count} questions", done


ORDER = (
    "data", "data-text", "sft", "text", "rsft", "text-rl", "sft-rl", "full", "longer", "longer2",
    "reward-paper", "reward-released", "reward-ours", "tuned", "zoom", "select",
    "teacher-ledger", "teacher-narrator", "teacher-both",
)  # fmt: skip


TEXT = ("text", "text-rl", "base-no-tools")
"""Arms that never look: shorter conversations."""


def needs(arm: str) -> list[str]:
    """What an arm stands on, and itself, where it is trained."""
    on: dict[str, list[str]] = {
        "text": ["data-text"], "sft": ["data"], "rsft": ["sft"], "text-rl": ["text"], "sft-rl": ["sft"],
        "full": ["rsft"], "longer": ["full"], "longer2": ["longer"], "tuned": ["rsft"],
        "zoom": ["sft"], "select": ["sft"],
    }  # fmt: skip
    if arm.startswith("reward-"):
        return [*needs("rsft"), arm]
    if arm not in ORDER:
        return []
    return [*(need for below in on.get(arm, []) for need in needs(below)), arm]


def stage(name: str, rates: dict[str, float]) -> tuple[float, str]:
    """Seconds of one stage, and what it does."""
    if name in TEXT:
        less = {one: rates[one] * rates["text"] for one in ("row", "episode")}
        rates = rates | less
    learn = int(given("LEARN") or settings("world")["tasks"][0]["size"])
    if name.startswith("data"):
        count = int(given("LEARN_TEXT") or learn) if name == "data-text" else learn
        drawing = rates["draw"] if name == "data" or count > learn else 0.0
        return count * (rates["write"] + drawing) + rates["start"], f"{count} trajectories"
    if name in ("sft", "text"):
        count = int(given("LEARN_TEXT") or learn) if name == "text" else learn
        return _tuning(stage_one(), count, rates)
    if name == "rsft":
        config = settings("rsft")
        asked = int(given("LEARN_RSFT") or config["tasks"][0]["size"])
        rollouts = asked * config["sampling"]["rollouts"]
        kept = min(rollouts // 2, asked * config["sampling"]["cap"])
        tuned, _said = _tuning(config["train"], kept, rates)
        seconds = asked * rates["draw"] + rollouts * rates["episode"] + tuned
        return seconds, f"{rollouts} rollouts, then about {kept} examples"
    if name.startswith("teacher-"):
        return _tuning(stage_one(), learn * (2 if name.endswith("both") else 1), rates)
    seconds, said = _optimising(rates)
    if name in ("zoom", "select"):  # all stages once more
        parts = [stage(one, rates)[0] for one in ("data", "sft", "rsft")]
        return seconds + sum(parts), "all stages with this tool"
    return seconds, said


def _tuning(config: dict[str, Any], count: int, rates: dict[str, float]) -> tuple[float, str]:
    rows = config.get("max_steps", 0) * config["batch"] or int(count * config.get("epochs", 2.0))
    return rows * rates["row"] + 2 * rates["start"], f"{rows} rows, {rows // config['batch']} steps"


def _optimising(rates: dict[str, float]) -> tuple[float, str]:
    config = settings("eapo")
    train, size = config["train"], config.get("sampling", {}).get("rollouts", 8)
    asked = int(given("LEARN_RL") or config["tasks"][0]["size"])
    groups = max(1, train["batch"] // size)
    steps = int(given("STEPS_RL") or train.get("max_steps") or -(-asked * train.get("epochs", 1.0) // groups))
    rollouts = steps * train["batch"]
    seconds = asked * rates["draw"] + rollouts * (rates["episode"] + rates["row"]) + 2 * rates["start"]
    return seconds, f"{steps} steps of {train['batch']} rollouts"


def settings(name: str) -> dict[str, Any]:
    """The settings that nano.sh trains with."""
    return tomllib.loads(Path(f"{given('SETTINGS', 'runs/nano_')}{name}.toml").read_text(encoding="utf-8"))


def stage_one() -> dict[str, Any]:
    """Its settings, with the script's number of steps where one is given."""
    return settings("sft") | ({"max_steps": int(given("STEPS_SFT"))} if given("STEPS_SFT") else {})


def default_reward() -> str:
    """The full agent's."""
    return given("REWARD") or str(settings("eapo").get("reward", "paper"))


def _finished(folder: Path) -> bool:
    return (folder / "vretrver.json").is_file() or (folder / "counts.json").is_file()


# -- after -----------------------------------------------------------------------------------------------------------


def describe(out: Path) -> None:
    """Write ablation.toml: the rows and columns that were asked for, whatever of them is there."""
    parts = [f"title = {quoted('What each stage of the nano agent is worth')}", f"note = {quoted(note())}", ""]
    for name, fields in rows():
        parts += [
            "[[rows]]",
            f"id = {quoted(name)}",
            *(f"{key} = {quoted(value)}" for key, value in fields.items()),
            "",
        ]
    for column in columns():
        parts += ["[[columns]]", *(f"{key} = {_toml(value)}" for key, value in column.items()), ""]
    for a, b in pairs():
        parts += ["[[pairs]]", f"a = {quoted(a)}", f"b = {quoted(b)}", ""]
    (out / "ablation.toml").write_text("\n".join(parts), encoding="utf-8")


def rows() -> Iterator[tuple[str, dict[str, str]]]:
    """Rows in the order of `ROWS`; what another part compares itself with stands in that part again."""
    full = {"runs": "full", "training": "full"}
    for name, (label, what, published, part) in ROWS.items():
        if name not in arms():
            continue
        if part in (TOWER, TOOLS) and name in ("tuned", "zoom"):
            own = ("frozen", "the tower as stage I left it") if part == TOWER else ("compare", "compare_crops alone")
            yield f"full-{own[0]}", {"label": own[0], "what": own[1], "part": part, **full}
        fields = {"label": label, "what": what, "part": part, "paper": published, "training": name}
        if name == f"reward-{default_reward()}":
            fields |= full
        if part == TEACHERS or name.startswith("base") or name in ("text", "sft", "rsft", "evidence"):
            del fields["training"]
        yield name, {key: value for key, value in fields.items() if value}


def pairs() -> list[tuple[str, str]]:
    """What is compared besides the usual pairs."""
    there = [name for name, _fields in rows()]
    wanted = [
        ("full", "longer"), ("longer", "longer2"),
        ("reward-paper", "reward-ours"), ("reward-released", "reward-ours"), ("reward-released", "reward-paper"),
        ("full-frozen", "tuned"), ("zoom", "full-compare"), ("select", "full-compare"),
        ("teacher-ledger", "teacher-narrator"), ("teacher-ledger", "teacher-both"),
        ("teacher-narrator", "teacher-both"),
    ]  # fmt: skip
    return [(a, b) for a, b in wanted if a in there and b in there]


def columns() -> Iterator[dict[str, Any]]:
    """Each column of ON, and of the world its parts: modalities, or kinds where one modality is asked."""
    for name in given("ON").split():
        if "_task" in name:
            yield {"id": name, "label": name.replace("_task", " task "), "kind": "real"}
            continue
        split = name.removesuffix("-degraded")
        label = {"seen": "seen objects", "test": "unseen objects", "val": "held-out objects"}.get(split, split)
        label += "" if split == name else f", {given('DEGRADE', 'degraded')}"
        kind = "world" if split == name else "degraded"
        yield {"id": name, "label": label, "kind": kind}
        for pattern, said in groups():
            part = "".join(letter if letter.isalnum() else "." for letter in said.replace("->", "2")).strip(".")
            yield {"id": f"{name}-{part}", "label": f"{label}: {said}", "runs": name, "groups": [pattern], "kind": kind}


def groups() -> list[tuple[str, str]]:
    """The parts of a world column as (pattern, in words); none where there is one alone."""
    asked = given("WORLD").split() or [f"{modality}/*" for modality in ("t->i", "i->i", "(i,t)->i", "i->t")]
    modalities = list(dict.fromkeys(one.partition("/")[0] for one in asked))
    if len(modalities) > 1:
        return [(f"{modality}/*", modality) for modality in modalities]
    return [(one, one.partition("/")[2]) for one in asked] if len(asked) > 1 else []


def note() -> str:
    """What a reader should know first."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    date = subprocess.run(["date", "-u", "+%Y-%m-%d"], capture_output=True, text=True, check=False)
    about = f"runs/nano.sh, {date.stdout.strip()}, commit {commit.stdout.strip() or 'unknown'}, {platform.machine()}"
    world = given("WORLD")
    asked = f"groups {world}" if world else "all groups"
    return f"{about}, {os.cpu_count()} cores. The small-detail world, {asked}; seeds {given('SEEDS', '0')}."


def quoted(text: str) -> str:
    return json.dumps(text)  # a JSON text in ASCII is a TOML text too


def _toml(value: Any) -> str:
    return f"[{', '.join(map(quoted, value))}]" if isinstance(value, list) else quoted(value)


if __name__ == "__main__":
    main()
