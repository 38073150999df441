"""`make bench BENCH=scripts`: what scripts cost, each number next to its limit.

    python3 tests/bench/scripts.py --peers PYTHON [--turns 15]

PYTHON has numpy: the plugin is driven through its own Python package (one process, on one thread, so that runs can be compared). Medians over
the turns; of propagations, the smallest. What is compared with something (a call with an empty loop, a closure with none) takes turns with it. Writes docs/bench/scripts.json.
"""

import argparse
import os
import statistics
import sys
import time

from common import ROOT, machine, save, table

DATA = ROOT / "tests/data"
CALLS = 200_000


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def median(turns, work):
    return statistics.median(work() for _ in range(turns))


def thousand_lines():
    """The gallery again and again, each script in a function that is never called."""
    scripts = sorted((ROOT / "scripts").glob("*.rhai"))
    bodies = [[line for line in path.read_text().splitlines() if not line.startswith("import")] for path in scripts]
    bodies = [body for body in bodies if not any(line.startswith("fn ") for line in body)]  # no functions inside of functions
    lines, number = [], 0
    while len(lines) < 1000:
        lines += [f"fn f{number}() {{", *bodies[number % len(bodies)], "}"]
        number += 1
    return "\n".join(lines), len(lines)


def measure(turns):
    sys.path.insert(0, str(ROOT / "plugin/python"))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from sam_octa2 import Script, Volume

    script = Script()
    script.run("1")  # the engine's library and libtorch are opened
    ready = median(turns * 5, lambda: seconds(lambda: script.run("()")))

    volume = Volume.open(DATA / "demo/volume.nii.gz")
    call = f"let v = arg(`v`); let clock = timer(); for i in 0..{CALLS} {{ v.frames }} clock.elapsed"
    loop = f"let clock = timer(); for i in 0..{CALLS} {{ i }} clock.elapsed"
    def one_call():
        return (script.run(call, args={"v": volume}) - script.run(loop)) / CALLS
    native = median(turns, one_call)

    source, lines = thousand_lines()
    def parsing():
        return seconds(lambda: script.run(source)) - seconds(lambda: script.run("()"))
    parse = median(turns, parsing) * 1000 / lines

    model = {"model": str(DATA / "parity/mini21.pt"), "config": str(DATA / "parity/mini21.yaml"), "turns": turns}
    propagations = """
        let volume = arg("v"); let model = load_model(arg("model"), #{config: arg("config")});
        let session = new_session(volume, model); session.click(0, 131, 126); session.propagate();
        let times = [];
        for turn in 0..arg("turns") {
            let clock = timer(); session.propagate(); let plain = clock.elapsed;
            let clock = timer(); let areas = [];
            session.propagate(|slice| areas.push(slice.objects[0].area));
            times.push([plain, clock.elapsed]);
        }
        times"""
    times = script.run(propagations, args={"v": volume, **model})
    # the smallest of the turns: whatever else the machine does can only add, and to the one as to the other
    closure = min(with_closure for _, with_closure in times) - min(plain for plain, _ in times)
    return {
        "engine_ready_ms": ready * 1e3,
        "native_call_us": native * 1e6,
        "parse_1000_lines_ms": parse * 1e3,
        "closure_ms_of_a_slice": closure / volume.shape[0] * 1e3,
        "slice_ms": statistics.median(plain for plain, _ in times) / volume.shape[0] * 1e3,
    }


# the closure: 1 % of a slice of 1.5 s, which is what the smallest official model takes on two cores
LIMITS = {"engine_ready_ms": 20, "native_call_us": 2, "parse_1000_lines_ms": 100, "closure_ms_of_a_slice": 15}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", required=True, help="a Python that has numpy")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        # the same file, in the Python that has numpy
        os.execv(options.peers, [options.peers, __file__, "--inside", "--peers", options.peers, "--turns", str(options.turns)])
    found = measure(options.turns)
    rows = [[name.replace("_", " "), f"{found[name]:.3f}", f"< {limit}"] for name, limit in LIMITS.items()]
    print(table(["what", "median", "wanted"], rows))
    save("scripts", {"machine": machine(), "turns": options.turns, "measured": {k: round(v, 4) for k, v in found.items()}, "limits": LIMITS})


if __name__ == "__main__":
    main()
