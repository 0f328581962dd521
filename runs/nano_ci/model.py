"""An untrained model of the nano agent's architecture, small enough for CI: random numbers, a tokenizer of the data.

python runs/nano_ci/model.py FOLDER --data DATA
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vretrver.training.data import load_examples
from vretrver.training.nano.architecture import Size, new_model, new_processor, save
from vretrver.training.nano.episodes import phrases
from vretrver.training.nano.tokenizer import new_tokenizer


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", required=True)
    options = parser.parse_args()
    folder = options.folder
    if (folder / "config.json").is_file():
        return
    torch.set_num_threads(1)
    torch.manual_seed(0)
    words = [message.text for example in load_examples([options.data]) for message in example.messages]
    tokenizer = new_tokenizer(words, phrases(), vocabulary=600)
    size = Size(width=192, layers=2, heads=4, inner=384, own=(16, 32))
    save(folder, new_model(tokenizer, size, pretrained=False), new_processor(tokenizer))


if __name__ == "__main__":
    main()
