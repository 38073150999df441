"""`make bench`, part "volumes": opening and converting a volume of 640 x 400 x 400 16-bit voxels, against nibabel and SimpleITK.

    python3 tests/bench/volumes.py --peers PYTHON [--repeat 5] [--folder DIR] [--cases SUBSTRING]

PYTHON has numpy, nibabel and SimpleITK. Every run is a process of its own, started here and timed from outside; ours and theirs take turns,
and the ratio is the median over the turns. Ours includes the start of the process, theirs that of Python with its imports; both
are also measured apart. Ours flushes its output to the disk before it renames it into place; theirs leave that to the system.
Packed output: deflate level 1 everywhere (nibabel's default). Every result is compared voxel by voxel with the volume it was made from.

This file is also what runs in PYTHON: `volumes.py peer LIBRARY INPUT OUTPUT`, `volumes.py make FOLDER`, `volumes.py same A B`.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

FRAMES, ROWS, COLUMNS = 640, 400, 400
SPACING = (0.015, 0.015, 0.0047)  # mm along x, y, z
SOURCES = {"nii": "v.nii", "nii.gz": "packed.nii.gz", "npy": "v.npy", "tif": "v.tif", "dicom": "dicom"}
WHO = ("ours", "nibabel", "SimpleITK")
# what is read, what is written (None: only opened, with the range of its values), by whom
CASES = [
    ("nii", None, ("nibabel", "SimpleITK")),
    ("nii.gz", None, ("nibabel", "SimpleITK")),
    ("nii", "npy", ("nibabel", "SimpleITK")),
    ("nii.gz", "npy", ("nibabel", "SimpleITK")),
    ("nii.gz", "nii", ("nibabel", "SimpleITK")),
    ("nii", "nii.gz", ("nibabel", "SimpleITK")),
    ("npy", "nii.gz", ("nibabel", "SimpleITK")),
    ("tif", "nii", ("SimpleITK",)),
    ("dicom", "nii.gz", ("SimpleITK",)),
]


# ---- in the peers' Python -------------------------------------------------------------------------------------------------------


def make(folder):
    """The volume in every format: layers with speckle, as OCT has them, and a dark margin; the same on every machine."""
    import nibabel
    import numpy as np
    import SimpleITK as sitk

    folder = Path(folder)
    noise = np.random.default_rng(7)
    z, y, x = (np.arange(n, dtype=np.float32) for n in (FRAMES, ROWS, COLUMNS))
    layers = 1 + np.sin(y / 23)[:, None] + 0.4 * np.cos(x / 41)[None, :]
    volume = np.empty((FRAMES, ROWS, COLUMNS), np.uint16)
    for frame in range(FRAMES):
        speckle = noise.gamma(4.0, 60.0, (ROWS, COLUMNS)).astype(np.float32)
        volume[frame] = (layers * (1 + 0.3 * np.sin(z[frame] / 50)) * speckle).clip(0, 4095)
    volume[:, : ROWS // 8] = 0
    np.save(folder / "v.npy", volume)
    affine = np.diag([*SPACING, 1.0])
    image = nibabel.Nifti1Image(volume.T, affine)
    nibabel.save(image, folder / "v.nii")
    nibabel.save(image, folder / "packed.nii.gz")  # beside v.nii.gz SimpleITK would read the voxels of v.nii
    image = sitk.GetImageFromArray(volume)
    image.SetSpacing(SPACING)
    sitk.WriteImage(image, folder / "v.tif")
    dicom(sitk, image, folder / "dicom")
    # one slice: what is left of a run without its volume
    np.save(folder / "tiny.npy", volume[:1, :8, :8])


def dicom(sitk, image, folder):
    """One file per slice, not compressed."""
    folder.mkdir()
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for frame in range(image.GetDepth()):
        part = image[:, :, frame]
        place = "\\".join(map(str, image.TransformIndexToPhysicalPoint((0, 0, frame))))
        tags = {
            "0008|0016": "1.2.840.10008.5.1.4.1.1.7", "0008|0018": f"1.2.826.0.1.3680043.2.1125.1.{frame + 1}", "0008|0060": "OPT",
            "0020|000d": "1.2.826.0.1.3680043.2.1125.2", "0020|000e": "1.2.826.0.1.3680043.2.1125.3", "0020|0013": str(frame + 1),
            "0020|0032": place, "0020|0037": "1\\0\\0\\0\\1\\0", "0018|0050": str(SPACING[2]),
        }  # fmt: skip
        for tag, value in tags.items():
            part.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{frame:04}.dcm"))
        writer.Execute(part)


def with_nibabel(source, target):
    import nibabel
    import numpy as np

    imported = time.perf_counter()
    if source.suffix == ".npy":
        image = nibabel.Nifti1Image(np.load(source).T, np.eye(4))
    else:
        image = nibabel.load(source)
    if target is None:
        voxels = np.asarray(image.dataobj)
        print(image.shape, image.affine, voxels.min(), voxels.max(), file=sys.stderr)
    elif target.suffix == ".npy":
        np.save(target, np.asarray(image.dataobj).T)
    else:
        nibabel.save(image, target)
    return imported


def with_simpleitk(source, target):
    import numpy as np
    import SimpleITK as sitk

    imported = time.perf_counter()
    if source.is_dir():
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(source)))
        image = reader.Execute()
    elif source.suffix == ".npy":
        image = sitk.GetImageFromArray(np.load(source))
    else:
        image = sitk.ReadImage(str(source))
    if target is None:
        voxels = sitk.GetArrayViewFromImage(image)
        print(image.GetSize(), image.GetSpacing(), voxels.min(), voxels.max(), file=sys.stderr)
    elif target.suffix == ".npy":
        np.save(target, sitk.GetArrayViewFromImage(image))
    else:
        sitk.WriteImage(image, str(target), useCompression=target.suffix == ".gz", compressionLevel=1)
    return imported


def peer(library, source, target):
    """One conversion; prints the seconds until the imports were done."""
    start = time.perf_counter()
    work = {"nibabel": with_nibabel, "SimpleITK": with_simpleitk}[library]
    print(work(Path(source), None if target == "none" else Path(target)) - start)


def same(a, b):
    """Are the voxels of two files the same?"""
    import nibabel
    import numpy as np

    load = lambda path: np.load(path) if path.endswith(".npy") else np.asarray(nibabel.load(path).dataobj).T
    raise SystemExit(0 if np.array_equal(load(a), load(b)) else f"{a} and {b} differ")


def versions():
    import nibabel
    import numpy
    import SimpleITK

    print(f"Python {sys.version.split()[0]}, numpy {numpy.__version__}, nibabel {nibabel.__version__}, "
          f"SimpleITK {SimpleITK.Version.VersionString()}")  # fmt: skip


# ---- here ------------------------------------------------------------------------------------------------------------------------


def measure(case, folder, python, repeat, common):
    """Seconds (wall, processor) of every run: ours under "ours", then by library; sizes of what was written."""
    source, target, libraries = case
    read = folder / SOURCES[source]
    out = lambda who: folder / f"out-{who}.{target}" if target else None
    command = lambda who: (
        [python, __file__, "peer", who, read, out(who) or "none"]
        if who != "ours"
        else [common.HOST, "convert", read, out(who), "--quiet"] if target else [common.HOST, "info", read]
    )
    seconds = {who: [] for who in ("ours", *libraries)}
    sizes = {}
    for turn in range(repeat):
        for who in seconds:
            if target:
                out(who).unlink(missing_ok=True)
            common.settle()
            seconds[who].append(common.timed(command(who)))
            if target and turn == 0:
                sizes[who] = out(who).stat().st_size
                common.timed([python, __file__, "same", folder / "v.npy", out(who)])
    for who in seconds:
        if target:
            out(who).unlink(missing_ok=True)
    return seconds, sizes


def starts(folder, python, repeat, common):
    """Seconds that every run needs before it does anything."""
    ours = [common.timed([common.HOST, "info", folder / "tiny.npy"])[0] for _ in range(repeat)]
    bare = {"nibabel": "import nibabel, numpy", "SimpleITK": "import SimpleITK, numpy"}
    theirs = {who: common.median([common.timed([python, "-c", code])[0] for _ in range(repeat)]) for who, code in bare.items()}
    return {"ours": common.median(ours), **theirs}


def run(arguments, common):
    python, repeat = arguments.peers, arguments.repeat
    result = {"machine": common.machine(), "peers": common.printed([python, __file__, "versions"])}
    result |= {"volume": [FRAMES, ROWS, COLUMNS], "type": "uint16", "repeat": repeat, "level": 1, "cases": []}
    with tempfile.TemporaryDirectory(prefix="sam-octa2-bench-", dir=arguments.folder) as folder:
        folder = Path(folder)
        print("making the volume ...", flush=True)
        common.timed([python, __file__, "make", folder])
        result["start"] = starts(folder, python, repeat, common)
        print("seconds before any work:", ", ".join(f"{who} {seconds}" for who, seconds in result["start"].items()))
        rows = []
        for case in CASES:
            source, target, libraries = case
            name = f"{source} -> {target}" if target else f"{source}, opened"
            if arguments.cases not in name:
                continue
            seconds, sizes = measure(case, folder, python, repeat, common)
            wall, worked = ({who: [run[k] for run in runs] for who, runs in seconds.items()} for k in (0, 1))
            ratios = {who: common.ratio(wall["ours"], wall[who]) for who in libraries}
            medians, work = ({who: common.median(runs) for who, runs in of.items()} for of in (wall, worked))
            result["cases"].append(
                {"case": name, "seconds": medians, "processor_seconds": work, "ratio": ratios, "bytes": sizes, "runs": wall}
            )
            cells = [f"{medians[who]:.2f} ({work[who]:.2f})" if who in medians else "-" for who in WHO]
            against = [f"{ratios[who]:.2f}" if who in ratios else "-" for who in WHO[1:]]
            rows.append([name, *cells, *against, *[f"{sizes[who] / 1e6:.0f}" if who in sizes else "-" for who in WHO]])
            print("  ".join(rows[-1]), flush=True)
    head = ["case", *[f"{who}, s (CPU)" for who in WHO], *[f"ours / {who}" for who in WHO[1:]], *[f"MB, {who}" for who in WHO]]
    print("\n" + common.table(head, rows))
    if not arguments.cases:
        common.save("volumes", result)


def main():
    work = {"make": make, "peer": peer, "same": same, "versions": versions}
    if len(sys.argv) > 1 and sys.argv[1] in work:
        return work[sys.argv[1]](*sys.argv[2:])
    import common

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers", default=shutil.which("python3"), help="a Python with numpy, nibabel and SimpleITK")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--folder", help="where the temporary files go (1.5 GB)")
    parser.add_argument("--cases", default="", help="only cases whose name contains this; nothing is saved then")
    run(parser.parse_args(), common)


if __name__ == "__main__":
    main()
