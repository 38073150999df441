#!/bin/sh
# What a first day with a GPU has to show (docs/gpu.md): parity in full float32, without TF32 by our own choice and by NVIDIA's; sessions;
# training; memory. Without a GPU one line says why not.
#   make test-gpu            in a checkout
#   ./test-gpu.sh [PYTHON]   in the folder of `make dist CUDA=1`, with libtorch from the torch of PYTHON
#   DEVICE=cpu ./test-gpu.sh   the same on a CPU, where nearly all must hold, too
set -eu
device=${DEVICE:-cuda:0}
if [ -d tests/programs ] || [ -d "$(dirname "$0")/tests/programs" ]; then
    cd "$(dirname "$0")"
    ./use-torch.sh "${1:-python3}"
    host=./host-demo
    export CARGO_MANIFEST_DIR="$PWD/core" LD_LIBRARY_PATH="$PWD/libtorch/lib"
    run() { "tests/programs/$1" --nocapture --test-threads 1; }
else
    host=target/release/host-demo
    run() { cargo test --release -p sam-octa2-core --test "$1" -- --nocapture --test-threads 1; }
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"$host" segment tests/data/demo/volume.nii.gz --prompts tests/data/demo/prompts.json --model tests/data/parity/mini21.pt \
    --model-config tests/data/parity/mini21.yaml --device "$device" --precision f32 --out "$out/labels.nii.gz" --quiet
export SAM_OCTA2_TEST_DEVICE="$device"
failed=
for test in gpu parity session train; do run "$test" || failed="$failed $test"; done
NVIDIA_TF32_OVERRIDE=0 run parity || failed="$failed parity-without-TF32"
[ -z "$failed" ] || { echo "test-gpu: failed:$failed" >&2; exit 1; }
echo "test-gpu: all passed on $device"
