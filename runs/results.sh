#!/usr/bin/env bash
# Every run behind docs/results.md, one command each, and the report that shows them. May be stopped and started again.
#
#     runs/results.sh DATA OUT [world-size]     # DATA: development collections in M-BEIR's layout; OUT: run folders and report
#
# DATA=none leaves the collections out. A small twin runs in CI: tests/test_results_script.py.
set -euo pipefail
DATA=$1 OUT=$2 SIZE=${3:-500}
export OMP_NUM_THREADS=1
cd "$(dirname "$0")/.."
BIN=${BIN:-.venv/bin}
run() { local name=$1; shift; echo "== $name"; "$BIN/vretrver" eval "$@" --cache "$OUT/cache" -o "$OUT/runs/$name"; }
mkdir -p "$OUT"

if [ "$DATA" != none ]; then
  # The garments that nothing was fitted on.
  for task in garments-0 garments-3 garments-7; do
    "$BIN/python" runs/evidence/held_out.py --root "$DATA" $task > "$OUT/$task.ids"
  done
  for task in grocery_task0 grocery_task2 grocery_task4 grocery_task6 garments_task0 garments_task3 garments_task7; do
    about=(mbeir --root "$DATA" --task $task --top-k 20)
    case $task in garments*) about+=(--topics "$OUT/${task/_task/-}.ids") ;; esac
    run "$task" "${about[@]}"                                          # lite, its signals, the evidence agent
    run "$task-vector" "${about[@]}" --coarse vector --policy none      # lite's vector alone
    run "$task-no-ocr" "${about[@]}" --no-ocr
  done
  run grocery_task2-bm25 mbeir --root "$DATA" --task grocery_task2 --top-k 20 --coarse bm25 --policy none
  # What each part is worth, where looking helps most.
  about=(mbeir --root "$DATA" --task garments_task7 --top-k 20 --topics "$OUT/garments-7.ids")
  run garments_task7-tools-none "${about[@]}" --tools none
  run garments_task7-select "${about[@]}" --tools select
  run garments_task7-zoom "${about[@]}" --tools zoom
  run garments_task7-shuffled "${about[@]}" --shuffles 2
  for ocr in ocr no-ocr; do
    run "grocery_task4-$ocr-tools-none" mbeir --root "$DATA" --task grocery_task4 --top-k 20 "--$ocr" --tools none
  done
  for planner in sliding:10,5 merge:10,5 onepass:10; do
    run "garments_task7-${planner//[:,]/-}" "${about[@]}" --planner $planner
  done
fi

# The small-detail world: unseen objects, four candidates, chance .25.
run world world --size "$SIZE" --seed 7 --top-k 4 --no-ocr
run world-tools-none world --size "$SIZE" --seed 7 --top-k 4 --no-ocr --tools none
run world-vector world --size "$SIZE" --seed 7 --top-k 4 --no-ocr --coarse vector --policy none
run world-ocr world --size "$((SIZE / 4))" --seed 7 --top-k 4

"$BIN/vretrver" report "$OUT"/runs/* -o "$OUT/report.html"
