#!/usr/bin/env python3
"""How long a stopped call still works: the longest time between two of its questions whether to go on, of every kind of long call.

    make_weights.py .../sam2.1_tiny.json tiny.safetensors     (tests/tools/parity)
    tests/bench/cancel.py --model tiny.safetensors --size 2.1-tiny --objects 50

Through the Python package; an eager library passes every question on. The random weights mean nothing, their speed does. Times are those of the
processor with one thread, so that a busy machine changes little; the tests count questions instead.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "plugin/python"))

import numpy as np  # noqa: E402

import sam_octa2  # noqa: E402
from sam_octa2 import Model, Script, Session, Volume, _calls  # noqa: E402


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--size", default="2.1-tiny")
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--objects", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def measure(name, call):
    """Runs `call(progress=...)`."""
    start = last = time.thread_time()
    longest, questions = 0.0, 0

    def asked(*_):
        nonlocal last, longest, questions
        now = time.thread_time()
        longest, last, questions = max(longest, now - last), now, questions + 1

    call(progress=asked)
    asked()
    print(f"{name:14} {last - start:7.2f} s, {questions:6} questions, the longest pause {longest:6.3f} s", flush=True)


def main():
    given = options()
    sam_octa2.set_threads(given.threads)
    with _calls.calling() as call:
        sam_octa2.load().call("selftest", b"eager", call.host)
    load = lambda **how: Model.load(given.model, given.size, device="cpu", precision=given.precision, **how)  # noqa: E731
    measure("load", load)
    model = load()
    volume = Volume.from_array(np.random.default_rng(1).integers(0, 255, (3, 512, 512), np.uint8))
    session = Session(volume, model)
    measure("encode", lambda **how: session.encode(1, **how))
    places = [(20 + 45 * (at % 10), 40 + 90 * (at // 10)) for at in range(given.objects)]
    measure("first prompt", lambda **how: session.prompt(0, points=[places[0]], **how))
    for at, place in enumerate(places[1:], 2):
        session.click(0, *place, object=at)
    measure("propagate", lambda **how: session.propagate(max_frames=1, **how))
    measure("correction", lambda **how: session.prompt(1, object=2, points=[places[3]], **how))
    script = 'let s = new_session(arg("v"), load_model(arg("model"), #{config: arg("size")})); s.click(0, 30, 30); s.labels()'
    args = {"v": volume, "model": given.model, "size": given.size}
    measure("script", lambda **how: Script().run(script, args=args, **how))
    with tempfile.TemporaryDirectory() as folder:
        request = {"model": given.model, "model_config": given.size, "device": "cpu", "output": f"{folder}/tiny.pt"}
        measure("export", lambda **how: sam_octa2.task("export", request, **how))
    measure("labels", session.labels)
    measure("save", session.save)
    state = session.save()
    measure("restore", lambda **how: Session.restore(volume, model, state, **how))
    measure("script of it", session.script)
    measure("run lengths", session.labels().rle)


if __name__ == "__main__":
    main()
