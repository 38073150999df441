"""Makes tests/data/io/nrrd and tests/data/io/meta: small NRRD files and MetaImages written by pynrrd, SimpleITK and by hand, and what
SimpleITK (values, type, place) and pynrrd (values) read from them (tests/data/io/expected_itk.json). Run it from the root of the checkout:

    pip install numpy==2.4.6 pynrrd==1.1.3 SimpleITK==2.5.7
    python tests/tools/make_itk_fixtures.py
"""

import json
import pathlib
import shutil

import nrrd
import numpy as np
import SimpleITK as sitk

OUT = pathlib.Path("tests/data/io")
rng = np.random.default_rng(25)
expected = {}

TYPES = {"int8": "MET_CHAR", "uint8": "MET_UCHAR", "int16": "MET_SHORT", "uint16": "MET_USHORT", "int32": "MET_INT", "uint32": "MET_UINT",
         "int64": "MET_LONG_LONG", "uint64": "MET_ULONG_LONG", "float32": "MET_FLOAT", "float64": "MET_DOUBLE"}
# oblique, of three lengths, left-handed
DIRECTIONS = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [-0.48, -0.64, -0.6]]) * np.array([[0.5], [0.25], [2.0]])
ORIGIN = np.array([-10.0, 20.5, 3.25])


def values(dtype, shape=(3, 4, 5)):
    """[frames, rows, columns] over the range of the type, without what a JSON number cannot hold."""
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 100, shape).astype(dtype)
    info = np.iinfo(dtype)
    low, high = max(info.min, -(2 ** 52)), min(info.max, 2 ** 52)
    return rng.integers(low, high, shape, dtype=np.int64 if low < 0 else np.uint64, endpoint=True).astype(dtype)


def ras(image):
    """What SimpleITK says of the place, turned from its own space (left, posterior, superior)."""
    spacing, origin = np.array(image.GetSpacing()), np.array(image.GetOrigin())
    direction = np.array(image.GetDirection()).reshape(3, 3)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = direction * spacing, origin
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def expect(name, known=True, placed=True, dtype=None, array=None):
    """Keeps what SimpleITK reads; pynrrd must read the same values."""
    image = sitk.ReadImage(str(OUT / name))
    read = sitk.GetArrayFromImage(image) if array is None else array
    if name.startswith("nrrd/") and array is None:
        theirs = nrrd.read(str(OUT / name), index_order="C")[0]
        assert np.array_equal(np.squeeze(theirs), np.squeeze(read)), name
    if read.ndim == 2:
        read = read[None]
    spacing = list(image.GetSpacing())[:3] + [1.0] * (3 - len(image.GetSpacing()))
    affine = ras(image) if placed else np.diag(spacing + [1.0])
    expected[name] = {"shape": list(read.shape), "dtype": dtype or str(read.dtype), "affine": affine.tolist(), "spacing": spacing,
                      "known": known, "values": read.astype(object).ravel().tolist()}


def placed_image(array):
    image = sitk.GetImageFromArray(array)
    lengths = np.linalg.norm(DIRECTIONS, axis=1)
    image.SetSpacing(lengths.tolist())
    image.SetDirection((DIRECTIONS / lengths[:, None]).T.ravel().tolist())
    image.SetOrigin(ORIGIN.tolist())
    return image


def nrrds():
    folder = OUT / "nrrd"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    space = {"space": "left-posterior-superior", "space directions": DIRECTIONS, "space origin": ORIGIN}

    def by_pynrrd(name, array, more=(), known=True, placed=True, expectation=True, **options):
        nrrd.write(str(folder / name), array, {**space, **dict(more)}, index_order="C", **options)
        if expectation:
            expect(f"nrrd/{name}", known, placed)

    for kind in TYPES:
        by_pynrrd(f"{kind}.nrrd", values(kind), {"encoding": "raw"})
    # the other byte order: written by hand, for pynrrd writes that of the machine
    for kind in ("int16", "float64"):
        text = (f"NRRD0004\n# by hand\ntype: {kind.replace('float64', 'double')}\ndimension: 3\nspace: right-anterior-superior\nsizes: 5 4 3\n"
                "space directions: (0.5,0,0) (0,0.25,0) (0,0,2)\nkinds: domain domain domain\nendian: big\nencoding: raw\nspace origin: (1,2,3)\n\n")
        array = values(kind)
        (folder / f"{kind}_be.nrrd").write_bytes(text.encode() + array.astype(array.dtype.newbyteorder(">")).tobytes())
        expect(f"nrrd/{kind}_be.nrrd", dtype=kind)
    by_pynrrd("gzip.nrrd", values("uint16"), {"encoding": "gzip"})
    by_pynrrd("detached.nhdr", values("int32"), {"encoding": "raw"})
    by_pynrrd("detached_gzip.nhdr", values("uint8"), {"encoding": "gzip"})
    by_pynrrd("ras.nrrd", values("uint8"), {"space": "RAS", "encoding": "raw"})
    by_pynrrd("las.nrrd", values("uint8"), {"space": "left-anterior-superior", "encoding": "gzip"})
    # SimpleITK as writer
    sitk.WriteImage(placed_image(values("float32")), str(folder / "itk.nrrd"), useCompression=True)
    expect("nrrd/itk.nrrd")
    sitk.WriteImage(sitk.GetImageFromArray(values("uint8", (4, 5))), str(folder / "itk_flat.nrrd"))
    expect("nrrd/itk_flat.nrrd", placed=False)
    # colour: ITK calls it a vector
    colour = values("uint8", (2, 3, 4, 3))
    sitk.WriteImage(sitk.GetImageFromArray(colour, isVector=True), str(folder / "itk_colour.nrrd"))
    expect("nrrd/itk_colour.nrrd")
    by_pynrrd("rgba.nrrd", values("uint8", (2, 3, 4, 4)),
              {"space directions": np.vstack([np.full(3, np.nan), DIRECTIONS]), "kinds": ["RGBA-color", "domain", "domain", "domain"]},
              expectation=False)
    rgba = nrrd.read(str(folder / "rgba.nrrd"), index_order="C")[0]
    expect("nrrd/rgba.nrrd", array=rgba[..., :3])
    # sizes alone, micrometres, nothing
    nrrd.write(str(folder / "spacings.nrrd"), values("uint8"), {"spacings": [0.5, 0.25, 2.0], "encoding": "raw"}, index_order="C")
    expect("nrrd/spacings.nrrd", placed=False)
    nrrd.write(str(folder / "nothing.nrrd"), values("uint8"), {"encoding": "gzip"}, index_order="C")
    expect("nrrd/nothing.nrrd", known=False, placed=False)
    array = values("uint8")
    nrrd.write(str(folder / "micron.nrrd"), array, {**space, "space units": ["um"] * 3, "encoding": "raw"}, index_order="C")
    expect("nrrd/micron.nrrd")
    # ITK passes units over; a thousandth of what it says is what the file says
    for row in expected["nrrd/micron.nrrd"]["affine"][:3]:
        row[:] = [value / 1000 for value in row]
    expected["nrrd/micron.nrrd"]["spacing"] = [value / 1000 for value in expected["nrrd/micron.nrrd"]["spacing"]]
    # times behind space, and two layers in front of it
    times = values("int16", (4, 2, 3, 5))
    nrrd.write(str(folder / "times.nrrd"), times, {"kinds": ["domain", "domain", "domain", "time"], "encoding": "gzip"}, index_order="C")
    for volume in (0, 3):
        expected[f"nrrd/times.nrrd#{volume}"] = {"shape": [2, 3, 5], "dtype": "int16", "affine": np.eye(4).tolist(), "spacing": [1.0] * 3,
                                                 "known": False, "values": times[volume].ravel().tolist()}
    # skipped lines and bytes, and voxels at the end of the file
    array = values("uint8")
    for name, skips in (("skips.nhdr", "line skip: 2\nbyte skip: 3\n"), ("end.nhdr", "byte skip: -1\n")):
        text = ("NRRD0001\ntype: unsigned char\ndimension: 3\nsizes: 5 4 3\nspacings: 1 2 3\nencoding: raw\n" + skips + "data file: skips.dat\n")
        (folder / name).write_text(text)
    (folder / "skips.dat").write_bytes(b"one\ntwo\nxyz" + array.tobytes())
    for name in ("skips.nhdr", "end.nhdr"):
        expect(f"nrrd/{name}", placed=False)
    segmentations(folder, space)


def segmentations(folder, space):
    """As 3D Slicer writes them: one layer, and two whose segments share their value."""
    one = np.zeros((2, 4, 5), np.uint8)
    one[0, 1:3, 1:3], one[1, 2:, 3:] = 1, 7
    pairs = {"Segment0_ID": "Segment_1", "Segment0_Name": "Vessels, large", "Segment0_Color": "0.9 0.5 0.1", "Segment0_LabelValue": "1",
             "Segment0_Layer": "0", "Segment0_Extent": "0 4 0 3 0 1", "Segment1_ID": "Segment_2", "Segment1_Name": "FAZ",
             "Segment1_Color": "0.1 0.2 0.3", "Segment1_LabelValue": "7", "Segment1_Layer": "0", "Segment1_Extent": "0 4 0 3 0 1"}
    nrrd.write(str(folder / "one_layer.seg.nrrd"), one, {**space, **pairs, "encoding": "gzip"}, index_order="C")
    two = np.zeros((2, 4, 5, 2), np.uint8)
    two[0, 1:3, 1:3, 0], two[1, 2:, 3:, 1] = 1, 1
    pairs["Segment1_LabelValue"], pairs["Segment1_Layer"] = "1", "1"
    header = {**space, **pairs, "space directions": np.vstack([np.full(3, np.nan), DIRECTIONS]), "encoding": "gzip",
              "kinds": ["list", "domain", "domain", "domain"]}
    nrrd.write(str(folder / "two_layers.seg.nrrd"), two, header, index_order="C")
    two[0, 1, 1, 1] = 1
    nrrd.write(str(folder / "overlap.seg.nrrd"), two, header, index_order="C")


def metas():
    folder = OUT / "meta"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for kind in TYPES:
        sitk.WriteImage(placed_image(values(kind)), str(folder / f"{kind}.mha"))
        expect(f"meta/{kind}.mha")
    sitk.WriteImage(placed_image(values("uint16")), str(folder / "zlib.mha"), useCompression=True)
    expect("meta/zlib.mha")
    sitk.WriteImage(placed_image(values("int16")), str(folder / "detached.mhd"))
    expect("meta/detached.mhd")
    sitk.WriteImage(placed_image(values("int32")), str(folder / "detached_zlib.mhd"), useCompression=True)
    expect("meta/detached_zlib.mhd")
    sitk.WriteImage(sitk.GetImageFromArray(values("uint8", (4, 5))), str(folder / "flat.mha"))
    expect("meta/flat.mha", placed=False)
    sitk.WriteImage(sitk.GetImageFromArray(values("uint8", (2, 3, 4, 3)), isVector=True), str(folder / "colour.mha"))
    expect("meta/colour.mha")
    two = values("float32", (2, 3, 4, 2))
    sitk.WriteImage(sitk.GetImageFromArray(two, isVector=True), str(folder / "two_components.mha"))
    expect("meta/two_components.mha", array=two[..., 1])
    expected["meta/two_components.mha#1"] = expected.pop("meta/two_components.mha")
    # the other byte order, the header's size left to the reader, no place: by hand
    array = values("int16")
    text = "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = True\nElementSpacing = 0.5 0.25 2\n" \
           "DimSize = 5 4 3\nHeaderSize = -1\nElementType = MET_SHORT\nElementDataFile = big.raw\n"
    (folder / "big.mhd").write_text(text)
    (folder / "big.raw").write_bytes(b"some header" + array.astype(">i2").tobytes())
    expect("meta/big.mhd", placed=False, dtype="int16")


nrrds()
metas()
(OUT / "expected_itk.json").write_text(json.dumps(expected) + "\n")
print(f"{len(expected)} expectations")
