#!/usr/bin/env bash
# The paper's ablation on the small-detail world: pictures to pictures (the mark and the print), and texts with and without
# a picture (the print). One command, some hours of one core; what it may take is printed first, and PLAN=only prints
# nothing else.
#
#     runs/nano_ablation.sh BASE OUT [queries of each split]     # BASE: a folder that runs/nano/base.sh made
#     REAL=M-BEIR PHOTOS=grocery_task4 runs/nano_ablation.sh BASE OUT     # stages II and III learn from photographs too
#
# Every variable of runs/nano.sh may be set beside it, such as LEARN=1000 STEPS_RL=40 ARMS="base sft full".
set -euo pipefail
cd "$(dirname "$0")/.."
export START=$1 WORLD=${WORLD:-i->i/which i->i/print t->i/print (i,t)->i/print} ON=${ON:-test test-degraded}
export ARMS=${ARMS:-base-no-tools base sft rsft text-rl sft-rl full evidence}
export LEARN=${LEARN:-1200} LEARN_TEXT=${LEARN_TEXT:-400} LEARN_RSFT=${LEARN_RSFT:-200} STEPS_RL=${STEPS_RL:-24}
export TOKENS=${TOKENS:-160}
export SET_RSFT=${SET_RSFT:-${PHOTOS:+tasks.1.limit=100}}
# Stage III asks what stage I can teach: elsewhere its rewards would be chance.
export SET_RL=${SET_RL:-tasks.0.size=300 tasks.0.groups=[\"i->i/which\",\"i->i/print\"]}
export SET_LONGER=${SET_LONGER:-tasks.0.size=100 train.learning_rate=3e-5}
exec runs/nano.sh "$2" "${3:-1000}"
