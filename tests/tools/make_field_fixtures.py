"""Makes tests/data/io/field: small files as devices and programs write them, each with a trap that reports from the field tell of, and what
pydicom, nibabel and tifffile read from them (expected.json). Run it from the root of the checkout:

    pip install numpy nibabel pydicom tifffile imagecodecs pillow
    python tests/tools/make_field_fixtures.py
"""

import gzip
import json
import pathlib
import shutil
import struct

import nibabel
import numpy as np
import pydicom
import tifffile
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (ExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless, SecondaryCaptureImageStorage,
                         generate_uid)

OUT = pathlib.Path("tests/data/io/field")
rng = np.random.default_rng(17)
expected = {}


# ---- DICOM ----------------------------------------------------------------------------------------------------------------------------

def image(pixels, **more):
    """A data set of grey frames [frames, rows, columns] or one [rows, columns]."""
    frames = pixels if pixels.ndim == 3 else pixels[None]
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = SecondaryCaptureImageStorage
    ds.SOPInstanceUID = generate_uid(entropy_srcs=[str(more), str(pixels.sum())])
    ds.StudyInstanceUID, ds.SeriesInstanceUID = (generate_uid(entropy_srcs=[part]) for part in ("study", "series"))
    ds.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame"])
    ds.Modality, ds.PatientID, ds.SeriesNumber, ds.InstanceNumber = "OPT", "0", 1, 1
    ds.Rows, ds.Columns = frames.shape[1:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 8 * pixels.itemsize
    ds.HighBit, ds.PixelRepresentation = ds.BitsAllocated - 1, 0
    if len(frames) > 1:
        ds.NumberOfFrames = len(frames)
    ds.PixelData = frames.tobytes()
    for name, value in more.items():
        setattr(ds, name, value)
    return ds


def raw(ds, keyword, text):
    """An element with exactly this text, which pydicom would refuse to make."""
    tag = pydicom.datadict.tag_for_keyword(keyword)
    data = text if isinstance(text, bytes) else text.encode()
    vr = pydicom.datadict.dictionary_VR(tag)
    pad = b" " if len(data) % 2 else b""
    ds[tag] = pydicom.dataelem.RawDataElement(pydicom.tag.Tag(tag), vr, len(data + pad), data + pad, 0, False, True)


def save(ds, name):
    path = OUT / "dicom" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, ds, enforce_file_format=True)


def dicom():
    pixels = rng.integers(0, 60000, (8, 10)).astype("uint16")
    placed = dict(ImageOrientationPatient=[1, 0, 0, 0, 1, 0], ImagePositionPatient=[1, 2, 3])
    spacings = {"comma": "0.0058,0.0019", "ok": "0.0058\\0.0019", "decimal_comma": "0,0058\\0,0019", "one": "0.0058",
                "zero": "0\\0", "ambiguous": "0,0058", "text": "0.0058 mm", "missing": None}
    for name, text in spacings.items():
        ds = image(pixels, SliceThickness=0.5, **placed)
        if text is not None:
            raw(ds, "PixelSpacing", text)
        save(ds, f"spacing_{name}.dcm")
    ds = image(pixels, PixelSpacing=[0.5, 0.25])
    raw(ds, "ImageOrientationPatient", "1,0,0,0,1,0")
    raw(ds, "ImagePositionPatient", "1,5\\2,5\\3,5")
    raw(ds, "SliceThickness", "0,5")
    save(ds, "position_comma.dcm")
    for name, (keyword, text) in {"rescale_comma": ("RescaleIntercept", "-10,5"), "rescale_text": ("RescaleIntercept", "none"),
                                  "slope_zero": ("RescaleSlope", "0"), "window_text": ("WindowCenter", "auto"),
                                  "frames_text": ("NumberOfFrames", "1 frame")}.items():
        ds = image(pixels, RescaleSlope="0.5", RescaleIntercept="0", WindowWidth="100")
        raw(ds, keyword, text)
        save(ds, f"{name}.dcm")

    names = {
        "jp87": ("\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"),
        "jp87_single": ("ISO 2022 IR 87", b"Yamada=\x1b$B;3ED\x1b$B"),
        "jp13": ("ISO 2022 IR 13\\ISO 2022 IR 87", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J"),
        "latin5": ("ISO_IR 148", "Çavuşoğlu^Şule".encode("iso8859-9")),
        "korean": ("\\ISO 2022 IR 149", b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7"),
        "gb18030": ("GB18030", "Wang^XiaoDong=王^小东".encode("gb18030")),
        "greek": ("ISO_IR 126", "Διονυσιος".encode("iso8859-7")),
        "utf8": ("ISO_IR 192", "Müller^Jörg".encode()),
        "undeclared": (None, "Müller".encode("latin-1")),
        "unknown": ("ISO_IR 999", b"M\xfcller"),
    }
    expected["names"] = {}
    for name, (sets, value) in names.items():
        ds = image(pixels.astype("uint8"), PixelSpacing=[0.5, 0.25], SliceThickness=1, **placed)
        value += b" " * (len(value) % 2)
        ds.PatientName, ds.StudyDescription = "N" * len(value), "D" * len(value)
        ds.SpecificCharacterSet = "S" * ((len(sets) + 1) // 2 * 2) if sets is not None else None
        if sets is None:
            del ds.SpecificCharacterSet
        save(ds, f"name_{name}.dcm")
        # pydicom would encode the texts itself
        path = OUT / f"dicom/name_{name}.dcm"
        data = path.read_bytes()
        for letter, text in ((b"N", value), (b"D", value), (b"S", (sets or "").encode())):
            if text:
                text += b" " * (len(text) % 2)
                assert data.count(letter * len(text)) == 1, (name, letter)
                data = data.replace(letter * len(text), text)
        path.write_bytes(data)
        read = pydicom.dcmread(OUT / f"dicom/name_{name}.dcm")
        expected["names"][name] = {"sets": sets or "", "bytes": value.hex(), "text": str(read.PatientName),
                                    "description": str(read.StudyDescription)}

    frames = rng.integers(0, 255, (6, 8, 10)).astype("uint8")
    save(image(frames, NumberOfFrames=3), "frames_too_few.dcm")
    ds = image(frames)
    del ds.NumberOfFrames
    save(ds, "frames_unsaid.dcm")
    ds = image(frames)
    ds.compress(RLELossless)
    ds.NumberOfFrames = 2
    save(ds, "frames_too_few_rle.dcm")
    expected["frames"] = int(frames.sum(dtype="int64"))
    save(image(frames[:3].reshape(1, 24, 10)[0], Rows=8, PhotometricInterpretation="RGB"), "planes_as_one.dcm")
    save(image(frames[0], LossyImageCompression="01"), "lossy.dcm")

    # a device that writes three digits: 20 slices, 0.0117 mm apart
    for i in range(20):
        height = round(0.0117 * i, 3)
        save(image(pixels.astype("uint8") + np.uint8(i), PixelSpacing=[0.5, 0.25], InstanceNumber=i + 1,
                   ImageOrientationPatient=[1, 0, 0, 0, 1, 0], ImagePositionPatient=[0, 0, height]), f"rounded/{i:03}.dcm")


# ---- NIfTI ----------------------------------------------------------------------------------------------------------------------------

def nifti():
    folder = OUT / "nifti"
    folder.mkdir(parents=True, exist_ok=True)
    voxels = rng.integers(0, 999, (9, 7, 5)).astype("int16")
    affine = np.array([[-0.5, 0, 0, 10], [0, 0.6, 0, -20], [0, 0, 1.5, 30], [0, 0, 0, 1.0]])
    base = nibabel.Nifti1Image(voxels, affine)
    base.set_sform(None, 0)
    base.set_qform(affine, 1)
    nibabel.save(base, folder / "q.nii")
    whole = (folder / "q.nii").read_bytes()

    def patched(name, *patches):
        data = bytearray(whole)
        for at, values in patches:
            data[at:at + len(values)] = values
        (folder / name).write_bytes(data)

    floats = lambda *values: struct.pack(f"<{len(values)}f", *values)
    short = lambda value: struct.pack("<h", value)
    patched("q_neg_pixdim.nii", (80, floats(-0.5, -0.6, 1.5)))
    patched("s_zero_q_ok.nii", (254, short(1)), (280, floats(*[0] * 12)))
    patched("s_nan_q_ok.nii", (254, short(2)), (280, floats(*[float("nan")] * 12)))
    patched("s_zero.nii", (252, short(0)), (254, short(1)), (280, floats(*[0] * 12)))
    patched("q_zero_pixdim.nii", (80, floats(0, 0.6, 1.5)))
    (folder / "q.nii").unlink()
    expected["q_affine"] = affine.tolist()
    loaded = nibabel.load(folder / "q_neg_pixdim.nii")
    assert np.allclose(np.abs(loaded.affine), np.abs(affine), atol=1e-6), loaded.affine
    expected["q_neg_affine"] = loaded.affine.astype(float).tolist()
    packed = gzip.compress(whole, mtime=0)
    (folder / "gz_trailing_zero.nii.gz").write_bytes(packed + bytes(700))
    assert np.array_equal(nibabel.load(folder / "gz_trailing_zero.nii.gz").get_fdata(), voxels)
    crc = bytearray(packed)
    crc[-8] ^= 1
    (folder / "gz_wrong_crc.nii.gz").write_bytes(crc)
    expected["nifti_sum"] = int(voxels.sum(dtype="int64"))


# ---- TIFF -----------------------------------------------------------------------------------------------------------------------------

def planes(name, values):
    """The sum of each plane tells the order."""
    expected[name] = np.asarray(values).astype("float64").reshape(-1, *values.shape[-2:]).sum((1, 2)).tolist()


def tiff():
    folder = OUT / "tiff"
    folder.mkdir(parents=True, exist_ok=True)
    five = rng.integers(0, 60000, (5, 7, 9)).astype("uint16")
    planes("five", five)
    for name, order in {"one_ifd": "<", "one_ifd_be": ">"}.items():
        path = folder / f"{name}.tif"
        text = "ImageJ=1.54f\nimages=5\nslices=5\nloop=false\n"
        tifffile.imwrite(path, five[0], byteorder=order, metadata=None, description=text)
        with open(path, "ab") as file:
            with tifffile.TiffFile(path) as read:
                end = read.pages[0].dataoffsets[0] + read.pages[0].databytecounts[0]
            assert end <= path.stat().st_size
            # the planes follow the first: whatever lies behind it is written anew there
            assert path.stat().st_size - end < 8, path.stat().st_size - end
            file.truncate(end)
            file.write(five[1:].astype(f"{order}u2").tobytes())
        assert np.array_equal(tifffile.imread(path), five), name
    # cut off inside of the last plane
    whole = (folder / "one_ifd.tif").read_bytes()
    (folder / "one_ifd_cut.tif").write_bytes(whole[:-20])
    hyper = rng.integers(0, 60000, (2, 3, 2, 7, 9)).astype("uint16")  # T Z C
    tifffile.imwrite(folder / "hyper_tzc.tif", hyper, imagej=True, metadata={"axes": "TZCYX"})
    tifffile.imwrite(folder / "ome_tczyx.ome.tif", hyper.transpose(0, 2, 1, 3, 4), metadata={"axes": "TCZYX"})
    tifffile.imwrite(folder / "shaped.tif", hyper[:, :, 0], photometric="minisblack")
    for time in range(2):
        for channel in range(2):
            planes(f"hyper_{time}{channel}", hyper[time, :, channel])
    # planes in an order of their own
    order = [2, 0, 1]
    data = "".join(f'<TiffData FirstZ="{z}" FirstC="0" FirstT="0" IFD="{ifd}" PlaneCount="1"/>' for ifd, z in enumerate(order))
    ome = ('<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels '
           'ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="9" SizeY="7" SizeZ="3" SizeC="1" SizeT="1" '
           f'PhysicalSizeX="2" PhysicalSizeY="2" PhysicalSizeZ="5"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>')
    with tifffile.TiffWriter(folder / "ome_order.ome.tif", ome=False) as out:
        for ifd, z in enumerate(order):
            out.write(five[z], description=ome if ifd == 0 else None, metadata=None)
    assert np.array_equal(tifffile.imread(folder / "ome_order.ome.tif"), five[:3])
    planes("ome_order", five[:3])
    text = "ImageJ=1.54f\nimages=5\nslices=5\nunit=mm\nyunit=um\nzunit=um\nspacing=3.5\nloop=false\n"
    with tifffile.TiffWriter(folder / "zunit.tif") as out:
        for i, plane in enumerate(five):
            out.write(plane, resolution=(2, 0.5), resolutionunit=1, description=text if i == 0 else None, metadata=None)
    white = np.array([[0, 1, 100.5, 200]], "float32")
    tifffile.imwrite(folder / "white_f4.tif", white, photometric="miniswhite", metadata=None)
    tifffile.imwrite(folder / "white_i2.tif", np.array([[-5, 0, 7]], "int16"), photometric="miniswhite", metadata=None)
    tifffile.imwrite(folder / "white_u2.tif", np.array([[0, 1, 65535]], "uint16"), photometric="miniswhite", metadata=None)
    bits = rng.integers(0, 2, (7, 19)).astype(bool)
    grey = rng.integers(0, 255, (7, 19)).astype("uint8")
    expected["bits"] = (bits * 255).astype(int).ravel().tolist()
    expected["grey"] = grey.astype(int).ravel().tolist()
    for name, values, packing in [("bits", bits, None), ("bits_deflate", bits, "zlib"), ("grey", grey, None),
                                  ("grey_lzw", grey, "lzw")]:
        path = folder / f"fill2_{name}.tif"
        tifffile.imwrite(path, values, compression=packing, metadata=None, rowsperstrip=3, photometric="minisblack",
                         extratags=[(65266, 3, 1, 2, True)])
        with tifffile.TiffFile(path) as read:
            strips = list(zip(read.pages[0].dataoffsets, read.pages[0].databytecounts))
        # tifffile writes no FillOrder of its own
        whole = path.read_bytes()
        assert whole.count(struct.pack("<HHI", 65266, 3, 1)) == 1
        data = bytearray(whole.replace(struct.pack("<HHI", 65266, 3, 1), struct.pack("<HHI", 266, 3, 1)))
        for offset, length in strips:
            data[offset:offset + length] = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data[offset:offset + length])
        path.write_bytes(data)
        assert np.array_equal(tifffile.imread(path), values), name


# ---- pictures -------------------------------------------------------------------------------------------------------------------------

def pictures():
    from PIL import Image

    folder = OUT / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((64, 80), "uint8")
    mask[20:34, 30:50] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    Image.fromarray(mask).save(folder / "mask.jpg", quality=80)
    Image.fromarray(mask).save(folder / "mask.webp", quality=60)
    Image.fromarray(mask).save(folder / "mask_jpeg.tif", compression="jpeg")
    Image.fromarray(mask).save(folder / "exact.webp", lossless=True)
    (folder / "jpeg_named.png").write_bytes((folder / "mask.jpg").read_bytes())


if __name__ == "__main__":
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    dicom()
    nifti()
    tiff()
    pictures()
    (OUT / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")
