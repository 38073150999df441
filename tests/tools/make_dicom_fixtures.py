#!/usr/bin/env python3
"""Makes tests/data/dicom: one small image in every transfer syntax that core/volumes/src/io/dicom reads, and unusual data sets.

Needs numpy, pydicom, imagecodecs (encoders), pylibjpeg with its plugins and python-gdcm (decoders). expected.json maps each file to shape,
type and values (C order) as pydicom reads them; HTJ2K, JPEG XL and JPEG of 12 bits, which pydicom cannot decode, are compared with
what was encoded (lossless) or what libjpeg decodes. All pictures are synthetic. Run from anywhere; the result is reproducible.
"""

import json
import shutil
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.fileset import FileSet
from pydicom.filewriter import write_dataset
from pydicom.pixels import apply_color_lut, pixel_array
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

OUT = Path(__file__).resolve().parents[1] / "data" / "dicom"
EXPECTED = {}
ROWS, COLUMNS = 20, 26


def picture(bits, samples=1, signed=False):
    """Smooth ground, flat areas (runs) and noise."""
    rng = np.random.default_rng(bits + 100 * samples)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    planes = []
    for k in range(samples):
        plane = (np.sin(x / 5 + k) * np.cos(y / 4) + 1) / 2
        plane[5:12, 3:15] = 0.25 * (k + 1)
        plane[14:, 16:] = rng.random((ROWS - 14, COLUMNS - 16))
        planes.append(plane)
    values = np.round(np.stack(planes, -1) * (2**bits - 1)).astype("i8")
    if signed:
        values -= 2 ** (bits - 1)
    dtype = f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}"
    return (values if samples > 1 else values[..., 0]).astype(dtype)


def dataset(values, bits, syntax=ExplicitVRLittleEndian, **tags):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.8.498.1.1"
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = "1.2.826.0.1.3680043.8.498.1"
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.9", "1.2.826.0.1.3680043.8.498.8"
    ds.Modality, ds.SeriesNumber, ds.PatientName, ds.PatientID = "OT", 1, "Fixture^Synthetic", "0"
    ds.Rows, ds.Columns = values.shape[:2]
    ds.SamplesPerPixel = 1 if values.ndim == 2 else values.shape[2]
    ds.PhotometricInterpretation = "MONOCHROME2" if values.ndim == 2 else "RGB"
    if values.ndim == 3:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = values.dtype.itemsize * 8, bits, bits - 1
    ds.PixelRepresentation = int(values.dtype.kind == "i")
    for name, value in tags.items():
        setattr(ds, name, value)
    return ds


def save(name, ds, values=None, tolerance=0):
    syntax = ds.file_meta.TransferSyntaxUID
    # pydicom does not know JPEG XL
    known = not syntax.startswith("1.2.840.10008.1.2.4.11")
    pydicom.dcmwrite(OUT / name, ds, enforce_file_format=known, little_endian=syntax != ExplicitVRBigEndian,
                     implicit_vr=syntax == ImplicitVRLittleEndian, force_encoding=not known)
    expect(name, pixel_array(pydicom.dcmread(OUT / name)) if values is None else values, ds.SamplesPerPixel, tolerance)


def expect(name, values, samples=1, tolerance=0):
    values = np.asarray(values)
    if values.ndim == (3 if samples > 1 else 2):
        values = values[np.newaxis]
    EXPECTED[name] = {"shape": list(values.shape), "dtype": str(values.dtype), "tolerance": tolerance, "values": values.ravel().tolist()}


def packed(name, stream, values, bits, syntax, expected=None, tolerance=0, fragments=1, **tags):
    ds = dataset(values, bits, syntax, **tags)
    ds.PixelData = encapsulate([stream], fragments_per_frame=fragments)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    save(name, ds, expected, tolerance)


def make_codecs():
    grey8, grey12, grey16, signed, rgb = picture(8), picture(12), picture(16), picture(12, signed=True), picture(8, 3)
    jls, j2k, xl, ht = imagecodecs.jpegls_encode, imagecodecs.jpeg2k_encode, imagecodecs.jpegxl_encode, imagecodecs.htj2k_encode
    for kind, values, bits in [("grey8", grey8, 8), ("grey12", grey12, 12), ("grey16", grey16, 16), ("rgb", rgb, 8)]:
        packed(f"jpegls_{kind}.dcm", jls(values), values, bits, "1.2.840.10008.1.2.4.80")
        packed(f"jpeg2000_{kind}.dcm", j2k(values, level=0, codecformat="j2k", bitspersample=bits, mct=kind == "rgb"), values, bits,
               "1.2.840.10008.1.2.4.90", **({"PhotometricInterpretation": "YBR_RCT"} if kind == "rgb" else {}))
        packed(f"jpegxl_{kind}.dcm", xl(values, lossless=True, usecontainer=False), values, bits, "1.2.840.10008.1.2.4.110", values)
        packed(f"htj2k_{kind}.dcm", ht(values, level=0), values, bits, "1.2.840.10008.1.2.4.201", values)
    packed("jpegls_near.dcm", jls(grey16, level=3), grey16, 16, "1.2.840.10008.1.2.4.81")
    packed("jpegls_fragments.dcm", jls(grey16), grey16, 16, "1.2.840.10008.1.2.4.80", fragments=3)
    offset = (signed.astype("i4") + 2048).astype("u2")
    packed("jpegls_signed.dcm", jls((signed.astype("i4") & 0xFFF).astype("u2")), signed, 12, "1.2.840.10008.1.2.4.80")
    packed("jpeg2000_signed.dcm", j2k(signed, level=0, codecformat="j2k", bitspersample=12), signed, 12, "1.2.840.10008.1.2.4.90")
    packed("jpeg2000_lossy.dcm", j2k(grey12, level=40, codecformat="j2k", bitspersample=12, reversible=False), grey12, 12,
           "1.2.840.10008.1.2.4.91", tolerance=1)
    packed("jpeg_lossless_grey16.dcm", imagecodecs.ljpeg_encode(grey16), grey16, 16, "1.2.840.10008.1.2.4.70", grey16)
    packed("jpeg_lossless_grey12.dcm", imagecodecs.ljpeg_encode(offset, bitspersample=12), offset, 12, "1.2.840.10008.1.2.4.70", offset)
    jpeg = imagecodecs.jpeg8_encode
    packed("jpeg_grey8.dcm", jpeg(grey8, level=90), grey8, 8, "1.2.840.10008.1.2.4.50", tolerance=2)
    packed("jpeg_ybr.dcm", jpeg(rgb, level=95, colorspace="rgb", outcolorspace="ycbcr", subsampling="444"), rgb, 8,
           "1.2.840.10008.1.2.4.50", tolerance=3, PhotometricInterpretation="YBR_FULL")
    stream = jpeg(grey12, level=90, bitspersample=12)
    packed("jpeg_grey12.dcm", stream, grey12, 12, "1.2.840.10008.1.2.4.51", imagecodecs.jpeg8_decode(stream), tolerance=1)
    ds = dataset(grey16, 16)
    ds.PixelData = grey16.tobytes()
    ds.compress("1.2.840.10008.1.2.5", encoding_plugin="pydicom", generate_instance_uid=False)
    save("rle_grey16.dcm", ds)


def make_bits():
    rng = np.random.default_rng(7)
    bits = rng.integers(0, 2, (3, 5, 7), dtype="u1")
    ds = dataset(bits[0], 1, NumberOfFrames=3, BitsAllocated=1, BitsStored=1, HighBit=0)
    ds.PixelData = np.packbits(bits.ravel(), bitorder="little").tobytes() + b"\0"
    save("bits.dcm", ds, bits)
    # an overlay in the four high bits
    values = picture(12)
    ds = dataset(values, 12)
    ds.PixelData = (values | (rng.integers(0, 16, values.shape, dtype="u2") << 12)).tobytes()
    save("high_bits.dcm", ds, values)
    for name, dtype, tag in [("float32.dcm", "f4", "FloatPixelData"), ("float64.dcm", "f8", "DoubleFloatPixelData")]:
        values = rng.normal(size=(4, 6)).astype(dtype)
        ds = dataset(values, 32)
        for gone in ["BitsStored", "HighBit", "PixelRepresentation"]:
            delattr(ds, gone)
        setattr(ds, tag, values.tobytes())
        save(name, ds)
    # bytes in words, an odd number of them
    odd = rng.integers(0, 256, (3, 5), dtype="u1")
    ds = dataset(odd, 8, ExplicitVRBigEndian)
    ds.PixelData = np.frombuffer(odd.tobytes() + b"\0", "u2").byteswap().tobytes()
    ds["PixelData"].VR = "OW"
    save("odd_words_big_endian.dcm", ds, odd)


def make_palette():
    # 0 to 3 as they are, a line up to 1023 at 8, and the first segment again
    segments = np.array([0, 4, 0, 10, 20, 30, 1, 5, 1023, 2, 1, 0, 0], "<u2")
    table = [0, 10, 20, 30, 229, 427, 626, 824, 1023, 0, 10, 20, 30]
    index = np.arange(13, dtype="u1").reshape(1, 13)
    tags = {"PhotometricInterpretation": "PALETTE COLOR"}
    for channel in ["Red", "Green", "Blue"]:
        tags[f"{channel}PaletteColorLookupTableDescriptor"] = [13, 0, 16]
        tags[f"Segmented{channel}PaletteColorLookupTableData"] = segments.tobytes()
    ds = dataset(index, 8, **tags)
    ds.PixelData = index.tobytes() + b"\0"
    pydicom.dcmwrite(OUT / "segmented_palette.dcm", ds, enforce_file_format=True)
    ds = pydicom.dcmread(OUT / "segmented_palette.dcm")
    values = apply_color_lut(ds.pixel_array, ds)
    assert np.abs(values[0, :, 0].astype(int) - table).max() <= 1
    expect("segmented_palette.dcm", values, 3, 1)


def make_starts():
    values = picture(8)
    ds = dataset(values, 8)
    ds.PixelData = values.tobytes()
    save("whole.dcm", ds)
    whole = (OUT / "whole.dcm").read_bytes()
    start = 132 + 12 + int.from_bytes(whole[140:144], "little")
    for name, data in {
        "no_preamble.dcm": whole[128:],
        "no_meta.dcm": whole[start:],
        "trailing.dcm": whole + b"garbage, and more of it",
    }.items():
        (OUT / name).write_bytes(data)
        EXPECTED[name] = EXPECTED["whole.dcm"]
    (OUT / "implicit_no_meta").write_bytes(implicit_body(ds))
    EXPECTED["implicit_no_meta"] = EXPECTED["whole.dcm"]


def item(**tags):
    one = Dataset()
    for name, value in tags.items():
        setattr(one, name, value)
    return [one]


def make_ophthalmic():
    """B-scans with a place per frame, in another order than the file's, rescaled and windowed frame by frame; and an en-face image."""
    rng = np.random.default_rng(11)
    values = rng.integers(0, 256, (4, 5, 6), dtype="u1")
    order = [1, 0, 3, 2]
    groups = []
    for k in order:
        frame = Dataset()
        frame.PlanePositionSequence = item(ImagePositionPatient=[1.0, 2.0 + 0.05 * k, 3.0])
        frame.PixelValueTransformationSequence = item(RescaleSlope=2, RescaleIntercept=k - 100, RescaleType="US")
        frame.FrameVOILUTSequence = item(WindowCenter=100 + k, WindowWidth=51)
        groups.append(frame)
    shared = Dataset()
    shared.PixelMeasuresSequence = item(PixelSpacing=[0.004, 0.012], SliceThickness=0.05)
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    ds = dataset(values[0], 8, NumberOfFrames=4, Modality="OPT", SOPClassUID="1.2.840.10008.5.1.4.1.1.77.1.5.4",
                 SharedFunctionalGroupsSequence=[shared], PerFrameFunctionalGroupsSequence=groups)
    ds.PixelData = values[order].tobytes()
    pydicom.dcmwrite(OUT / "opt.dcm", ds, enforce_file_format=True)
    expect("opt.dcm", np.stack([values[k].astype("i2") * 2 + k - 100 for k in range(4)]))
    face = rng.integers(0, 4096, (6, 5), dtype="u2")
    ds = dataset(face, 12, Modality="OPTENF", SOPClassUID="1.2.840.10008.5.1.4.1.1.77.1.5.7", PixelSpacing=[0.02, 0.01],
                 ImageOrientationPatient=[1, 0, 0, 0, 0, -1], WindowCenter=2048, WindowWidth=4096)
    ds.PixelData = face.tobytes()
    save("en_face.dcm", ds)


def make_directory():
    """Two series of two slices that a DICOMDIR names, and a file that it does not name."""
    files = FileSet()
    files.UID = "1.2.826.0.1.3680043.8.498.77"
    values = picture(8)[:4, :6]
    for series in (1, 2):
        for k in (0, 1):
            ds = dataset(values, 8, SeriesInstanceUID=f"1.2.826.0.1.3680043.8.498.8.{series}", SeriesNumber=series + 4,
                         SeriesDescription=f"scan {series}", InstanceNumber=k + 1, StudyID="1", StudyDate="20240101", StudyTime="120000",
                         AccessionNumber="", ImageOrientationPatient=[1, 0, 0, 0, 1, 0], ImagePositionPatient=[0, 0, 2 * k],
                         PixelSpacing=[1, 1], SOPInstanceUID=f"1.2.826.0.1.3680043.8.498.1.{series}.{k}")
            ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
            ds.PixelData = (values + np.uint8(series * 10 + k)).tobytes()
            files.add(ds)
    (OUT / "directory").mkdir()
    files.write(OUT / "directory")
    shutil.copy(OUT / "whole.dcm", OUT / "directory" / "stray.dcm")


def implicit_body(ds):
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, True
    write_dataset(out, Dataset(dict(ds.items())))
    return out.getvalue()


def main():
    if OUT.exists():
        shutil.rmtree(OUT)
    OUT.mkdir(parents=True)
    make_codecs()
    make_bits()
    make_palette()
    make_starts()
    make_ophthalmic()
    make_directory()
    (OUT / "expected.json").write_text(json.dumps(EXPECTED, separators=(",", ":")).replace('},"', '},\n"') + "\n")
    print(f"{len(EXPECTED)} fixtures, {sum(f.stat().st_size for f in OUT.rglob('*') if f.is_file())} bytes")


if __name__ == "__main__":
    main()
