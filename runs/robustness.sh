#!/usr/bin/env bash
# What blur, noise, compression, occlusion and low resolution of the query photo cost, before and after looking.
#
#     runs/robustness.sh DATA OUT [topics]     # curves in OUT/report.html; may be stopped and started again
set -euo pipefail
DATA=$1 OUT=$2 LIMIT=${3:-160}
export OMP_NUM_THREADS=1
cd "$(dirname "$0")/.."
BIN=${BIN:-.venv/bin}
mkdir -p "$OUT"
about=(mbeir --root "$DATA" --task grocery_task4 --top-k 20 --limit "$LIMIT" --cache "$OUT/cache")
"$BIN/vretrver" eval "${about[@]}" -o "$OUT/runs/sound"
for spec in blur=1 blur=2 blur=4 blur=8 noise=0.05 noise=0.1 noise=0.2 noise=0.4 jpeg=40 jpeg=20 jpeg=10 jpeg=5 \
  occlude=0.1 occlude=0.2 occlude=0.4 lowres=128 lowres=64 lowres=32; do
  echo "== $spec"
  "$BIN/vretrver" eval "${about[@]}" --degrade $spec -o "$OUT/runs/$spec"
done
"$BIN/vretrver" report "$OUT"/runs/* -o "$OUT/report.html"
