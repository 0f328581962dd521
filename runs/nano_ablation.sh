#!/usr/bin/env bash
# The paper's ablation on two groups of the small-detail world, pictures to pictures: the mark and the print. One command,
# some hours of one core; what it may take is printed first, and PLAN=only prints nothing else.
#
#     runs/nano_ablation.sh BASE OUT [queries of each split]     # BASE: a folder that runs/nano/base.sh made
#
# Every variable of runs/nano.sh may be set beside it, such as LEARN=1000 STEPS_RL=40 ARMS="base sft full".
set -euo pipefail
cd "$(dirname "$0")/.."
export START=$1 WORLD=${WORLD:-i->i/which i->i/print} ON=${ON:-seen test}
export ARMS=${ARMS:-base-no-tools base text sft rsft text-rl sft-rl full evidence}
export LEARN=${LEARN:-800} LEARN_TEXT=${LEARN_TEXT:-400} LEARN_RSFT=${LEARN_RSFT:-200} LEARN_RL=${LEARN_RL:-300}
export STEPS_RL=${STEPS_RL:-30}
exec runs/nano.sh "$2" "${3:-500}"
