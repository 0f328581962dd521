#!/usr/bin/env bash
# runs/nano.sh with a small untrained model that learns three questions by heart: every step of the road,
# in minutes on one core. Its table says nothing about how good an agent is.
#
#     runs/nano_ci.sh OUT
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${1:-build/nano_ci}
export SETTINGS=runs/nano_ci/ SPLITS=val DISTRACTORS=1 BASE="${BIN:-.venv/bin}/python runs/nano_ci/model.py --data $OUT/data"
exec runs/nano.sh "$OUT" "${2:-4}"
