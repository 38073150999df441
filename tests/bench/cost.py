#!/usr/bin/env python3
"""What many volumes cost: core hours, euros, bytes, files. Arithmetic over constants; docs/cost.md says which are measured and how.

    cost.py [--volumes 100000] [--slices 640] [--core-euro 0.04] ...
"""
import argparse

# core seconds a slice; fixed core seconds a volume; MB of memory: at rest and a slice; measured on the CPU of docs/cost.md
CPU = {
    "nano, no prompt": dict(slice=0.203, volume=0.2, rest=220, grows=1.86),
    "tiny, one object followed, bf16": dict(slice=4.9, volume=1.0, rest=1000, grows=0.6),
    "tiny, five objects followed, bf16": dict(slice=16.4, volume=1.0, rest=1000, grows=1.5),
}
# GFLOP a slice (docs/performance.md); GPU seconds follow from an assumed rate
GPU = {"tiny, one object followed, bf16": 287 + 421, "tiny, five objects followed, bf16": 287 + 421 + 4 * 402}


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = lambda name, default, about: parser.add_argument(name, type=type(default), default=default, help=f"{about} [{default}]")
    add("--volumes", 100_000, "how many")
    add("--slices", 640, "of each")
    add("--pixels", 160_000, "of a slice, a byte each")
    add("--packed", 0.54, "size of packed voxels (.nii.gz) beside plain ones")
    add("--results", 3.5e6, "bytes that a volume's results and record take")
    add("--files", 7, "files of a volume in the results")
    add("--slots", 256, "cores at work")
    add("--core-euro", 0.04, "an hour of a core (assumed)")
    add("--gpu-euro", 2.5, "an hour of a GPU (assumed)")
    add("--gpu-tflops", 120.0, "that a GPU reaches, in bfloat16 (assumed; not measured)")
    add("--storage-euro", 0.02, "a GB for a month (assumed)")
    add("--marked", 0.26, "share of cases with something to look at")
    add("--look", 10.0, "seconds that a person looks at one")
    return parser.parse_args()


def main():
    o = options()
    print(f"{o.volumes} volumes of {o.slices} slices")
    for name, cost in CPU.items():
        seconds = cost["volume"] + cost["slice"] * o.slices
        hours = seconds * o.volumes / 3600
        memory = (cost["rest"] + cost["grows"] * o.slices) / 1e3
        print(f"CPU  {name}: {seconds:.0f} core s a volume, {hours:,.0f} core h, {hours / o.slots / 24:.1f} days on {o.slots} cores, "
              f"{seconds / 3.6 * o.core_euro:.2f} euros a thousand, {memory:.1f} GB a process")
    for name, gflop in GPU.items():
        seconds = gflop * o.slices / (o.gpu_tflops * 1e3)
        print(f"GPU  {name}: {seconds:.1f} s a volume if {o.gpu_tflops:.0f} TFLOP/s are reached, {seconds * o.volumes / 3600:,.0f} GPU h, "
              f"{seconds / 3.6 * o.gpu_euro:.2f} euros a thousand")
    read = o.volumes * o.slices * o.pixels
    print(f"read {read / 1e12:.1f} TB plain, {read * o.packed / 1e12:.1f} TB packed; written {o.volumes * o.results / 1e9:,.0f} GB in {o.volumes * o.files:,} files, "
          f"{o.volumes * o.results / 1e9 * o.storage_euro:.0f} euros a month")
    print(f"a person: {o.volumes * o.marked:,.0f} cases to look at, {o.volumes * o.marked * o.look / 3600:.0f} h")


if __name__ == "__main__":
    main()
