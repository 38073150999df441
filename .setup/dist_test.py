#!/usr/bin/env python3
"""`make dist-test`: does the folder of `make dist` run elsewhere? It is moved to a path with a blank in it, the checkout's libtorch is hidden
(where the system lets a process do that), and with no environment it must

  - hold what SHA256SUMS says and pass `host-demo plugin check`,
  - describe the demo volume without loading libtorch, and segment it to the very labels that the build gives,
  - load nothing from outside but what every Linux has, and ask for no newer glibc than libtorch does,
  - run its own scripts/demo.rhai with the model that it brings,
  - have documents whose links lead somewhere, and a table of sizes (docs/viewers.md) that is right; SAM_OCTA2_BLESS=1 writes that anew,
  - serve a program in C that is compiled and linked with the folder's own header and library (where there is a compiler).
"""
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import dist
import links

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"
SYSTEM = re.compile(r"^(/usr)?/lib(64)?/.*(lib(c|m|dl|pthread|rt|util|gcc_s|stdc\+\+)\.so|ld-linux)")
DEMO = [str(DATA / "demo/volume.nii.gz"), "--prompts", str(DATA / "demo/prompts.json"), "--model", str(DATA / "parity/mini21.pt"),
        "--model-config", str(DATA / "parity/mini21.yaml"), "--device", "cpu", "--quiet"]


def fail(message):
    sys.exit(f"dist-test: {message}")


def say(message):
    print(f"dist-test: {message}", flush=True)


def move(folder, target):
    """Without copying a gigabyte: hard links, where the file system has them."""
    for file in folder.rglob("*"):
        if file.is_file():
            place = target / file.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(file, place)
            except OSError:
                shutil.copy2(file, place)


def hidden():
    """Words before a command that hide the checkout's libtorch from it, or none."""
    libtorch = (ROOT / ".libtorch").resolve()
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f"mount -t tmpfs none '{libtorch}' && exec \"$@\"", "sh"]
    try:
        works = subprocess.run([*words, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        works = False
    say(f"the checkout's libtorch is {'hidden' if works else 'only watched: this system lets no process hide it'}")
    return words if works else []


def run(command, folder):
    """With no environment; one thread, so that sums come out the same to the last bit."""
    variables = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        fail(f"{' '.join(map(str, command))}: exit code {done.returncode}: {' '.join(last)}")
    return done.stdout


def check_sums(folder):
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    for line in lines:
        digest, name = line.split("  ", 1)
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            fail(f"{name} is not what SHA256SUMS says")
    files = sum(file.is_file() for file in folder.rglob("*"))
    if files != len(lines) + 1:
        fail(f"{files} files, but SHA256SUMS knows {len(lines)}")
    say(f"{len(lines)} checksums are right")


def check_loaded(logs, folder):
    """The libraries that the system's loader started, by its own words."""
    loaded = set()
    for log in logs:
        loaded.update(re.findall(r"calling init: (/.*)", log.read_text(errors="replace")))
    strange = sorted(path for path in loaded if not path.startswith(f"{folder}/") and not SYSTEM.match(path))
    inside = sorted(os.path.relpath(os.path.normpath(path), folder) for path in loaded if path.startswith(f"{folder}/"))
    if strange or "libtorch/lib/libtorch_cpu.so" not in inside:
        fail(f"loaded from outside: {strange}; from the folder: {inside}")
    say(f"loaded from the folder: {', '.join(inside)}; from the system: {len(loaded) - len(inside)}")


def check_glibc(folder):
    needs = {}
    for library in [*folder.rglob("*.so*"), folder / "host-demo"]:
        for version in re.findall(r"Name: GLIBC_([0-9.]+)", dist.run("readelf", "-VW", library)):
            needs.setdefault(tuple(map(int, version.split("."))), set()).add(library.name)
    most = tuple(map(int, dist.GLIBC.split(".")))
    newer = {".".join(map(str, version)): sorted(names) for version, names in needs.items() if version > most}
    if newer:
        fail(f"glibc {dist.GLIBC} must suffice (.setup/glibc/old.c), but there is: {newer}; `objdump -T FILE | grep GLIBC_2.` names the symbols")
    say(f"glibc {'.'.join(map(str, max(needs)))} suffices, with GLIBCXX {dist.newest(folder, 'GLIBCXX')}")


def check_sizes(folder):
    page = ROOT / "docs/viewers.md"
    lines, wrong = page.read_text().splitlines(), []
    for number, parts, says in list(dist.parts_of(page.read_text())):
        is_ = dist.size_in(folder, parts)
        if abs(is_ - float(says)) > max(0.1 * is_, 0.2):
            wrong.append(f"{', '.join(parts) or 'all'}: {says} MB, but it is {dist.shown(is_)}")
        cells = lines[number].split("|")
        cells[2] = f" {dist.shown(is_)} "
        lines[number] = "|".join(cells)
    if os.environ.get("SAM_OCTA2_BLESS"):
        page.write_text("\n".join(lines) + "\n")
    elif wrong:
        fail(f"docs/viewers.md: {'; '.join(wrong)} (SAM_OCTA2_BLESS=1 writes the table anew)")
    say("the sizes in docs/viewers.md are right")


def check_links(folder):
    problems = [problem for page in links.documents(folder) for problem in links.broken(page)]
    if problems:
        fail("\n".join(["links that lead nowhere:", *problems]))
    say(f"the links of {len(links.documents(folder))} documents lead somewhere")


def check_c(folder, scratch, prefix):
    compiler = os.environ.get("CC", "cc")
    if shutil.which(compiler) is None:
        return say("no C compiler: the C example is left out")
    program = folder / "examples" / "click"
    run([compiler, "-std=c99", "-I", folder / "include", folder / "examples/click.c", "-o", program, "-L", folder, "-lsam_octa2",
         "-Wl,-rpath,$ORIGIN/.."], scratch)
    told = run([*prefix, str(program), DEMO[0], DEMO[4], DEMO[6], str(scratch / "click.nii.gz")], scratch)
    say(f"the C example says {told.strip()}")


def test(folder, scratch):
    move_to = scratch / "some where" / folder.name
    move(folder, move_to)
    check_sums(move_to)
    check_glibc(move_to)
    check_links(move_to)
    check_sizes(move_to)
    prefix = hidden()
    host = str(move_to / "host-demo")
    run([*prefix, host, "plugin", "check"], scratch)
    run([*prefix, "env", "LD_DEBUG=files", f"LD_DEBUG_OUTPUT={scratch}/light", host, "info", DEMO[0]], scratch)
    if any("libtorch" in log.read_text(errors="replace") for log in scratch.glob("light.*")):
        fail("info has loaded libtorch")
    watched = ["env", "LD_DEBUG=files", f"LD_DEBUG_OUTPUT={scratch}/loader", host]
    run([*prefix, *watched, "segment", *DEMO, "--out", "moved.npy"], scratch)
    check_loaded(scratch.glob("loader.*"), move_to)
    run([str(ROOT / "target/release/host-demo"), "segment", *DEMO, "--out", "built.npy"], scratch)
    if (scratch / "moved.npy").read_bytes() != (scratch / "built.npy").read_bytes():
        fail("the labels are not those of the build")
    say("the labels are those of the build")
    told = run([*prefix, host, "run", str(move_to / "scripts/demo.rhai"), "--set", "size=128", "--set", "slices=6", "--set", "out=demo"], scratch)
    say(f"scripts/demo.rhai: {told.strip().splitlines()[-1]}")
    check_c(move_to, scratch, prefix)


def main():
    folders = [folder for folder in (ROOT / "dist").glob("sam_octa2-*") if folder.is_dir()]
    if len(folders) != 1:
        fail(f"{len(folders)} folders in dist/; run `make dist` (and remove older ones)")
    with tempfile.TemporaryDirectory(dir=ROOT / "dist") as scratch:
        test(folders[0], Path(scratch))


if __name__ == "__main__":
    main()
