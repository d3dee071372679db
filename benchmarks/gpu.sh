#!/usr/bin/env bash
# Everything that needs a GPU, in one call of under 8 minutes on a machine with Python 3.10 or later,
# torch, torchvision, numpy and safetensors. Writes JSON and logs to $OUT (out/gpu by default).
#
#     benchmarks/gpu.sh [CACHE_DIR]
#
# CACHE_DIR: on the storage that is to be measured; a temporary folder by default.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export OUT="${OUT:-out/gpu}" PYTHONPATH="$PWD" PYTHONUNBUFFERED=1
export CUBLAS_WORKSPACE_CONFIG=:4096:8 # what torch's deterministic algorithms need
cache="${1:-$(mktemp -d)}"
mkdir -p "$OUT"
failed=0

if python3 -c "import pytest, hypothesis" 2>/dev/null; then
  timeout 120 python3 -m pytest -p no:cacheprovider -q -m gpu test/core 2>&1 | tee "$OUT/tests.log" || failed=1
else
  echo "the gpu tests were not run: pytest or hypothesis is not installed" | tee "$OUT/tests.log"
fi
timeout 300 python3 benchmarks/on_gpu.py --cache-dir "$cache" --json "$OUT/gpu.json" --limit-s 280 \
  2>&1 | tee "$OUT/gpu.log" || failed=1
if command -v compute-sanitizer >/dev/null; then
  timeout 50 compute-sanitizer --tool memcheck --error-exitcode 9 \
    python3 benchmarks/on_gpu.py --check resnet18 --ratio 4 --cache-dir "$cache" \
    >"$OUT/sanitizer.log" 2>&1
  code=$?
  echo "compute-sanitizer on resnet18: exit code $code (124: out of time)" | tee -a "$OUT/gpu.log"
  [ $code -eq 0 ] || [ $code -eq 124 ] || failed=1
else
  echo "compute-sanitizer is not installed: not run" | tee -a "$OUT/gpu.log"
fi
exit $failed
