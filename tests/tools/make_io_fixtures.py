#!/usr/bin/env python3
"""Makes tests/data/io: tiny volumes in every format that core/volumes/src/io reads, and what peers read from them.

Needs numpy, nibabel, pydicom, Pillow, SimpleITK, tifffile and imagecodecs. expected.json maps each file or folder to shape, type, affine, spacing and
values (C order) as nibabel, pydicom, SimpleITK and Pillow read them (expected_more.json: of the fixtures that came later, "#2" for
the third volume of a file); only for types that this project chooses itself (float32 after
a slope, int16 after a whole-numbered rescale) the name of the type is written down here. Run from anywhere; the result is
reproducible.
"""

import gzip
import json
import shutil
import struct
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import SimpleITK as sitk
import tifffile
from PIL import Image, TiffImagePlugin
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, convert_color_space
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

OUT = Path(__file__).resolve().parents[1] / "data" / "io"
RNG = np.random.default_rng(20240229)
EXPECTED = {}
UNKNOWN = np.eye(4)


def expect(name, values, affine=UNKNOWN, known=False, dtype=None):
    values = np.asarray(values)
    affine = np.asarray(affine, dtype=np.float64)
    EXPECTED[name] = {
        "shape": list(values.shape),
        "dtype": str(dtype or values.dtype),
        "affine": affine.tolist(),
        "spacing": np.linalg.norm(affine[:3, :3], axis=0).tolist(),
        "known": known,
        "values": [v if abs(v) < 2**53 else str(v) for v in values.ravel().tolist()],
    }


# --- NIfTI -----------------------------------------------------------------------------------------------------------------------


def oblique(scale=(0.5, 0.25, 2.0), angles=(0.3, -0.2, 0.7), origin=(-10.0, 20.5, 3.25), flip=False):
    a, b, c = angles
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = rz @ ry @ rx @ np.diag(scale)
    if flip:
        affine[:3, 2] *= -1
    affine[:3, 3] = origin
    return affine


def nifti_image(data, affine, sform=1, qform=1, order="<"):
    header = nib.Nifti1Header(endianness=order)
    header.set_data_dtype(data.dtype.newbyteorder(order))
    image = nib.Nifti1Image(data, affine, header)
    image.set_sform(affine if sform else None, code=sform)
    image.set_qform(affine if qform else None, code=qform)
    return image


def save_nifti(name, image, slope=None, inter=None, dtype=None, known=True, affine=None, **patch):
    path = OUT / "nifti" / name
    image.header.set_slope_inter(1, 0)
    nib.save(image, path)
    # nibabel rescales when it saves; the fixtures want their own slope on untouched values
    raw = bytearray(gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes())
    order = image.header.endianness
    if slope is not None:
        raw[112:120] = struct.pack(order + "ff", slope, inter)
    for offset, code, value in patch.values():
        struct.pack_into(order + code, raw, offset, value)
    path.write_bytes(gzip.compress(bytes(raw), mtime=0) if name.endswith(".gz") else bytes(raw))
    peer = nib.load(path)
    values = np.asarray(peer.dataobj).T
    if values.dtype.fields:
        values = np.stack([np.asarray(peer.dataobj)[f].T for f in "RGB"], axis=-1)
    expect(f"nifti/{name}", values, peer.affine if affine is None else affine, known, dtype or values.dtype.newbyteorder("="))


def make_nifti():
    shape = (5, 4, 3)
    for dtype in ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]:
        kind = np.dtype(dtype)
        if kind.kind == "f":
            data = RNG.normal(size=shape).astype(kind)
        else:
            info = np.iinfo(kind)
            data = RNG.integers(info.min, info.max, size=shape, dtype=kind, endpoint=True)
        for order, word in [("<", "le"), (">", "be")]:
            save_nifti(f"{kind.name}_{word}.nii", nifti_image(data.astype(kind.newbyteorder(order)), oblique(), order=order))
    data = RNG.integers(-500, 500, size=shape, dtype="i2")
    save_nifti("packed.nii.gz", nifti_image(data, oblique(flip=True)))
    save_nifti("slope.nii", nifti_image(data, oblique()), slope=0.25, inter=-7.5, dtype="float32")
    save_nifti("slope_int32_be.nii.gz", nifti_image(data.astype(">i4"), oblique(), order=">"), slope=3.0, inter=1.0, dtype="float64")
    save_nifti("slope_zero.nii", nifti_image(data, oblique()), slope=0.0, inter=5.0)
    save_nifti("qform_only.nii", nifti_image(data, oblique(), sform=0))
    save_nifti("qform_flipped.nii", nifti_image(data, oblique(flip=True), sform=0))
    half_turn = oblique(angles=(0.0, 0.0, np.pi))
    save_nifti("qform_half_turn.nii", nifti_image(data, half_turn, sform=0))
    # both given and different: the sform counts
    both = nifti_image(data, oblique())
    both.set_qform(oblique(angles=(0.0, 0.1, 0.0), origin=(1, 2, 3)), code=1)
    save_nifti("sform_over_qform.nii", both)
    # neither: spacing alone (method 1 of the standard; nibabel would centre and flip)
    neither = nifti_image(data, oblique(angles=(0, 0, 0)), sform=0, qform=0)
    save_nifti("no_form.nii", neither, known=False, affine=np.diag([0.5, 0.25, 2.0, 1.0]))
    # microns: nibabel leaves the unit to the reader
    micron = nifti_image(data, oblique())
    scaled = np.diag([1e-3, 1e-3, 1e-3, 1]) @ nib.Nifti1Image(data, oblique().astype("f4")).affine
    save_nifti("micron.nii", micron, affine=scaled, units=(123, "B", 3))
    rgb = np.zeros(shape, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    for channel in "RGB":
        rgb[channel] = RNG.integers(0, 256, size=shape)
    save_nifti("rgb.nii.gz", nifti_image(rgb, oblique()))
    flat = RNG.integers(0, 256, size=(5, 4), dtype="u1")
    save_nifti("two_dimensional.nii", nifti_image(flat, oblique()))
    EXPECTED["nifti/two_dimensional.nii"]["shape"] = [1, 4, 5]
    trailing = RNG.integers(0, 256, size=(5, 4, 3, 1), dtype="u1")
    save_nifti("trailing_one.nii", nifti_image(trailing, oblique()))
    EXPECTED["nifti/trailing_one.nii"]["shape"] = [3, 4, 5]
    bad = OUT / "bad"
    nib.save(nifti_image(RNG.integers(0, 9, size=(3, 3, 2, 4), dtype="u1"), np.eye(4)), bad / "four_dimensional.nii")
    nib.save(nib.Nifti2Image(flat, np.eye(4)), bad / "nifti2.nii")
    whole = (OUT / "nifti" / "packed.nii.gz").read_bytes()
    (bad / "truncated.nii.gz").write_bytes(whole[:-40])
    flipped = bytearray(whole)
    flipped[len(flipped) // 2] ^= 0xFF
    (bad / "corrupt.nii.gz").write_bytes(flipped)
    (bad / "short_header.nii").write_bytes((OUT / "nifti" / "slope.nii").read_bytes()[:200])
    huge = bytearray((OUT / "nifti" / "slope.nii").read_bytes())
    struct.pack_into("<hhhh", huge, 40, 3, 30000, 30000, 30000)
    (bad / "huge_claim.nii").write_bytes(huge)
    (bad / "huge_claim.nii.gz").write_bytes(gzip.compress(bytes(huge), mtime=0))
    (bad / "text.nii").write_text("this is no volume\n" * 40)


# --- DICOM -----------------------------------------------------------------------------------------------------------------------


def dicom(path, pixels, syntax=ExplicitVRLittleEndian, series="1", instance=None, orientation=None, position=None, spacing=None, **tags):
    meta = FileMetaDataset()
    # MR: GDCM ignores the geometry of secondary captures
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    uid = f"1.2.826.0.1.3680043.8.498.{series}.{instance or 1}"
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = "1.2.826.0.1.3680043.8.498.1"
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128, is_implicit_VR=syntax == ImplicitVRLittleEndian,
                     is_little_endian=syntax != ExplicitVRBigEndian)
    ds.SOPClassUID = meta.MediaStorageSOPClassUID
    ds.SOPInstanceUID = uid
    ds.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.9"
    ds.SeriesInstanceUID = f"1.2.826.0.1.3680043.8.498.8.{series}"
    ds.SeriesNumber = int(series)
    ds.SeriesDescription = f"series {series}"
    ds.Modality = "OT"
    ds.PatientName, ds.PatientID = "Fixture^Synthetic", "0"
    if instance is not None:
        ds.InstanceNumber = instance
    frames, rows, columns = pixels.shape[:3]
    ds.Rows, ds.Columns = rows, columns
    if frames > 1:
        ds.NumberOfFrames = frames
    ds.SamplesPerPixel = 1 if pixels.ndim == 3 else pixels.shape[3]
    ds.PhotometricInterpretation = "MONOCHROME2"
    bits = pixels.dtype.itemsize * 8
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits, bits, bits - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    if ds.SamplesPerPixel > 1:
        ds.PlanarConfiguration = 0
    if orientation is not None:
        ds.ImageOrientationPatient = [float(f"{v:.10f}") for v in orientation]
    if position is not None:
        ds.ImagePositionPatient = [float(f"{v:.8f}") for v in position]
    if spacing is not None:
        ds.PixelSpacing = spacing
    for name, value in tags.items():
        setattr(ds, name, value)
    stored = pixels
    if ds.get("PlanarConfiguration") == 1:
        stored = np.moveaxis(pixels, -1, 1)
    big = syntax == ExplicitVRBigEndian
    data = stored.astype(stored.dtype.newbyteorder(">" if big else "<")).tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OW" if bits > 8 or syntax == ImplicitVRLittleEndian else "OB"
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, ds, enforce_file_format=True, little_endian=not big, implicit_vr=syntax == ImplicitVRLittleEndian)
    return ds


def itk_affine(image):
    """RAS affine of a SimpleITK image."""
    direction = np.array(image.GetDirection()).reshape(3, 3)
    affine = np.eye(4)
    affine[:3, :3] = direction @ np.diag(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1, -1, 1, 1]) @ affine


def read_series(folder):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def make_dicom():
    folder = OUT / "dicom"
    rot = oblique(scale=(1, 1, 1))[:3, :3]
    iop = [*rot[:, 0], *rot[:, 1]]
    normal = np.cross(rot[:, 0], rot[:, 1])
    origin = np.array([12.5, -30.0, 7.0])

    # names and instance numbers say something else than the geometry
    pixels = RNG.integers(0, 4096, size=(4, 3, 5), dtype="u2")
    for k, name in enumerate(["c.dcm", "10.dcm", "a.dcm", "2.dcm"]):
        dicom(folder / "shuffled" / name, pixels[k : k + 1], instance=9 - k, orientation=iop, position=origin + 0.75 * k * normal,
              spacing=[0.3, 0.2], BitsStored=12, HighBit=11)
    (folder / "shuffled" / "notes.txt").write_text("not an image\n")
    peer = read_series(folder / "shuffled")
    expect("dicom/shuffled", sitk.GetArrayFromImage(peer), itk_affine(peer), True, "uint16")

    # signed, rescaled by whole numbers, straight axes, no endings; the same as implicit and big endian
    signed = RNG.integers(-1000, 1000, size=(2, 3, 4), dtype="i2")
    for name, syntax in [("rescaled", ExplicitVRLittleEndian), ("implicit", ImplicitVRLittleEndian), ("big_endian", ExplicitVRBigEndian)]:
        for k in range(2):
            dicom(folder / name / f"IM{k}", signed[k : k + 1], syntax=syntax, instance=k + 1, orientation=[1, 0, 0, 0, 1, 0],
                  position=[1, 2, 3 + 5 * k], spacing=[0.5, 0.5], RescaleSlope=2, RescaleIntercept=-1024)
        peer = read_series(folder / name)
        expect(f"dicom/{name}", sitk.GetArrayFromImage(peer), itk_affine(peer), True, "int32")
    # fractional rescale, another one per file
    for k in range(2):
        dicom(folder / "rescale_per_file" / f"{k}.dcm", signed[k : k + 1], instance=k + 1, orientation=[1, 0, 0, 0, 1, 0],
              position=[0, 0, k], spacing=[1, 1], RescaleSlope=0.125 * (k + 1), RescaleIntercept=0.5)
    values = [apply_modality_lut(ds.pixel_array, ds) for ds in map(pydicom.dcmread, sorted((folder / "rescale_per_file").iterdir()))]
    expect("dicom/rescale_per_file", np.stack(values), np.diag([-1, -1, 1, 1]), True, "float32")

    # no geometry: instance numbers order the slices
    for k, name in enumerate(["z.dcm", "m.dcm", "a.dcm"]):
        dicom(folder / "unplaced" / name, pixels[k : k + 1], instance=k + 1, spacing=[0.3, 0.2], SliceThickness=1.5)
    expect("dicom/unplaced", pixels[:3], np.diag([0.2, 0.3, 1.5, 1.0]))

    # one file, frames placed one by one and out of order
    order = [2, 0, 3, 1]
    shared, frames = Dataset(), []
    shared.PixelMeasuresSequence = Sequence([Dataset()])
    shared.PixelMeasuresSequence[0].PixelSpacing = [0.3, 0.2]
    shared.PlaneOrientationSequence = Sequence([Dataset()])
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [float(f"{v:.10f}") for v in iop]
    for k in order:
        item = Dataset()
        item.PlanePositionSequence = Sequence([Dataset()])
        item.PlanePositionSequence[0].ImagePositionPatient = [float(f"{v:.8f}") for v in origin + 0.75 * k * normal]
        frames.append(item)
    dicom(folder / "multiframe.dcm", pixels[order], SharedFunctionalGroupsSequence=Sequence([shared]),
          PerFrameFunctionalGroupsSequence=Sequence(frames))
    expect("dicom/multiframe.dcm", pixels, EXPECTED["dicom/shuffled"]["affine"], True)
    (folder / "multiframe_folder").mkdir()
    shutil.copy(folder / "multiframe.dcm", folder / "multiframe_folder" / "IM000001")
    expect("dicom/multiframe_folder", pixels, EXPECTED["dicom/shuffled"]["affine"], True)
    dicom(folder / "multiframe_unplaced.dcm", pixels, PixelSpacing=[0.3, 0.2], SpacingBetweenSlices=0.1)
    expect("dicom/multiframe_unplaced.dcm", pixels, np.diag([0.2, 0.3, 0.1, 1.0]))

    # grey in other ways
    def single(name, data, values=None, dtype=None, **tags):
        ds = dicom(folder / name, data, **tags)
        ds = pydicom.dcmread(folder / name)
        values = ds.pixel_array if values is None else values(ds)
        expect(f"dicom/{name}", values.reshape((1, *data.shape[1:3], *values.shape[2:])) if values.ndim == 2 else values[np.newaxis], dtype=dtype)

    single("monochrome1.dcm", pixels[:1], PhotometricInterpretation="MONOCHROME1")
    single("odd_bytes.dcm", RNG.integers(0, 256, size=(1, 3, 5), dtype="u1"))
    single("signed_12_of_16.dcm", np.array([[[0x0FFF, 0x0800, 0x07FF, 1]]], dtype="u2"), dtype="int16", BitsStored=12, HighBit=11, PixelRepresentation=1)
    single("int32.dcm", RNG.integers(-(2**31), 2**31 - 1, size=(1, 3, 4), dtype="i4"))
    lut = Dataset()
    lut.LUTDescriptor = [4, 10, 16]
    lut.ModalityLUTType = "US"
    lut.add_new("LUTData", "US", [100, 2000, 30000, 65535])
    single("modality_lut.dcm", np.array([[[9, 10, 11, 12, 13, 14]]], dtype="u2"), lambda ds: apply_modality_lut(ds.pixel_array, ds),
           "int32", ModalityLUTSequence=Sequence([lut]))
    # window present: it must not be applied
    single("windowed.dcm", pixels[:1], WindowCenter=100, WindowWidth=50)

    # colour
    rgb = RNG.integers(0, 256, size=(1, 3, 4, 3), dtype="u1")
    single("rgb.dcm", rgb, PhotometricInterpretation="RGB")
    single("rgb_planar.dcm", rgb, PhotometricInterpretation="RGB", PlanarConfiguration=1)
    single("ybr_full.dcm", rgb, to_rgb, PhotometricInterpretation="YBR_FULL")
    # two pixels share their colour; width 4 of samples is width 8 of brightness
    half = RNG.integers(0, 256, size=(1, 3, 4, 4), dtype="u1")
    ds = dicom(folder / "ybr_full_422.dcm", rgb, PhotometricInterpretation="YBR_FULL_422", Columns=8)
    ds.PixelData = half.tobytes()
    ds.save_as(folder / "ybr_full_422.dcm", enforce_file_format=True)
    ds = pydicom.dcmread(folder / "ybr_full_422.dcm")
    expect("dicom/ybr_full_422.dcm", to_rgb(ds)[np.newaxis])
    # packed without loss
    for name, source, syntax in [
        ("rle.dcm", "multiframe_unplaced.dcm", RLELossless),
        ("rle_rgb.dcm", "rgb.dcm", RLELossless),
        ("deflated.dcm", "multiframe_unplaced.dcm", DeflatedExplicitVRLittleEndian),
    ]:
        ds = pydicom.dcmread(folder / source)
        if syntax == RLELossless:
            ds.compress(syntax, encoding_plugin="pydicom", generate_instance_uid=False)
        else:
            ds.file_meta.TransferSyntaxUID = syntax
        ds.save_as(folder / name)
        EXPECTED[f"dicom/{name}"] = EXPECTED[f"dicom/{source}"]
    index = RNG.integers(0, 6, size=(1, 3, 4), dtype="u1")
    for name, bits in [("palette8.dcm", 8), ("palette16.dcm", 16)]:
        tags = {"PhotometricInterpretation": "PALETTE COLOR"}
        for channel in ["Red", "Green", "Blue"]:
            table = RNG.integers(0, 2**bits, size=4, dtype="u1" if bits == 8 else "u2")
            tags[f"{channel}PaletteColorLookupTableDescriptor"] = [4, 1, bits]
            tags[f"{channel}PaletteColorLookupTableData"] = table.tobytes()
        single(name, index, lambda ds: apply_color_lut(ds.pixel_array, ds), **tags)

    bad = OUT / "bad"
    for k in range(2):
        dicom(bad / "two_series" / f"{k}.dcm", pixels[k : k + 1], series=str(k + 1), instance=1)
        dicom(bad / "same_place" / f"{k}.dcm", pixels[k : k + 1], instance=k + 1, orientation=[1, 0, 0, 0, 1, 0], position=[0, 0, 0])
    for k in [0, 1, 3]:
        dicom(bad / "missing_slice" / f"{k}.dcm", pixels[k : k + 1], instance=k + 1, orientation=[1, 0, 0, 0, 1, 0], position=[0, 0, k])
    for k, angle in enumerate([[1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1]]):
        dicom(bad / "localizer" / f"{k}.dcm", pixels[k : k + 1], instance=k + 1, orientation=angle, position=[0, 0, k])
    whole = (folder / "monochrome1.dcm").read_bytes()
    (bad / "truncated.dcm").write_bytes(whole[:-12])
    (bad / "truncated_header.dcm").write_bytes(whole[:500])
    (bad / "text.dcm").write_text("this is no DICOM file\n" * 30)
    ds = dicom(bad / "few_pixels.dcm", pixels[:1])
    ds.Rows = 300
    ds.save_as(bad / "few_pixels.dcm", enforce_file_format=True)


def to_rgb(ds):
    return convert_color_space(pydicom.pixels.pixel_array(ds, raw=True), "YBR_FULL", "RGB")


# --- pictures and numpy ----------------------------------------------------------------------------------------------------------


def make_pictures():
    folder = OUT / "pictures"
    folder.mkdir()

    def one(name, image, values=None, dtype=None, **options):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        image.save(path, **options)
        with Image.open(path) as peer:
            values = np.asarray(peer) if values is None else values
        expect(f"pictures/{name}", values[np.newaxis], dtype=dtype)

    grey = RNG.integers(0, 256, size=(4, 5), dtype="u1")
    grey16 = RNG.integers(0, 65536, size=(4, 5), dtype="u2")
    colour = RNG.integers(0, 256, size=(4, 5, 3), dtype="u1")
    alpha = RNG.integers(0, 256, size=(4, 5, 1), dtype="u1")
    one("grey8.png", Image.fromarray(grey))
    one("grey16.png", Image.fromarray(grey16))
    one("grey8.bmp", Image.fromarray(grey))
    one("rgb.png", Image.fromarray(colour))
    one("rgb.bmp", Image.fromarray(colour))
    one("rgba.png", Image.fromarray(np.concatenate([colour, alpha], axis=2)), colour)
    one("grey_alpha.png", Image.fromarray(np.concatenate([grey[..., np.newaxis], alpha], axis=2)), grey)
    one("palette.png", Image.fromarray(colour).quantize(6), None)
    with Image.open(folder / "palette.png") as peer:
        expect("pictures/palette.png", np.asarray(peer.convert("RGB"))[np.newaxis])
    one("flat.jpg", Image.fromarray(np.full((8, 8), 77, dtype="u1")))
    one("grey8.tif", Image.fromarray(grey))
    one("grey16.tif", Image.fromarray(grey16))
    one("float.tif", Image.fromarray(RNG.normal(size=(4, 5)).astype("f4")))
    one("rgb.tif", Image.fromarray(colour), compression="tiff_lzw")
    shutil.copy(folder / "grey8.png", folder / "wrong_ending.jpg")
    expect("pictures/wrong_ending.jpg", grey[np.newaxis])
    pages = RNG.integers(0, 65536, size=(3, 4, 5), dtype="u2")
    first, *rest = [Image.fromarray(page) for page in pages]
    first.save(folder / "pages.tif", save_all=True, append_images=rest)
    expect("pictures/pages.tif", pages)

    stack = RNG.integers(0, 256, size=(12, 3, 4), dtype="u1")
    (folder / "natural" / "7").mkdir(parents=True)
    for k in range(12):
        Image.fromarray(stack[k]).save(folder / "natural" / f"{k + 1}.png")
    Image.fromarray(grey).save(folder / "natural" / "7" / "00.png")  # subfolders do not count,
    Image.fromarray(grey).save(folder / "natural" / ".hidden.png")  # nor do hidden files,
    (folder / "natural" / "notes.txt").write_text("nor do these\n")
    expect("pictures/natural", stack)

    bad = OUT / "bad"
    for name, images in {
        "mixed_sizes": [grey, grey[:3]],
        "mixed_depths": [grey, grey16],
        "mixed_colours": [grey, colour],
    }.items():
        (bad / name).mkdir()
        for k, image in enumerate(images):
            Image.fromarray(image).save(bad / name / f"{k}.png")
    (bad / "no_images").mkdir()
    (bad / "no_images" / "notes.txt").write_text("nothing to see\n")
    (bad / "both_kinds").mkdir()
    Image.fromarray(grey).save(bad / "both_kinds" / "0.png")
    shutil.copy(OUT / "dicom" / "rgb.dcm", bad / "both_kinds" / "1.dcm")
    (bad / "truncated.png").write_bytes((folder / "grey16.png").read_bytes()[:-30])
    (bad / "text.png").write_text("this is no picture\n")
    for ending in ["nii", "nii.gz", "dcm", "png", "npy"]:
        (bad / f"empty.{ending}").write_bytes(b"")
    (bad / "unknown.xyz").write_text("what is this?\n")


def make_npy():
    folder = OUT / "npy"
    folder.mkdir()

    def one(name, array, values=None, dtype=None):
        np.save(folder / f"{name}.npy", array)
        expect(f"npy/{name}.npy", array if values is None else values, dtype=dtype or array.dtype.newbyteorder("="))

    cube = RNG.normal(size=(3, 4, 5))
    one("float64", cube)
    one("float32_be", cube.astype(">f4"))
    one("float16", cube.astype("f2"), cube.astype("f2").astype("f4"), "float32")
    one("fortran", np.asfortranarray((cube * 100).astype("i2")))
    one("colour", RNG.integers(0, 256, size=(2, 3, 4, 3), dtype="u1"))
    one("colour_fortran", np.asfortranarray(RNG.integers(0, 256, size=(2, 3, 4, 3), dtype="u1")))
    one("one_slice", (cube[0] * 100).astype("i4"), (cube[:1] * 100).astype("i4"))
    one("bool", cube > 0, (cube > 0).astype("u1"), "uint8")
    one("uint64", RNG.integers(0, 2**64 - 1, size=(2, 2, 2), dtype="u8"))
    bad = OUT / "bad"
    np.save(bad / "one_axis.npy", np.zeros(4))
    np.save(bad / "complex.npy", np.zeros((2, 2, 2), dtype="c16"))
    np.save(bad / "object.npy", np.array([[["a", {}]]], dtype=object), allow_pickle=True)
    (bad / "truncated.npy").write_bytes((folder / "float64.npy").read_bytes()[:-8])


# --- what came later: dice of its own, so that the fixtures above stay as they are ------------------------------------------------


def make_nifti_versions(dice):
    """NIfTI-2, pairs, extensions, units, four dimensions: as nibabel writes and reads them."""
    folder = OUT / "nifti"
    data = dice.integers(-500, 500, size=(5, 4, 3), dtype="i2")

    def one(name, image, units=None, slope=None):
        if units:
            image.header.set_xyzt_units(units, "sec")
        if slope:
            image.header.set_slope_inter(*slope)
        image.set_sform(image.affine, code=1)
        files = {"header" if name.endswith(("hdr", "hdr.gz")) else "image": nib.FileHolder(str(folder / name))}
        if "header" in files:
            files["image"] = nib.FileHolder(str(folder / name.replace(".hdr", ".img")))
        image.to_file_map(files)
        for file in files.values():
            path = Path(file.filename)
            if path.suffix == ".gz":  # the same bytes every time
                path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), mtime=0))
        peer = nib.load(folder / name)
        values = np.asarray(peer.dataobj).T
        if values.dtype.fields:
            values = np.stack([np.asarray(peer.dataobj)[f].T for f in "RGB"], axis=-1)
        scale = {"micron": 1e-3, "meter": 1e3}.get(units, 1)
        dtype = "float32" if slope else values.dtype.newbyteorder("=")
        expect(f"nifti/{name}", values, np.diag([scale] * 3 + [1]) @ peer.affine, True, dtype)
        return peer

    one("version2.nii", nib.Nifti2Image(data, oblique()))
    one("version2_be.nii.gz", nib.Nifti2Image(data.astype(">i2"), oblique(), nib.Nifti2Header(endianness=">")), "micron", (0.5, 3))
    one("pair.hdr", nib.Nifti1Pair(data, oblique()))
    EXPECTED["nifti/pair.img"] = EXPECTED["nifti/pair.hdr"]
    one("pair2_be.hdr.gz", nib.Nifti2Pair(data.astype(">i2"), oblique(flip=True), nib.Nifti2Header(endianness=">")))
    one("metre.nii", nib.Nifti1Image(data, oblique()), "meter")
    extended = nib.Nifti1Image(data, oblique())
    extended.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"not voxels" * 9))
    one("extension.nii", extended)
    rgba = np.zeros((5, 4, 3), dtype=[(c, "u1") for c in "RGBA"])
    for channel in "RGBA":
        rgba[channel] = dice.integers(0, 256, size=rgba.shape)
    one("rgba.nii", nib.Nifti1Image(rgba, oblique()))
    time = nib.Nifti1Image(dice.integers(0, 99, size=(5, 4, 3, 2, 2), dtype="u1"), oblique())
    peer = one("time.nii.gz", time)
    for k, volume in enumerate(np.asarray(peer.dataobj).reshape(5, 4, 3, 4, order="F").T):
        expect(f"nifti/time.nii.gz#{k}", volume, peer.affine, True)
    del EXPECTED["nifti/time.nii.gz"]

    bad = OUT / "bad"
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), "c8"), np.eye(4)), bad / "complex.nii")
    whole = bytearray((folder / "version2.nii").read_bytes())
    for name, offset, code, value in [("float128.nii", 12, "<h", 1536), ("huge_claim2.nii", 24, "<q", 2**62)]:
        patched = whole.copy()
        struct.pack_into(code, patched, offset, value)
        (bad / name).write_bytes(patched)
    (bad / "text_mode.nii").write_bytes(whole[:8] + b"\n\0\x1a\n" + whole[12:])
    shutil.copy(folder / "pair.hdr", bad / "alone.hdr")
    analyze = bytearray((folder / "pair.hdr").read_bytes())
    analyze[344:348] = bytes(4)
    (bad / "analyze.hdr").write_bytes(analyze)


def make_more_pictures(dice):
    """WebP, and TIFF in its many layouts: as Pillow and tifffile write and read them."""
    folder = OUT / "pictures"
    grey = dice.integers(0, 256, size=(3, 20, 24), dtype="u1")
    colour = dice.integers(0, 256, size=(20, 24, 3), dtype="u1")
    smooth = np.add.outer(np.arange(16) * 9, np.arange(16) * 5).astype("u1")
    smooth = np.stack([smooth, smooth[::-1], smooth.T // 2], axis=-1)

    def pillow(name, image, mode=None, **options):
        image.save(folder / name, **options)
        with Image.open(folder / name) as peer:
            pages = []
            for page in range(getattr(peer, "n_frames", 1)):
                peer.seek(page)
                pages.append(np.asarray(peer.convert(mode) if mode else peer))
        expect(f"pictures/{name}", np.stack(pages))

    def tiff(name, values, **options):
        tifffile.imwrite(folder / name, values, metadata=None, software=False, **options)
        peer = tifffile.imread(folder / name)
        peer = peer.reshape(values.shape)
        if options.get("planarconfig") == "separate":
            peer = np.moveaxis(peer, -3, -1)
        expect(f"pictures/{name}", peer[..., :3] if "extrasamples" in options else peer)

    pillow("rgb.webp", Image.fromarray(colour), lossless=True)
    pillow("lossy.webp", Image.fromarray(smooth), quality=80)
    pillow("colour.jpg", Image.fromarray(smooth), quality=90)
    palette = [Image.fromarray(smooth).rotate(90 * k).quantize(7) for k in range(3)]
    pillow("palette_pages.tif", palette[0], "RGB", save_all=True, append_images=palette[1:], compression="tiff_lzw")
    pillow("bilevel.tif", Image.fromarray(smooth[..., 0] > 90), "L", compression="group4")
    pillow("jpeg.tif", Image.fromarray(smooth), "RGB", compression="jpeg", quality=90)
    pillow("grey_alpha.tif", Image.merge("LA", [Image.fromarray(grey[0])] * 2), "L")
    tiff("planar.tif", np.moveaxis(colour, -1, 0)[np.newaxis], photometric="rgb", planarconfig="separate", compression="packbits")
    tiff("tiled.tif", grey.astype(">f4") / 4, tile=(16, 16), compression="deflate", predictor=True, byteorder=">", photometric="minisblack")
    tiff("big.tif", grey.astype("u2") * 200, bigtiff=True, compression="lzw", predictor=True, photometric="minisblack", rowsperstrip=6)
    tiff("alpha16.tif", np.dstack([colour, grey[0]]).astype("u2")[np.newaxis] * 257, photometric="rgb", extrasamples=["unassalpha"])
    tiff("float64.tif", grey[:1, :4, :5] / 9.0, photometric="minisblack")

    bad = OUT / "bad"
    frames = [Image.fromarray(np.roll(smooth, k, axis=0)) for k in range(3)]
    frames[0].save(bad / "animation.webp", save_all=True, append_images=frames[1:], lossless=True)
    frames[0].save(bad / "animation.png", save_all=True, append_images=frames[1:])
    (bad / "truncated.webp").write_bytes((folder / "rgb.webp").read_bytes()[:-200])
    (bad / "truncated.tif").write_bytes((folder / "pages.tif").read_bytes()[:-200])
    # claims of terabytes in a few bytes
    png = bytearray((folder / "grey8.png").read_bytes())
    struct.pack_into(">II", png, 16, 2**31 - 1, 2**31 - 1)
    struct.pack_into(">I", png, 29, zlib.crc32(png[12:29]))
    (bad / "bomb.png").write_bytes(png)
    for name, side in [("bomb.tif", 2**31 - 1), ("wide.tif", 2**24)]:
        raw = bytearray((folder / "grey8.tif").read_bytes())
        at = struct.unpack_from("<I", raw, 4)[0]
        for entry in range(struct.unpack_from("<H", raw, at)[0]):
            place = at + 2 + 12 * entry
            if struct.unpack_from("<H", raw, place)[0] in (256, 257, 278):
                struct.pack_into("<HIi", raw, place + 2, 4, 1, side)
        (bad / name).write_bytes(raw)
    bmp = bytearray((folder / "rgb.bmp").read_bytes())
    struct.pack_into("<ii", bmp, 18, 2**31 - 1, 2**31 - 1)
    (bad / "bomb.bmp").write_bytes(bmp)


def make_more_npy(dice):
    data = dice.integers(0, 99, size=(2, 3, 4)).astype(">i2")
    with open(OUT / "npy" / "version3.npy", "wb") as file:
        np.lib.format.write_array(file, np.asfortranarray(data), version=(3, 0))
    expect("npy/version3.npy", data, dtype="int16")
    np.save(OUT / "bad" / "four_channels.npy", np.zeros((2, 3, 4, 4), "u1"))
    whole = (OUT / "npy" / "uint64.npy").read_bytes()
    (OUT / "bad" / "huge_claim.npy").write_bytes(whole.replace(b"(2, 2, 2), }" + b" " * 12, b"(2" + b"0" * 12 + b", 2, 2), }"))
    (OUT / "bad" / "huge_header.npy").write_bytes(whole[:6] + b"\x02\0\xff\xff\xff\x7f" + whole[10:])


def main():
    if OUT.exists():
        shutil.rmtree(OUT)
    for name in ["nifti", "bad"]:
        (OUT / name).mkdir(parents=True)
    TiffImagePlugin.WRITE_LIBTIFF = False
    make_nifti()
    make_dicom()
    make_pictures()
    make_npy()
    write_expected("expected.json")
    dice = np.random.default_rng(7)
    make_nifti_versions(dice)
    make_more_pictures(dice)
    make_more_npy(dice)
    write_expected("expected_more.json")
    print(f"{sum(f.stat().st_size for f in OUT.rglob('*') if f.is_file())} bytes")


def write_expected(name):
    text = json.dumps(EXPECTED, separators=None if name == "expected.json" else (",", ":"))
    (OUT / name).write_text(text.replace('}, "', '},\n"').replace('},"', '},\n"') + "\n")
    print(f"{name}: {len(EXPECTED)} fixtures")
    EXPECTED.clear()


if __name__ == "__main__":
    main()
