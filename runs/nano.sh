#!/usr/bin/env bash
# The nano agent from nothing to a table of results: model, data, SFT, RSFT, evaluation. Unattended; may be stopped and
# started again, and then goes on where it was.
#
#     runs/nano.sh OUT [queries]        # OUT: models, data, runs and table.md
#
# runs/nano_ci.sh is the twin of a few minutes.
set -euo pipefail
OUT=$1 SIZE=${2:-500}
cd "$(dirname "$0")/.."
BIN=${BIN:-.venv/bin} SETTINGS=${SETTINGS:-runs/nano_} SPLITS=${SPLITS:-seen test} DISTRACTORS=${DISTRACTORS:-3}
TOOLS=${TOOLS:-compare_crops}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
mkdir -p "$OUT"
say() { echo "== $*" >&2; }
train() { say "train $*"; "$BIN/vretrver" train "$@"; }

train synthesize "${SETTINGS}world.toml" -o "$OUT/data" --set "cache=\"$OUT/cache\""
train synthesize "${SETTINGS}text.toml" -o "$OUT/data-text" --set "cache=\"$OUT/cache\""
say "model"
${BASE:-runs/nano/base.sh} "$OUT/base"

train sft "${SETTINGS}sft.toml" -o "$OUT/sft" --set "model=\"$OUT/base\"" --set "data=[\"$OUT/data\"]" --set "cache=\"$OUT/cache\""
train sft "${SETTINGS}sft.toml" -o "$OUT/text" --set "model=\"$OUT/base\"" --set "data=[\"$OUT/data-text\"]" --set samples.every=0
# An agent of whose rollouts none is fit ends here; what there is is measured all the same, and the script fails at its end.
stages=(base-no-tools base text sft rsft) failed=0
train rsft "${SETTINGS}rsft.toml" --from "$OUT/sft" -o "$OUT/rsft" --set "cache=\"$OUT/cache\"" || failed=1
if [ $failed = 1 ]; then unset 'stages[4]'; fi

# Base with and without tools, text-only SFT, SFT, SFT + RSFT: the rows of the paper's ablation that these stages have.
measure() { # name, checkpoint, tools
  local split
  for split in $SPLITS; do
    say "eval $1 on $split"
    "$BIN/vretrver" eval world --split "$split" --size "$SIZE" --distractors "$DISTRACTORS" --top-k "$((DISTRACTORS + 1))" \
      --coarse vector --no-ocr --policy "local:$OUT/$2" --tools "$3" --cache "$OUT/cache" -o "$OUT/runs/$split-$1" > /dev/null
  done
}
measure base-no-tools base none
measure base base "$TOOLS"
measure text text none
measure sft sft "$TOOLS"
if [ $failed = 0 ]; then measure rsft rsft "$TOOLS"; fi

for split in $SPLITS; do
  echo "### $split"
  "$BIN/python" runs/nano_table.py "${stages[@]/#/$OUT/runs/$split-}"
done | tee "$OUT/table.md"
exit $failed
