"""Makes tests/data/blosc2/chunks.json: chunks of PyPI blosc2 (4.14) and what they hold, for host-demo's own decoder.

    python tests/tools/make_blosc2_fixtures.py      # needs numpy and blosc2
"""

import base64
import gzip
import json
from pathlib import Path

import blosc2
import numpy as np

OUT = Path(__file__).parents[1] / "data/blosc2/chunks.json"


def arrays():
    random = np.random.default_rng(3)
    smooth = np.add.outer(np.sin(np.arange(24) / 9), np.cos(np.arange(30) / 7))
    yield "smooth float32", smooth.astype("float32")
    yield "smooth int16", (1000 * smooth).astype("int16")
    yield "noise uint8", random.integers(0, 256, (20, 30), dtype="uint8")
    yield "noise float32", random.normal(size=(12, 20)).astype("float32")
    yield "noisy float64", np.round(smooth + random.normal(size=smooth.shape), 1)
    yield "zeros", np.zeros((50, 60), "float32")
    yield "ones", np.ones((50, 60), "float32")
    mask = np.zeros((70, 80), "uint8")
    mask[20:30, 25:60] = 1
    yield "mask", mask
    yield "odd length", random.integers(0, 3, 1027, dtype="int32")
    yield "one value", np.array([7], "int16")
    blocks = np.zeros(60000, "float32")
    blocks[20000:20100] = random.normal(size=100)
    blocks[40000:] = 3.5
    yield "several blocks", blocks


def main():
    cases = []
    text = lambda data: base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()
    for name, array in arrays():
        for codec in (blosc2.Codec.ZSTD, blosc2.Codec.LZ4):
            for filters in (blosc2.Filter.NOFILTER, blosc2.Filter.SHUFFLE):
                for level in (1, 5):
                    chunk = blosc2.compress2(
                        array, typesize=array.itemsize, codec=codec, clevel=level, filters=[filters], nthreads=1,
                        **({"blocksize": 16384} if name == "several blocks" else {}),
                    )
                    title = f"{name}, {codec.name}, {filters.name}, level {level}"
                    case = {"name": title, "chunk": text(chunk), "plain": text(array.tobytes())}
                    if not any(case["chunk"] == other["chunk"] for other in cases):
                        cases.append(case)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(cases, indent=0) + "\n")
    print(len(cases), "chunks,", OUT.stat().st_size, "bytes")


main()
