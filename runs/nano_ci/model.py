"""An untrained model of the nano agent's architecture, small enough for CI: about 0.3 million numbers, random.

python runs/nano_ci/model.py FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vretrver.protocol import system_prompt
from vretrver.tools import load_toolbox
from vretrver.training.nano.architecture import Size, new_model, new_processor, save
from vretrver.training.nano.episodes import phrases
from vretrver.training.nano.tokenizer import new_tokenizer


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    if (folder / "config.json").is_file():
        return
    torch.set_num_threads(1)
    torch.manual_seed(0)
    words = [system_prompt(load_toolbox("compare_crops"), 2, "0-1000")]
    tokenizer = new_tokenizer(words, phrases(), vocabulary=600)
    size = Size(width=64, layers=2, heads=4, inner=128, own=(16, 32))
    save(folder, new_model(tokenizer, size, pretrained=False), new_processor(tokenizer))


if __name__ == "__main__":
    main()
