"""How much of what a student learnt is its teacher's wording: perplexity a word on teachers' held-out trajectories.

    python runs/nano_bias.py ckpt/teacher-ledger ckpt/teacher-narrator --words words-ledger words-narrator

A student's prompts hold no word of its teacher, so asking cannot tell teachers apart: hit@1 and form of students that
learnt the same questions in other words can (runs/nano.sh's arms teacher-*), and how surprised each is by the other's
words. The teachers share no four words in a row. Perplexity is of words, exp(nats / words), so that tokenizers do not
matter; the tokens that end turns are counted in. A student that learnt what is looked at rather than how it is said is
surprised by the other's words and just as right.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from vretrver.policies.local.loading import load
from vretrver.policies.local.prompts import PromptWriter
from vretrver.training.data import load_examples
from vretrver.training.examples import Example
from vretrver.training.rows import IGNORED, Collator, RowMaker, make_rows


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("students", nargs="+", type=Path)
    parser.add_argument(
        "--words", nargs="+", required=True, type=Path, help="held-out trajectories, a folder a teacher"
    )
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = {place.name: load_examples([str(place)]) for place in options.words}
    print("| student | " + " | ".join(f"perplexity a word of {name}" for name in data) + " |")
    print("|---|" + "---:|" * len(data))
    for student in options.students:
        loaded = load(str(student), dtype="float32")
        cells = [perplexity(loaded, examples, options.batch) for examples in data.values()]
        print(f"| {student.name} | " + " | ".join(cells) + " |", flush=True)


def perplexity(loaded: Any, examples: list[Example], batch: int) -> str:
    """exp(nats / words) over what the assistant says, and how many words that is."""
    import torch

    maker = RowMaker(PromptWriter(loaded.processor, loaded.name), loaded.name)
    rows = make_rows(examples, maker, _room(loaded.model))
    collate = Collator(rows.rows, maker)
    nats = 0.0
    with torch.inference_mode():
        for at in range(0, len(rows.rows), batch):
            inputs = collate([{"row": row} for row in range(at, min(at + batch, len(rows.rows)))])
            labels = inputs.pop("labels")[:, 1:]
            logits = loaded.model(**inputs).logits[:, :-1].float()
            nats += float(
                torch.nn.functional.cross_entropy(
                    logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
                )
            )
    if rows.left_out:
        print(f"{loaded.name}: {rows.summary}", file=sys.stderr)
    words = sum(_words(row) for row in rows.rows)
    return f"{math.exp(nats / words):.2f} ({words:,} words)"


def _words(row: Any) -> int:
    """Words of the turns that a row trains."""
    turns = [message.text for message in row.messages if message.role == "assistant"]
    return sum(len(text.split()) for text in turns[-len(row.spans) :])


def _room(model: Any) -> int:
    return int(getattr(model.config.get_text_config(), "max_position_embeddings", None) or 32768)


if __name__ == "__main__":
    main()
