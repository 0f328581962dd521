"""What a trained folder says of itself, so that a model is served and trained on under the protocol that it learnt.

A finished folder is a whole model (`local:FOLDER` loads it) with `vretrver.json` beside the weights: the protocol's
digest, the prompts it saw, versions, where it comes from. It is written last: a folder without it is not finished.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from vretrver import __version__
from vretrver.episode import Episode
from vretrver.errors import InvalidInput, MissingPath, RecordError
from vretrver.evaluation.folder import read_json, write_json
from vretrver.messages import Completion, Part, TextPart, ToolCall
from vretrver.policies.habits import RECORD, Habits
from vretrver.protocol import Wire, render_tool_call, system_prompt
from vretrver.tools import Toolbox, default_toolbox
from vretrver.training.examples import Example
from vretrver.types import Candidate, Document, ImageRef, Query, Window


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The record of a finished folder.

    Args:
        stage: `sft`, `rsft` or `eapo`.
        protocol: digest of the protocol as it was (`protocol_digest`).
        prompt_hashes: how many examples had each system prompt, by its SHA-256.
        parent: the model it was trained from.
        habits: with what tools, turns, coordinates and sizes it is to be served (`policies.habits`); None when the
            examples did not tell.
        facts: counts and figures of the training.
        versions: of vretrver and the libraries.
    """

    stage: str
    protocol: str
    prompt_hashes: Mapping[str, int]
    parent: str = ""
    habits: Mapping[str, Any] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write the record.

        Raises:
            StorageError: the disk refuses.
        """
        write_json(folder / RECORD, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Checkpoint:
        """The record of a folder.

        Raises:
            MissingPath: the folder is no finished checkpoint.
            RecordError: the record does not parse.
        """
        if not (folder / RECORD).is_file():
            raise MissingPath(
                f"{folder} is no finished checkpoint of `vretrver train`: it has no {RECORD}; finish its training, or "
                "name another folder"
            )
        record = read_json(folder / RECORD)
        try:
            made = cls(**{one.name: record[one.name] for one in fields(cls) if one.name in record})
            if not (isinstance(made.protocol, str) and isinstance(made.prompt_hashes, dict)):
                raise TypeError("protocol or prompt_hashes is of another kind")
        except (KeyError, TypeError) as fault:
            raise RecordError(f"{folder / RECORD} is not a checkpoint's record ({fault})") from fault
        return made


def require_protocol(folder: Path, prompt_hash: str) -> Checkpoint:
    """The record of a checkpoint that speaks today's protocol with this system prompt.

    Args:
        prompt_hash: SHA-256 of the system prompt that it is about to be asked with.

    Raises:
        InvalidInput: it learnt another protocol or another prompt; says which.
        MissingPath, RecordError: as `Checkpoint.read`.
    """
    found = Checkpoint.read(folder)
    if found.protocol != protocol_digest():
        raise InvalidInput(
            f"{folder} learnt protocol {found.protocol}, and this vretrver {__version__} speaks {protocol_digest()}; "
            f"train it again, or use the vretrver that trained it ({found.versions.get('vretrver', 'unknown')})"
        )
    if prompt_hash not in found.prompt_hashes:
        known = ", ".join(one[:12] for one in found.prompt_hashes)
        raise InvalidInput(
            f"{folder} learnt the system prompt {known}, and these settings make {prompt_hash[:12]}: give the tools, "
            "max_tool_turns and boxes of its training data"
        )
    return found


def protocol_digest() -> str:
    """12 hexadecimal digits over what every prompt is made of, whichever tools are on offer.

    Computed, not counted up by hand: a made-up window goes through an episode with the paper's tools, and what was said
    on both sides is hashed. Any change of wording, order, image numbers or sizes is another protocol.
    """
    refs = [ImageRef(path=name) for name in ("q", "a", "b")]
    documents = [Document("a", "a text", refs[1]), Document("b", "another"), Document("c", image=refs[2])]
    window = Window(
        Query("which", (refs[0],), "Find it."),
        tuple(Candidate(one, 1.0 / rank, rank) for rank, one in enumerate(documents, start=1)),
    )
    episode = Episode(window, dict.fromkeys(refs, (1000, 700)), default_toolbox(), max_tool_turns=3, wire=Wire())
    calls: list[tuple[str, dict[str, Any]]] = [
        ("select_images", {"target_images": [0, 2]}),
        ("crop_image", {"bbox_2d": [10, 20, 500, 400], "target_image": 1}),
        ("crop_image", {"bbox_2d": [1], "target_image": 9}),
    ]
    for name, arguments in calls:
        episode.feed(Completion(render_tool_call(ToolCall(name, arguments), "Look.")))
    said = [(message.role, [_part(part) for part in message.parts]) for message in episode.conversation.messages]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]


def habits_of(examples: Iterable[Example]) -> dict[str, Any] | None:
    """What a model gets used to that learns from these examples: the most common of their habits, if they tell any."""
    told = [json.dumps(example.facts["habits"], sort_keys=True) for example in examples if "habits" in example.facts]
    if not told:
        return None  # data of other makers
    return Habits.from_record(json.loads(Counter(told).most_common(1)[0][0])).to_record()


def _part(part: Part) -> Any:
    if isinstance(part, TextPart):
        return part.text
    view = part.view
    return [part.index, view.image.label, view.width, view.height, view.box]


def prompt_hash_of(toolbox: Toolbox, max_tool_turns: int, wire: Wire) -> str:
    """SHA-256 of the system prompt that these settings make."""
    return hashlib.sha256(system_prompt(toolbox, max_tool_turns, wire.boxes).encode()).hexdigest()
