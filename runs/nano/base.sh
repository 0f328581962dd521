#!/usr/bin/env bash
# The base model that runs/nano.sh goes on from: an eye that sees marks and letters, a text model that compares and points.
#
#     runs/nano/base.sh OUT [--smoke] [--device cuda]
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=16000000000
exec "${BIN:-.venv/bin}/python" runs/nano/make.py "$@"
