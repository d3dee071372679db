#!/usr/bin/env bash
# Everything that needs a GPU, in one call of under 8 minutes on a machine with Python 3.10 or later,
# torch, torchvision, numpy and safetensors, and without a network. Writes JSON and logs to $OUT
# (out/gpu by default). What else is there is used: pytest and hypothesis, compute-sanitizer,
# accelerate and diffusers (python3 -m pip install pytest hypothesis accelerate diffusers).
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

# First what takes seconds and shows most: does it run at all.
timeout 60 python3 benchmarks/on_gpu.py --short --cache-dir "$cache" 2>&1 | tee "$OUT/short.log" || failed=1
if python3 -c "import pytest, hypothesis" 2>/dev/null; then
  # Warnings of another torch than CI's are not what is asked. Other files take seconds to collect.
  mapfile -t files < <(grep -rlwE --include='test_*.py' 'gpu|graphed' test/core)
  timeout 95 python3 -m pytest -p no:cacheprovider -q -W default --durations=5 \
    -m "gpu and not slow" "${files[@]}" 2>&1 | tee "$OUT/tests.log" || failed=1
else
  echo "the gpu tests were not run: pytest or hypothesis is not installed" | tee "$OUT/tests.log"
fi
timeout 250 python3 benchmarks/on_gpu.py --cache-dir "$cache" --json "$OUT/gpu.json" --limit-s 240 \
  2>&1 | tee "$OUT/gpu.log" || failed=1
if command -v compute-sanitizer >/dev/null; then
  timeout 70 compute-sanitizer --tool memcheck --error-exitcode 9 \
    python3 benchmarks/on_gpu.py --short --cache-dir "$cache" >"$OUT/sanitizer.log" 2>&1
  code=$?
  echo "compute-sanitizer on a short run: exit code $code (124: out of time)" | tee -a "$OUT/gpu.log"
  [ $code -eq 0 ] || [ $code -eq 124 ] || failed=1
else
  echo "compute-sanitizer is not installed: not run" | tee -a "$OUT/gpu.log"
fi
exit $failed
