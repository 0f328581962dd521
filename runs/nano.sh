#!/usr/bin/env bash
# The nano agent from nothing to the ablation's page: model, data, stages I to III and their controls, evaluation.
# Unattended; may be stopped and started again, and then goes on where it was.
#
#     runs/nano.sh OUT [queries]     # queries of each world column; OUT/ablation.html, OUT/table.md, OUT/<arm>, OUT/runs
#     PLAN=only runs/nano.sh OUT     # the plan with estimated minutes alone; RATES="episode=0.3" changes what it is made of
#
# What is run is chosen by the environment; what an arm stands on is made with it:
#
#     ARMS      base-no-tools base text sft rsft text-rl sft-rl full evidence (the default)
#               reward-paper reward-released reward-ours   stage III by another reward
#               longer, longer2                            stage III once more from full, with SET_LONGER besides; and again
#               tuned                                      stage III with the vision tower tuned
#               zoom select                                all stages with crop_image or select_images alone
#               teacher-ledger teacher-narrator teacher-both   stage I on other teachers' words, and what each learnt
#     ON        columns: seen test test-degraded, or any of seen, test, val, *-degraded, and M-BEIR tasks such as grocery_task4
#     REAL      the folder of such tasks; with it grocery_task4 and garments_task7 are columns too
#     WORLD     groups of the world that are asked and learnt, such as "i->i/which i->i/print"; all when empty
#     SEEDS     "0", or "0 1 2": every training once with each
#     LEARN LEARN_TEXT LEARN_RSFT LEARN_RL   questions that each stage learns from; STEPS_SFT STEPS_RL steps
#     PHOTOS    tasks of REAL whose val split stages II and III learn from beside the world, such as grocery_task4
#     SET_SFT SET_RSFT SET_RL SET_LONGER   further settings of the stages, such as SET_RL="train.learning_rate=1e-5"
#     REWARD    of stage III in all arms but reward-*: paper, released or ours; what its settings say when empty
#     DEGRADE   of the degraded columns, such as blur=2 (the default)
#     BASE      the command that makes the base model, runs/nano/base.sh; or START=FOLDER: one that is there
#
# runs/nano_ci.sh is the twin of minutes. docs/ablation.md says more.
set -euo pipefail
{ # read as a whole before it begins: the file may change under a run of hours
OUT=$1 SIZE=${2:-500}
cd "$(dirname "$0")/.."
BIN=${BIN:-.venv/bin} SETTINGS=${SETTINGS:-runs/nano_} DISTRACTORS=${DISTRACTORS:-3} TOOLS=${TOOLS:-compare_crops}
ARMS=${ARMS:-base-no-tools base text sft rsft text-rl sft-rl full evidence} SEEDS=${SEEDS:-0} TOKENS=${TOKENS:-300}
ON=${ON:-seen test test-degraded${REAL:+ grocery_task4 garments_task7}} DEGRADE=${DEGRADE:-blur=2}
WORLD=${WORLD:-} REAL=${REAL:-} BATCH=${BATCH:-16}
REWARD=${REWARD:-$(sed -n 's/^reward *= *"\(.*\)".*/\1/p' "${SETTINGS}eapo.toml")}
if [ -n "${PHOTOS:-}" ] && [ -z "$REAL" ]; then echo "nano.sh: PHOTOS are tasks of REAL; set REAL to their folder" >&2 && exit 2; fi
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} REWARD ARMS ON WORLD SEEDS SIZE SETTINGS DISTRACTORS DEGRADE
failed=0
say() { echo "== $(date +%H:%M) $*" >&2; }
at() { if [ "$2" = 0 ]; then echo "$OUT/$1"; else echo "$OUT/$1-seed$2"; fi; }
train() { say "train $*"; "$BIN/vretrver" train "$@"; }

"$BIN/python" runs/nano_ablation.py plan "$OUT"
if [ "${PLAN:-}" = only ]; then exit 0; fi
mkdir -p "$OUT"

# -- data and stages; each is made once, what is there is passed over ------------------------------------------------

shared=(--set "cache=\"$OUT/cache\"")
patterns=()
toml=
for one in $WORLD; do patterns+=(--group "$one") toml+="\"$one\","; done
asked() { # how many questions of the task, where that is said; and of which groups
  if [ -n "$1" ]; then printf '%s\n' --set "tasks.0.size=$1"; fi
  if [ -n "$toml" ]; then printf '%s\n' --set "tasks.0.groups=[$toml]"; fi
  return 0
}
photos() { # real pictures beside the world's
  local at=1 one
  for one in ${PHOTOS:-}; do
    printf '%s\n' --set "tasks.$at.dataset=\"mbeir\"" --set "tasks.$at.root=\"$REAL\"" --set "tasks.$at.task=\"$one\"" \
      --set "tasks.$at.split=\"val\""
    at=$((at + 1))
  done
}
settings() { for one in $1; do printf '%s\n' --set "$one"; done; }
declare -A written
synthesize() { # settings, name, questions, more settings
  local from=$1 name=$2 more
  if [ -n "${written[$name]:-}" ]; then return 0; fi
  mapfile -t more < <(asked "$3")
  shift 3
  train synthesize "$SETTINGS$from.toml" -o "$OUT/$name" "${shared[@]}" "${more[@]}" "$@" &&
    written[$name]=yes
}
tune() { # name, seed, data folders..: stage I
  local name=$1 seed=$2 data=
  shift 2
  for one in "$@"; do data+="\"$OUT/$one\","; done
  local more
  mapfile -t more < <(settings "${SET_SFT:-}")
  if [ "$name" = text ] || [ -n "${NO_SAMPLES:-}" ]; then more+=(--set samples.every=0); fi
  if [ -n "${STEPS_SFT:-}" ]; then more+=(--set "max_steps=$STEPS_SFT"); fi
  train sft "${SETTINGS}sft.toml" -o "$(at "$name" "$seed")" "${shared[@]}" --set "model=\"$OUT/base\"" \
    --set "data=[$data]" --set "seed=$seed" "${more[@]}"
}
steps() { sed -n 's/.*"steps": \([0-9]*\).*/\1/p' "$(at "$1" "$2")/vretrver.json"; } # that an arm was trained
optimise() { # name, seed, parent, more settings: stage III
  local name=$1 seed=$2 parent more
  parent=$(at "$3" "$seed")
  mapfile -t more < <(asked "${LEARN_RL:-}" && photos && settings "${SET_RL:-}")
  if [ -n "${STEPS_RL:-}" ]; then more+=(--set "train.max_steps=$STEPS_RL"); fi
  shift 3
  case $name in text-rl | zoom | select) more+=(--set train.samples.every=0) ;; esac # their tools are others
  train eapo "${SETTINGS}eapo.toml" --from "$parent" -o "$(at "$name" "$seed")" "${shared[@]}" "${more[@]}" \
    --set "train.seed=$seed" --set "reward=\"${REWARD:-paper}\"" "$@"
}
reject() { # name, seed, parent, more settings: stage II
  local name=$1 seed=$2 parent more
  parent=$(at "$3" "$seed")
  mapfile -t more < <(asked "${LEARN_RSFT:-}" && photos && settings "${SET_RSFT:-}")
  shift 3
  train rsft "${SETTINGS}rsft.toml" --from "$parent" -o "$(at "$name" "$seed")" "${shared[@]}" "${more[@]}" \
    --set "train.seed=$seed" --set "sampling.seed=$((1000 * seed))" "$@"
}

declare -A made
arm() { # name, seed: everything that it stands on, then itself; not zero where one of these fails
  local known="$1 $2"
  if [ -z "${made[$known]:-}" ]; then made[$known]=no && make_arm "$1" "$2" && made[$known]=yes; fi
  [ "${made[$known]}" = yes ]
}
make_arm() {
  local name=$1 seed=$2 tool before
  case $name in
    base | base-no-tools) # the CI twin's tokenizer is made of the data, so these come first
      if [ -n "${START:-}" ]; then ln -sfn "$(realpath "$START")" "$OUT/base"; else
        synthesize world data "${LEARN:-}" && say model && ${BASE:-runs/nano/base.sh} "$OUT/base"
      fi ;;
    evidence) ;;
    sft) arm base 0 && synthesize world data "${LEARN:-}" && tune sft "$seed" data ;;
    text) arm base 0 && synthesize text data-text "${LEARN_TEXT:-${LEARN:-}}" && tune text "$seed" data-text ;;
    rsft) arm sft "$seed" && reject rsft "$seed" sft ;;
    text-rl) arm text "$seed" &&
      optimise text-rl "$seed" text --set 'recipe.tools="none"' --set recipe.max_tool_turns=0 ;;
    sft-rl) arm sft "$seed" && optimise sft-rl "$seed" sft ;;
    full) arm rsft "$seed" && optimise full "$seed" rsft ;;
    reward-*) arm rsft "$seed" && optimise "$name" "$seed" rsft --set "reward=\"${name#reward-}\"" ;;
    longer | longer2)
      before=$([ "$name" = longer ] && echo full || echo longer)
      arm "$before" "$seed" && SET_RL="${SET_RL:-} ${SET_LONGER:-}" optimise "$name" "$seed" "$before" ;;
    tuned) arm rsft "$seed" && optimise tuned "$seed" rsft --set train.tune_vision=true ;;
    zoom | select)
      tool=$([ "$name" = zoom ] && echo crop_image || echo select_images)
      arm sft "$seed" && synthesize world "data-$name" "${LEARN:-}" --set "recipe.tools=\"$tool\"" &&
        STEPS_SFT=$(steps sft "$seed") NO_SAMPLES=1 tune "sft-$name" "$seed" "data-$name" &&
        reject "rsft-$name" "$seed" "sft-$name" --set "recipe.tools=\"$tool\"" &&
        optimise "$name" "$seed" "rsft-$name" --set "recipe.tools=\"$tool\"" ;;
    teacher-*)
      arm base 0 || return 1
      for tool in ledger narrator; do
        synthesize world "data-$tool" "${LEARN:-}" --set "teachers=[\"oracle:$tool\"]" || return 1
        synthesize world "words-$tool" "${WORDS:-60}" --set "teachers=[\"oracle:$tool\"]" \
          --set 'tasks.0.split="val"' --set tasks.0.seed=5 || return 1
      done
      if [ "$name" = teacher-both ]; then NO_SAMPLES=1 tune "$name" "$seed" data-ledger data-narrator
      else NO_SAMPLES=1 tune "$name" "$seed" "data-${name#teacher-}"; fi ;;
    *) echo "nano.sh: no such arm: $name; the head of runs/nano.sh lists them" >&2 && exit 2 ;;
  esac
}

# -- evaluation ------------------------------------------------------------------------------------------------------

measure() { # arm, seed
  local name=$1 seed=$2 column split about agent suffix=
  if [ "$seed" != 0 ]; then suffix=-seed$seed; fi
  case $name in
    evidence) agent=(--policy evidence) ;;
    base | base-no-tools) agent=(--policy "local:$OUT/base,max_new_tokens=$TOKENS,batch=$BATCH" --tools "$TOOLS") ;;
    *) agent=(--policy "local:$(at "$name" "$seed"),max_new_tokens=$TOKENS,batch=$BATCH") ;; # its tools are its habit
  esac
  if [ "$name" = base-no-tools ]; then agent+=(--tools none); fi
  for column in $ON; do
    split=${column%-degraded}
    case $column in
      *_task*) about=(mbeir --root "$REAL" --task "$column" --limit "$SIZE") ;;
      *) about=(world --split "$split" --size "$SIZE" --distractors "$DISTRACTORS" "${patterns[@]}") ;;
    esac
    if [ "$column" != "$split" ]; then about+=(--degrade "$DEGRADE" --degrade-on both); fi
    say "eval $name$suffix on $column"
    "$BIN/vretrver" eval "${about[@]}" --top-k "$((DISTRACTORS + 1))" --coarse vector --no-ocr "${agent[@]}" \
      --cache "$OUT/cache" -o "$OUT/runs/$column/$name$suffix" > /dev/null || failed=1
  done
}
for seed in $SEEDS; do
  for name in $ARMS; do
    if [ "$name" = "reward-${REWARD:-paper}" ]; then name=full; fi # it would be that agent again
    case $name in base | base-no-tools | evidence) if [ "$seed" != 0 ]; then continue; fi ;; esac
    if ! arm "$name" "$seed"; then say "$name cannot be made; the others go on" && failed=1 && continue; fi
    measure "$name" "$seed"
  done
done

# -- what came of it: tables, the bias of the teachers' words, the page ------------------------------------------------

for column in $ON; do
  echo "### $column"
  found=()
  for name in $ARMS; do
    for one in "$OUT/runs/$column/$name" "$OUT/runs/$column/$name"-seed*; do
      if [ -f "$one/metrics.json" ]; then found+=("$one"); fi
    done
  done
  if [ ${#found[@]} -gt 0 ]; then "$BIN/python" runs/nano_table.py "${found[@]}"; fi
done | tee "$OUT/table.md"
students=()
for name in $ARMS; do
  case $name in teacher-*) for one in "$OUT/$name" "$OUT/$name"-seed*; do if [ -f "$one/vretrver.json" ]; then students+=("$one"); fi; done ;; esac
done
if [ ${#students[@]} -gt 0 ]; then
  "$BIN/python" runs/nano_bias.py "${students[@]}" --words "$OUT/words-ledger" "$OUT/words-narrator" | tee "$OUT/bias.md"
fi
"$BIN/python" runs/nano_ablation.py describe "$OUT"
"$BIN/vretrver" report ablation "$OUT" -o "$OUT/ablation.html"
exit $failed
}
