#!/usr/bin/env python3
"""`make wheel`: dist/sam_octa2-VERSION-py3-none-manylinux_2_28_x86_64.whl, the Python package with the libraries, `host-demo` and `nano` in it.

libtorch is not in it: the wheel depends on torch of the very version, and finds its libraries by the engine's rpath (site-packages/torch/lib), or by
`sam_octa2._torch` where torch lies elsewhere. A GPU comes with torch's own wheel. The tag is checked: no symbol newer than the system that it names.
"""
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import dist

PACKAGE = dist.ROOT / "plugin/python"
# where libtorch is, seen from site-packages/sam_octa2/lib
RPATH = "$ORIGIN/../../torch/lib"
# the newest symbols of manylinux_2_28 (PEP 600: glibc 2.28; GCC 8's libstdc++, as the policy of auditwheel says)
NEWEST = {"GLIBC": "2.28", "GLIBCXX": "3.4.25"}
WEIGHTS = ["nano.safetensors", "nano.yaml", "nano.validation.json"]


def fill(package, version):
    """The libraries, the program, the model and the licences of what is linked."""
    lib = package / "sam_octa2/lib"
    for file in ["libsam_octa2.so", "libsam_octa2_engine.so", "libsam_octa2.json", "host-demo"]:
        dist.copy(dist.BUILT / file, lib / file)
    for file in [*lib.glob("*.so"), lib / "host-demo"]:
        dist.run("strip", "--strip-unneeded", file)
    dist.change_rpath(lib / "libsam_octa2_engine.so", RPATH)
    for name in WEIGHTS:
        dist.copy(dist.ROOT / "sam2_weights" / name, lib / "sam2_weights" / name)
    for name, newest in NEWEST.items():
        needs = dist.newest(lib, name)
        if [int(part) for part in needs.split(".")] > [int(part) for part in newest.split(".")]:
            dist.fail(f"the libraries need {name} {needs}, but manylinux_2_28 has {newest}")
    licences = package / "licences"
    for name in ["LICENSE-MIT", "LICENSE-APACHE", "NOTICE"]:
        dist.copy(dist.ROOT / name, licences / name)
    linked, crates = dist.linked_crates()
    if linked != version:
        dist.fail(f"plugin/python/pyproject.toml says {version}, Cargo.toml {linked}")
    dist.rust_licences(crates, licences / "rust.txt")


def main():
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        dist.fail("wheels are made on Linux on x86-64")
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "python"
        shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "lib", "tests", "*.egg-info", ".*"))
        project = package / "pyproject.toml"
        text = project.read_text()
        version = re.search(r'^version = "(.*)"$', text, re.M).group(1)
        torch = (dist.LIBTORCH / "torch/build-version").read_text().strip()
        fill(package, version)
        text = text.replace('dependencies = ["numpy>=1.23"]', f'dependencies = ["numpy>=1.23", "torch=={torch}"]')
        text = text.replace("[tool.hatch.build.targets.wheel]\n", '[tool.hatch.build.targets.wheel.hooks.custom]\npath = "tag.py"\n\n[tool.hatch.build.targets.wheel]\n')
        text = text.replace('license = "MIT OR Apache-2.0"\n', 'license = "MIT OR Apache-2.0"\nlicense-files = ["licences/*"]\n')
        project.write_text(text)
        (package / "tag.py").write_text(TAG)
        built = Path(folder) / "built"
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(built), str(package)]
        if subprocess.run(command).returncode != 0:
            dist.fail("pip could not build the wheel")
        wheel = next(built.glob("*.whl"))
        target = dist.ROOT / "dist" / wheel.name
        target.parent.mkdir(exist_ok=True)
        shutil.move(wheel, target)
        print(f"{dist.size(target) / 1e6:.1f} MB  {target.relative_to(dist.ROOT)}")


TAG = '''from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Tag(BuildHookInterface):
    """Any Python 3 on Linux: the libraries are opened by ctypes."""

    def initialize(self, version, build_data):
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-manylinux_2_28_x86_64"
'''

if __name__ == "__main__":
    try:
        main()
    except (OSError, KeyboardInterrupt) as error:
        dist.fail(str(error) or "interrupted")
