"""`make bench-boundary`: what it costs to call the plugin from a viewer, measured by a viewer in C++ (boundary.cpp).

    python3 tests/bench/boundary.py [--model FILE --model-config NAME] [--side 512] [--mib 1024] [--plugins 100] [--folder DIR]

Three parts: microseconds of cheap calls next to a click on an encoded slice; memory of the process before and after a large volume is lent;
milliseconds for each plugin of a folder, by sidecar and by opening it. Without a model: the tests' own, which is small and fast, so that the
share of the boundary in a click is the largest that it can be. Writes docs/bench/boundary.json.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "target/release/libsam_octa2.so"
PARITY = ROOT / "tests/data/parity"
CLICK = "session_prompt, a click on an encoded slice"
# what a viewer calls for a click besides the click itself
AROUND = ["mask_info + text_free", "mask_view + release", "mask_retain + mask_free", "session_describe + text_free"]


def fail(message):
    sys.exit(f"bench: {message}")


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        fail(f"{' '.join(map(str, command))}: {(done.stderr.strip().splitlines() or ['failed'])[0]}")
    return done.stdout


def measured(*command):
    return {name: float(value) for name, value in (line.split("\t") for line in run(*command).splitlines())}


def show(title, values, unit=""):
    print(f"\n{title}\n")
    width = max(map(len, values))
    for name, value in values.items():
        print(f"| {name.ljust(width)} | {value:12.2f}{unit} |")


def scan(program, folder, count):
    for number in range(count):
        name = Path(folder) / f"libplugin{number:03}"
        shutil.copyfile(LIBRARY, name.with_suffix(".so"))
        shutil.copyfile(LIBRARY.with_suffix(".json"), name.with_suffix(".json"))
    return measured(program, "scan", folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(PARITY / "mini21.pt"))
    parser.add_argument("--model-config", default=str(PARITY / "mini21.yaml"))
    parser.add_argument("--side", type=int, default=512, help="pixels of a slice's side for the calls")
    parser.add_argument("--mib", type=int, default=1024, help="size of the volume that is lent")
    parser.add_argument("--plugins", type=int, default=100)
    parser.add_argument("--folder", help="where the plugins are copied to; default: a temporary folder")
    options = parser.parse_args()
    model = json.dumps({"model": options.model, "model_config": options.model_config, "device": "cpu"})
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        program = Path(folder) / "boundary"
        source = Path(__file__).with_suffix(".cpp")
        run(os.environ.get("CXX", "c++"), "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", source, "-o", program, "-ldl")
        calls = measured(program, "calls", LIBRARY, model, options.side)
        lent = measured(program, "lend", LIBRARY, model, options.mib // 2)  # a slice of the volume is 2 MiB
        (plugins := Path(folder) / "plugins").mkdir()
        scanned = scan(program, plugins, options.plugins)
    share = 100 * sum(calls[name] for name in AROUND) / calls[CLICK]
    show("Microseconds (median)", calls)
    print(f"\nAround a click a viewer calls: {'; '.join(AROUND)}. Together {share:.3f} % of the click.")
    show(f"A volume of {options.mib} MiB, lent", lent)
    show(f"Milliseconds for each of {options.plugins} plugins", scanned)
    machine = {"cores": os.cpu_count(), "load": os.getloadavg()[0], "date": time.strftime("%Y-%m-%d"), "model": Path(options.model).name}
    out = ROOT / "docs/bench/boundary.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"machine": machine, "microseconds": calls, "share_percent": share, "lent": lent, "scan_ms": scanned}, indent=1) + "\n")


if __name__ == "__main__":
    main()
