"""Topics of a garments task that nothing was fitted on, one id a line: `vretrver eval mbeir ... --topics FILE`.

    python runs/evidence/held_out.py --root DATA garments-7 > FILE

Garments have no validation split, so half of them, by garment, was fitted on (`runs/evidence/fit.py`, `runs/fusion`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from runs.evidence.tasks import load_task


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="the data in M-BEIR's layout")
    parser.add_argument("task", help="such as garments-7")
    options = parser.parse_args()
    for asked in load_task(options.root, options.task, "test").fold(1).asked:
        print(asked.qid)


if __name__ == "__main__":
    main()
