#!/usr/bin/env python3
"""Puts libtorch into the checkout: `.setup/libtorch.py [--cuda]`. Needs Python 3.8+ and pip, nothing else.

The PyPI wheel of PyTorch carries libtorch's libraries and headers. pip is asked *which* wheels (so its own index, proxy and
certificate settings count); this script fetches them, because pip cannot resume: an interrupted download goes on where it
stopped, is checked against the index's SHA-256, and is unpacked into

    .libtorch/torch/{include,lib}   libtorch                     (LIBTORCH in .cargo/config.toml)
    .libtorch/nvidia/...            NVIDIA's libraries, found by libtorch's own rpath (../../nvidia)
    .libtorch/link/lib              links to the three CPU libraries (LIBTORCH_LIB): what the linker sees, so that
                                    one binary serves machines with and without a GPU

A libtorch of your own (environment variable LIBTORCH) is linked in place of the download.
"""
import argparse
import hashlib
import json
import os
import platform
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

TORCH = "2.13.0"  # what tch 0.26 is written for
ROOT = Path(__file__).resolve().parent.parent / ".libtorch"
CPU_WHEELS = {"Linux": [f"torch=={TORCH}", "nvidia-cuda-runtime==13.0.*", "nvidia-cuda-cupti==13.0.*"]}
LIBRARIES = ["torch", "torch_cpu", "c10"]


def fail(message):
    sys.exit(f"setup: {message}")


def say(message):
    print(f"setup: {message}", flush=True)


def need_tools():
    """Says everything that is missing at once, with the command that brings it."""
    missing = []
    if shutil.which("cargo") is None:
        missing.append("cargo (Rust 1.89 or newer, see rustup)")
    if shutil.which(os.environ.get("CXX", "c++")) is None:
        missing.append("a C++ compiler (Debian/Ubuntu: apt install g++)")
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode != 0:
        missing.append(f"pip for {sys.executable} (Debian/Ubuntu: apt install python3-pip)")
    if missing:
        fail("missing: " + "; ".join(missing))


def library(name):
    return f"lib{name}.dylib" if platform.system() == "Darwin" else f"lib{name}.so"


def link_libraries(torch):
    """.libtorch/link/lib: links to the CPU libraries only (no libtorch_cuda: torch-sys would link it)."""
    lib = ROOT / "link" / "lib"
    shutil.rmtree(lib, ignore_errors=True)
    lib.mkdir(parents=True)
    for name in LIBRARIES:
        target = torch / "lib" / library(name)
        if not target.exists():
            fail(f"{target} is missing: LIBTORCH must name a libtorch {TORCH} folder with include/ and lib/")
        (lib / library(name)).symlink_to(target)


def use_own_libtorch(folder):
    own = Path(folder).expanduser().resolve()
    if own == (ROOT / "torch").resolve():
        return False
    version = own / "build-version"
    if version.exists() and not version.read_text().startswith(TORCH):
        fail(f"LIBTORCH={own} is version {version.read_text().strip()}; this project needs {TORCH}")
    if not (own / "include" / "torch").is_dir():
        fail(f"LIBTORCH={own} has no include/torch: it must name a libtorch {TORCH} folder")
    ROOT.mkdir(exist_ok=True)
    torch = ROOT / "torch"
    if torch.is_symlink():
        torch.unlink()
    elif torch.exists():
        shutil.rmtree(torch)
    torch.symlink_to(own)
    link_libraries(torch)
    (ROOT / "complete").write_text(f"own {own}")
    say(f"uses your libtorch in {own}")
    return True


def resolve(requirements, with_dependencies):
    """-> [(file name, address, sha256)] as pip would choose them."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-",
               "--disable-pip-version-check", "--only-binary=:all:", "--python-version", "3.12", "--target", str(ROOT / "unused")]
    if not with_dependencies:
        command.append("--no-deps")
    run = subprocess.run(command + requirements, capture_output=True, text=True)
    if run.returncode != 0:
        hint = "pip 22.2 or newer is needed (python3 -m pip install --upgrade pip)" if "--report" in run.stderr else \
            "is the package index reachable? (python3 -m pip download six)"
        fail(f"pip could not resolve {' '.join(requirements)}: {run.stderr.strip().splitlines()[-1:]}; {hint}")
    wheels = []
    for item in json.loads(run.stdout[run.stdout.index("{"):])["install"]:
        info = item["download_info"]
        hashes = info["archive_info"].get("hashes") or dict([info["archive_info"]["hash"].split("=", 1)])
        wheels.append((info["url"].rsplit("/", 1)[1].split("#")[0], info["url"], hashes["sha256"]))
    return wheels


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 22), b""):
            digest.update(block)
    return digest.hexdigest()


def show(name, done, total, last=[0.0]):
    """A progress line: rewritten on a terminal, every five seconds in a log."""
    now, terminal = time.monotonic(), sys.stdout.isatty()
    if done < total and now - last[0] < (0.2 if terminal else 5.0):
        return
    last[0] = now
    line = f"setup: {name[:48]:48} {done / 1e6:8.1f} / {total / 1e6:.1f} MB"
    print(("\r" + line + ("\n" if done >= total else "")) if terminal else line, end="" if terminal else "\n", flush=True)


def copy_rest(name, address, partial):
    """Appends to `partial` what is still missing of it."""
    begin = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={begin}-"} if begin else {})
    certificate = os.environ.get("PIP_CERT")
    context = ssl.create_default_context(cafile=certificate) if certificate and address.startswith("https") else None
    with urllib.request.urlopen(request, timeout=60, context=context) as answer:
        if begin and answer.status != 206:  # the server sends the whole file again
            begin = 0
        total = begin + int(answer.headers.get("Content-Length") or 0)
        with open(partial, "ab" if begin else "wb") as file:
            for block in iter(lambda: answer.read(1 << 20), b""):
                file.write(block)
                begin += len(block)
                show(name, begin, max(total, begin))
    if begin < total:
        raise OSError(f"connection closed after {begin} of {total} bytes")


def fetch(name, address, digest):
    """Downloads one wheel, resuming; -> its path."""
    folder = ROOT / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    wheel, partial = folder / name, folder / (name + ".partial")
    if address.startswith("file:"):
        return Path(urllib.request.url2pathname(address[len("file://"):]))
    if wheel.exists():
        return wheel
    for attempt in range(1, 6):
        try:
            copy_rest(name, address, partial)
        except urllib.error.HTTPError as error:
            if error.code != 416:  # 416: nothing is missing; the hash decides
                fail(f"download of {name} failed: {error}")
        except OSError as error:
            if attempt == 5:
                fail(f"download of {name} broke off five times ({error}); run the same command again, it resumes")
            say(f"{name}: {error}; trying again ({attempt} of 5)")
            time.sleep(attempt)
            continue
        if sha256(partial) == digest:
            partial.rename(wheel)
            return wheel
        say(f"{name}: the checksum is wrong, starting it again")
        partial.unlink()
    fail(f"download of {name} failed: its checksum never matched the index's")


def wanted(member):
    """Libraries, headers, licences; not PyTorch's Python code."""
    parts = member.split("/")
    if parts[0] == "torch":
        return len(parts) > 2 and parts[1] in ("include", "lib")
    return parts[0] in ("nvidia", "cusparselt", "torch.libs") or ".dist-info" in parts[0] and "licen" in member.lower()


def unpack(wheel):
    say(f"unpacking {wheel.name}")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(ROOT, [name for name in archive.namelist() if wanted(name)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuda", action="store_true", help="also fetch NVIDIA's libraries, about 3 GB more")
    options = parser.parse_args()
    need_tools()
    if os.environ.get("LIBTORCH") and use_own_libtorch(os.environ["LIBTORCH"]):
        return
    complete = ROOT / "complete"
    state = complete.read_text() if complete.exists() else ""
    if state in ([f"cuda {TORCH}"] if options.cuda else [f"cpu {TORCH}", f"cuda {TORCH}"]):
        return
    torch = ROOT / "torch"
    if torch.is_symlink():
        torch.unlink()
    wheels = resolve([f"torch=={TORCH}"], True) if options.cuda else resolve(CPU_WHEELS.get(platform.system(), [f"torch=={TORCH}"]), False)
    if options.cuda:  # of PyTorch's own requirements only NVIDIA's libraries matter to libtorch
        wheels = [wheel for wheel in wheels if wheel[0].startswith(("torch-", "nvidia", "cuda"))]
    say(f"libtorch {TORCH} goes into {ROOT} (once; about {'5 GB' if options.cuda else '2 GB'} of disk)")
    complete.unlink(missing_ok=True)
    paths = [fetch(*wheel) for wheel in wheels]
    for path in paths:
        unpack(path)
    (torch / "build-version").write_text(TORCH + "\n")
    link_libraries(torch)
    complete.write_text(f"{'cuda' if options.cuda else 'cpu'} {TORCH}")
    shutil.rmtree(ROOT / "wheels", ignore_errors=True)
    say("libtorch is ready")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nsetup: interrupted; run the same command again, it resumes")
