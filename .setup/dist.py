#!/usr/bin/env python3
"""`make dist`: dist/sam_octa2-VERSION-PLATFORM, a folder that runs wherever it is put. Python's standard library, readelf and strip.

The libraries that the engine needs are followed from library to library (NEEDED) and keep their places beside one another, because
libtorch looks for NVIDIA's by its own rpath (../../nvidia). The engine's rpath is cut down to `$ORIGIN/libtorch/lib`.
"""
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / "target" / "release"
LIBTORCH = ROOT / ".libtorch"
# what every Linux with glibc has
SYSTEM = {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1", "libgcc_s.so.1", "libstdc++.so.6",
          "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
# the oldest glibc that our own libraries may ask for: libtorch's (glibc/old.c keeps them to it)
GLIBC = "2.28"
# parts of the checkout that lie elsewhere in the folder
MOVED = {"plugin/include": "include", "plugin/examples": "examples", "plugin/python": "python"}
README = """SAM-OCTA2 {version}, a segmentation plugin for viewers of medical images ({platform})

Needs Linux ({machine}) with glibc {glibc} and libstdc++ (GLIBCXX {glibcxx}) or newer. Put the folder where you like, and keep what is in it together.

  libsam_octa2.so   the library that a viewer opens; libsam_octa2.json says who it is. It describes and converts volumes by itself;
                    libsam_octa2_engine.so, libtorch/ and nvidia/ are opened for the rest (nvidia/: libtorch's CPU library wants
                    them; no GPU is needed)
  host-demo         the same from a terminal:  ./host-demo --help;  ./host-demo plugin check
  include/          sam_octa2.h for C and C++, sam_octa2.hpp for C++17; examples/ has a viewer of each
  docs/viewers.md   how a viewer uses it; docs/scripting.md and scripts/ how to script it
  sam2_weights/     where host-demo looks for checkpoints: nano is here (host-demo models get NAME downloads others);
                    ./host-demo run scripts/demo.rhai  segments a phantom with it
  licences/         of everything in here;  sha256sum -c SHA256SUMS  checks the files

A GPU: the folder of `make dist CUDA=1` takes libtorch from the torch of a Python on that machine.
For research; not a medical device.
"""
LICENCES = """What is in this folder, and under which licence.

  LICENSE-MIT, LICENSE-APACHE     our own: libsam_octa2*.so, host-demo, include, examples, scripts, docs (either; see NOTICE)
  licences/rust.txt               the Rust crates linked into these
{rest}"""
# licence folders of the wheels -> what they are of
WHEELS = {
    "torch": "libtorch/lib/libtorch*.so, libc10.so (PyTorch, BSD-3-Clause, and what it contains; its wheel\n"
             "                                  is linked with Intel oneMKL, Intel Simplified Software License)",
    "nvidia_cuda_runtime": "nvidia/cu13/lib/libcudart.so.13 (NVIDIA CUDA Toolkit EULA)",
    "nvidia_cuda_cupti": "nvidia/cu13/lib/libcupti.so.13 (NVIDIA CUDA Toolkit EULA)",
}


def fail(message):
    sys.exit(f"dist: {message}")


def run(*command):
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    except FileNotFoundError:
        fail(f"{command[0]} is missing (Debian/Ubuntu: apt install binutils)")
    if done.returncode != 0:
        fail(f"{' '.join(map(str, command))}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    return done.stdout


def dynamic(library, tag):
    """The entries NEEDED, RPATH or RUNPATH of a library."""
    return re.findall(rf"\({tag}\).*\[(.*)\]", run("readelf", "-dW", library))


def needed(engine, torch_lib):
    """Every library that the engine needs and a system has not: {its place in the folder: where it lies now}."""
    found, queue, seen = {}, [(engine, [torch_lib])], set()
    while queue:
        library, folders = queue.pop()
        for name in dynamic(library, "NEEDED"):
            if name in SYSTEM or name in seen:
                continue
            seen.add(name)
            path = next((folder / name for folder in folders if (folder / name).is_file()), None)
            if path is None:
                fail(f"{library} needs {name}, which is neither beside libtorch nor part of every Linux")
            place = os.path.normpath(Path("libtorch/lib") / os.path.relpath(path.parent, torch_lib) / name)
            if place.startswith(".."):
                fail(f"{path} lies too far from libtorch to be moved with it")
            found[place] = path
            rpath = ":".join(dynamic(path, "RPATH") + dynamic(path, "RUNPATH")).split(":")
            own = [Path(os.path.normpath(entry.replace("$ORIGIN", str(path.parent)))) for entry in rpath if entry]
            queue.append((path, own + folders))
    return found


def change_rpath(engine, rpath="$ORIGIN/libtorch/lib"):
    """Where the engine looks for libtorch: the folder's own, and not that of the checkout."""
    for old in dynamic(engine, "RUNPATH") + dynamic(engine, "RPATH"):
        data = engine.read_bytes()
        if len(rpath) > len(old) or data.count(old.encode() + b"\0") != 1:
            fail(f"{engine}: rpath {old} cannot be changed to {rpath}")
        engine.write_bytes(data.replace(old.encode() + b"\0", rpath.encode().ljust(len(old) + 1, b"\0")))


def copy(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    if not source.exists():
        fail(f"{source} is missing; run `make build` first")
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "tests", "*.egg-info", ".*"))
    else:
        shutil.copyfile(source, target)
        shutil.copymode(source, target)


def place(part):
    """Where a part of the checkout lies in the folder."""
    for old, new in MOVED.items():
        if part == old or part.startswith(old + "/"):
            return new + part[len(old):]
    return part


def relink(page, folder):
    """Links of a copied document: to where things lie in the folder; what is not in it keeps its words without the link."""
    back = {new: old for old, new in MOVED.items()}
    first, *rest = page.relative_to(folder).parts
    home = Path(back.get(first, first), *rest).parent

    def linked(match):
        file, mark, anchor = match["link"].partition("#")
        if not file or re.match(r"[a-z]+:", file):
            return match.group()
        target = folder / place(os.path.normpath(home / file))
        if not target.exists():
            return match["text"]
        return f"{match['before']}({os.path.relpath(target, page.parent)}{mark}{anchor})"

    text = page.read_text()
    page.write_text(re.sub(r"(?P<before>!?\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\])\((?P<link>[^()\s]+)\)", linked, text))


def parts_of(table):
    """The rows of the table of sizes in docs/viewers.md: (number of the line, parts, megabytes that it says)."""
    for number, line in enumerate(table.splitlines()):
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 5 and re.fullmatch(r"[0-9.]+", cells[2]):
            yield number, re.findall(r"`([^`]+)`", cells[1]), cells[2]


def size_in(folder, parts):
    """Megabytes of parts of the folder; of none, of all of it."""
    return sum(size(folder / part) for part in parts) / 1e6 if parts else size(folder) / 1e6


def shown(megabytes):
    """As the table shows it."""
    return f"{megabytes:.0f}" if megabytes >= 10 else f"{megabytes:.1f}"


def newest(folder, prefix):
    """The highest version of a symbol that the libraries ask the system for."""
    versions = set()
    for library in [*folder.rglob("*.so*"), folder / "host-demo"]:
        versions.update(re.findall(rf"Name: {prefix}_([0-9.]+)", run("readelf", "-VW", library)))
    return max(versions, key=lambda version: [int(part) for part in version.split(".")], default="?")


def linked_crates():
    """The crates that end up in the libraries and the program, as `cargo metadata` gives them."""
    target = re.search(r"^host: (.*)$", run("rustc", "-vV"), re.M).group(1)
    metadata = json.loads(run("cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target,
                              "--manifest-path", ROOT / "Cargo.toml"))
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    queue = [package for package in metadata["workspace_members"]]
    seen = set(queue)
    while queue:
        for dependency in nodes[queue.pop()]["deps"]:
            inside = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            macro = any("proc-macro" in target["kind"] for target in packages[dependency["pkg"]]["targets"])
            if inside and not macro and dependency["pkg"] not in seen:
                seen.add(dependency["pkg"])
                queue.append(dependency["pkg"])
    own = set(metadata["workspace_members"])
    version = next(packages[package]["version"] for package in own if packages[package]["name"] == "sam-octa2")
    return version, sorted((packages[package] for package in seen - own), key=lambda crate: (crate["name"], crate["version"]))


def rust_licences(crates, target):
    """A table of the crates, then every licence text once with the crates that bring it."""
    texts = {}
    for crate in crates:
        folder = Path(crate["manifest_path"]).parent
        for file in sorted(folder.iterdir()):
            if re.match(r"(?i)(licen[sc]e|copying|notice|copyright|unlicense)", file.name) and file.is_file():
                text = file.read_text(errors="replace").strip()
                texts.setdefault(" ".join(text.split()), (text, []))[1].append(f"{crate['name']} {crate['version']}")
    lines = ["Rust crates linked into this software: name, version, licence, source.", ""]
    for crate in crates:
        licence = crate["license"] or crate["license_file"] or fail(f"the crate {crate['name']} names no licence")
        lines.append(f"{crate['name']:32} {crate['version']:20} {licence:48} {crate['repository'] or ''}".rstrip())
    lines += ["", "Rust's standard library: MIT OR Apache-2.0, https://github.com/rust-lang/rust", ""]
    for text, users in texts.values():
        lines += ["=" * 100, "Of " + ", ".join(users) + ":", "", text, ""]
    target.write_text("\n".join(lines))


def torch_licences(target):
    rest = []
    for wheel, what in WHEELS.items():
        found = sorted(LIBTORCH.glob(f"{wheel}-*.dist-info/licenses"))
        if found:
            copy(found[-1], target / wheel)
            rest.append(f"  licences/{wheel + '/':22} {what}")
        else:
            rest.append(f"  {wheel}: the libtorch is the builder's own; see there for its licence")
    rest.append("  (https://gcc.gnu.org)           libtorch/lib/libgomp.so.1 (GPL-3.0-or-later with the GCC Runtime Library Exception 3.1)\n")
    return "\n".join(rest)


def checksums(folder):
    lines = []
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            lines.append(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(folder)}\n")
    (folder / "SHA256SUMS").write_text("".join(lines))


def size(path):
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def show_sizes(folder):
    parts = [*folder.rglob("*.so*"), *(part for part in folder.iterdir() if part.name not in ("libtorch", "nvidia") and ".so" not in part.name)]
    for part in sorted(parts, key=size, reverse=True):
        print(f"{size(part) / 1e6:9.2f} MB  {part.relative_to(folder)}{'/' if part.is_dir() else ''}")
    print(f"{size(folder) / 1e6:9.2f} MB  {folder.relative_to(ROOT)}")


def fill(folder, version, crates, name):
    engine = folder / "libsam_octa2_engine.so"
    torch = (LIBTORCH / "torch").resolve()
    for file in ["libsam_octa2.so", engine.name, "libsam_octa2.json", "host-demo"]:
        copy(BUILT / file, folder / file)
    for place, library in needed(engine, torch / "lib").items():
        copy(library, folder / place)
    for library in [*folder.rglob("*.so*"), folder / "host-demo"]:
        run("strip", "--strip-unneeded", library)
    change_rpath(engine)
    copy(torch / "build-version", folder / "libtorch/build-version")
    documents(folder)
    (folder / "licences").mkdir()
    rust_licences(crates, folder / "licences/rust.txt")
    (folder / "licences/README.txt").write_text(LICENCES.format(rest=torch_licences(folder / "licences")))
    needs = {"glibc": newest(folder, "GLIBC"), "glibcxx": newest(folder, "GLIBCXX")}
    (folder / "README.txt").write_text(README.format(version=version, platform=name, machine=platform.machine(), **needs))
    checksums(folder)


def documents(folder):
    """Headers, examples, the Python package, scripts, the model and the pages, with their links."""
    for part in ["include", "examples", "python"]:
        if part != "python" or (ROOT / "plugin" / part).is_dir():
            copy(ROOT / "plugin" / part, folder / part)
    names = ["README.md", "models.toml", "nano.safetensors", "nano.yaml", "nano.validation.json"]
    weights = [f"sam2_weights/{name}" for name in names]
    for part in ["scripts", "LICENSE-MIT", "LICENSE-APACHE", "NOTICE", *weights]:
        copy(ROOT / part, folder / part)
    for page in sorted((ROOT / "docs").glob("*.md")):
        copy(page, folder / "docs" / page.name)
    copy(ROOT / "docs/images", folder / "docs/images")
    for page in folder.rglob("*.md"):
        relink(page, folder)


def make(fill, ending=""):
    """The folder, renamed when it is whole."""
    if platform.system() != "Linux":
        fail("is written for Linux")
    if not (LIBTORCH / "torch/lib/libtorch_cpu.so").is_file():
        fail(f"{LIBTORCH}/torch/lib/libtorch_cpu.so is missing; run `make build` first")
    version, crates = linked_crates()
    name = f"linux-{platform.machine()}"
    target = ROOT / "dist" / f"sam_octa2-{version}-{name}{ending}"
    new = ROOT / "dist" / ".new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    fill(new, version, crates, name)
    shutil.rmtree(target, ignore_errors=True)
    new.rename(target)
    show_sizes(target)


if __name__ == "__main__":
    try:
        make(fill)
    except (OSError, KeyboardInterrupt) as error:
        fail(str(error) or "interrupted")
