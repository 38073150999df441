#!/bin/sh
# ./use-torch.sh [PYTHON]   takes libtorch from the torch of a Python (pip install torch==2.13.0), with the CUDA libraries beside it.
set -eu
cd "$(dirname "$0")"
python=${1:-python3}
wanted=$(cat libtorch/build-version)
found=$("$python" - <<'END'
import importlib.metadata, importlib.util, pathlib
spec = importlib.util.find_spec("torch")
if spec is not None:
    print(importlib.metadata.version("torch").split("+")[0], pathlib.Path(spec.origin).resolve().parent / "lib")
END
)
version=${found%% *} lib=${found#* }
if [ -z "$found" ]; then
    echo "use-torch: $python has no torch: $python -m pip install torch==$wanted" >&2
    exit 1
elif [ "$version" != "$wanted" ]; then
    echo "use-torch: the torch of $python is $version, this build needs $wanted: $python -m pip install torch==$wanted" >&2
    exit 1
elif [ ! -f "$lib/libtorch_cuda.so" ]; then
    echo "use-torch: the torch of $python has no CUDA part ($lib/libtorch_cuda.so): install PyPI's torch==$wanted, not the one for CPUs" >&2
    exit 1
fi
# libtorch looks for NVIDIA's libraries beside the folder that the link leads to
rm -f libtorch/lib
ln -s "$lib" libtorch/lib
echo "use-torch: $lib"
