#!/usr/bin/env bash
# runs/nano.sh with a small untrained model that learns three questions by heart: every step of the road,
# in minutes on one core. Its tables say nothing about how good an agent is.
#
#     runs/nano_ci.sh OUT [queries]
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${1:-build/nano_ci}
export SETTINGS=runs/nano_ci/ ON=${ON:-val} DISTRACTORS=1 BASE="${BIN:-.venv/bin}/python runs/nano_ci/model.py --data $OUT/data"
export ARMS=${ARMS:-base-no-tools base text sft rsft text-rl sft-rl full}
exec runs/nano.sh "$OUT" "${2:-4}"
