#!/usr/bin/env python3
"""Makes tests/data/io/seg: tiny DICOM images to segment, and segmentations of them by another maker.

Needs numpy, pydicom and highdicom. Sources: `ct` (single frames, oblique, file names in another order), `opt.dcm` (multi-frame with
geometry), `opt_unplaced.dcm` (multi-frame without Frame of Reference), `enface.dcm` (one frame without position). `highdicom_*.dcm`
are segmentations of `ct` whose voxels follow the formula in `labels()`, which tests/io/seg.rs repeats. Run from anywhere; the result
is reproducible.
"""

import shutil
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

OUT = Path(__file__).resolve().parents[1] / "data" / "io" / "seg"
RNG = np.random.default_rng(20240301)
ROOT = "1.2.826.0.1.3680043.10.1542.7"
CT = "1.2.840.10008.5.1.4.1.1.2"
OPT = "1.2.840.10008.5.1.4.1.1.77.1.5.4"
EN_FACE = "1.2.840.10008.5.1.4.1.1.77.1.5.7"
FRAMES, ROWS, COLUMNS = 5, 6, 7


def code(value, scheme, meaning):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def image(name, kind, modality, number):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = kind
    meta.MediaStorageSOPInstanceUID = f"{ROOT}.{number}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(str(OUT / name), {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID, ds.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Müller^Zoë", "P7", "19500102", "F"
    ds.StudyInstanceUID, ds.StudyID, ds.AccessionNumber = f"{ROOT}.1000", "7", "A7"
    ds.StudyDate, ds.StudyTime, ds.ReferringPhysicianName = "20240301", "101112", "Doe^Jo"
    ds.SeriesDate = ds.ContentDate = ds.AcquisitionDate = "20240301"
    ds.SeriesTime = ds.ContentTime = ds.AcquisitionTime = "101500"
    ds.Modality, ds.SeriesInstanceUID, ds.SeriesNumber = modality, f"{ROOT}.{number // 100}", 3
    ds.InstanceNumber = number % 100
    ds.Manufacturer, ds.ManufacturerModelName = "Fixture", "Fixture"
    ds.DeviceSerialNumber, ds.SoftwareVersions = "1", "1"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    return ds


def pixels(ds, frames):
    shape = (frames, ROWS, COLUMNS) if frames else (ROWS, COLUMNS)
    ds.PixelData = RNG.integers(0, 4000, shape).astype("<u2").tobytes()
    if len(ds.PixelData) % 2:
        ds.PixelData += b"\0"


def save(ds):
    path = Path(ds.filename)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)


def directions():
    a, b = 0.3, -0.2
    x = np.array([np.cos(a), np.sin(a), 0.0])
    y = np.array([-np.sin(a) * np.cos(b), np.cos(a) * np.cos(b), np.sin(b)])
    return x, y, np.cross(x, y)


def short(values):
    return [f"{value:.10f}" for value in values]


def ct():
    x, y, normal = directions()
    origin = np.array([-12.5, 30.25, 7.0])
    for i in range(FRAMES):
        # the first slice has the last name
        ds = image(f"ct/{FRAMES - 1 - i}.dcm", CT, "CT", 100 + i + 1)
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = f"{ROOT}.2000", ""
        ds.ImagePositionPatient = short(origin + normal * 2.5 * i)
        ds.ImageOrientationPatient = short([*x, *y])
        ds.PixelSpacing, ds.SliceThickness, ds.KVP = ["0.75", "0.5"], "2.5", "120"
        ds.RescaleIntercept, ds.RescaleSlope, ds.PatientPosition = "-1024", "1", "HFS"
        pixels(ds, 0)
        save(ds)


def opt(name, number, placed):
    ds = image(name, OPT, "OPT", number)
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.NumberOfFrames, ds.ImageLaterality, ds.Laterality = FRAMES, "R", None
    ds.SynchronizationTrigger, ds.AcquisitionTimeSynchronized = "NO TRIGGER", "N"
    ds.BurnedInAnnotation, ds.RecognizableVisualFeatures, ds.LossyImageCompression = "NO", "NO", "00"
    del ds.Laterality
    measures = Dataset()
    # 3/304 mm has more digits than a decimal string
    measures.PixelSpacing, measures.SliceThickness = ["0.00986842105263", "0.01"], "0.02"
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    if placed:
        ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = f"{ROOT}.2001", ""
        orientation = Dataset()
        orientation.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
        shared.PlaneOrientationSequence = Sequence([orientation])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for i in range(FRAMES):
        group, content = Dataset(), Dataset()
        content.StackID, content.InStackPositionNumber, content.DimensionIndexValues = "1", i + 1, [1, i + 1]
        group.FrameContentSequence = Sequence([content])
        if placed:
            position = Dataset()
            # frames run from back to front
            position.ImagePositionPatient = [-1.5, 0.5 - 0.02 * i, 2.25]
            group.PlanePositionSequence = Sequence([position])
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = Sequence(groups)
    pixels(ds, FRAMES)
    save(ds)


def en_face():
    ds = image("enface.dcm", EN_FACE, "OPTENF", 401)
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.ImageLaterality, ds.PixelSpacing, ds.ImageOrientationPatient = "L", ["0.01", "0.01"], [1, 0, 0, 0, 1, 0]
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = f"{ROOT}.2002", ""
    ds.BurnedInAnnotation, ds.RecognizableVisualFeatures, ds.LossyImageCompression = "NO", "NO", "00"
    ds.OphthalmicImageTypeCodeSequence = Sequence([code("128265", "DCM", "Superficial retina vasculature flow")])
    pixels(ds, 0)
    save(ds)


def labels():
    z, y, x = np.indices((FRAMES, ROWS, COLUMNS))
    values = (x + 2 * y + 3 * z) % 4
    # slice 3 is empty: a gap between frames; objects 1 to 3
    return np.where(z == 3, 0, values).astype(np.uint8)


def segmentations():
    # in the order of the slices
    sources = [pydicom.dcmread(OUT / "ct" / f"{FRAMES - 1 - i}.dcm") for i in range(FRAMES)]
    describe = [
        hd.seg.SegmentDescription(
            segment_number=n,
            segment_label=f"part {n}",
            segmented_property_category=codes.SCT.Tissue,
            segmented_property_type=codes.SCT.Tissue,
            algorithm_type="MANUAL",
        )
        for n in (1, 2, 3)
    ]
    fractions = np.stack([np.where(labels() == n, 0.75, 0.2) for n in (1, 2, 3)], axis=-1)
    for i, (kind, values, syntax) in enumerate(
        [
            ("BINARY", labels(), ExplicitVRLittleEndian),
            ("FRACTIONAL", fractions, ExplicitVRLittleEndian),
            ("FRACTIONAL", fractions, pydicom.uid.RLELossless),
            ("LABELMAP", labels(), ExplicitVRLittleEndian),
        ]
    ):
        seg = hd.seg.Segmentation(
            source_images=sources,
            pixel_array=values,
            segmentation_type=kind,
            segment_descriptions=describe,
            series_instance_uid=f"{ROOT}.30",
            series_number=9,
            sop_instance_uid=f"{ROOT}.30.{i}",
            instance_number=i + 1,
            manufacturer="Fixture",
            manufacturer_model_name="Fixture",
            software_versions="1",
            device_serial_number="1",
            transfer_syntax_uid=syntax,
            max_fractional_value=200,
        )
        seg.ContentDate = seg.InstanceCreationDate = "20240301"
        seg.ContentTime = seg.InstanceCreationTime = "101500"
        rle = "_rle" if syntax == pydicom.uid.RLELossless else ""
        seg.save_as(OUT / f"highdicom_{kind.lower()}{rle}.dcm")


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    ct()
    opt("opt.dcm", 201, True)
    opt("opt_unplaced.dcm", 301, False)
    en_face()
    segmentations()
    print(f"{sum(f.stat().st_size for f in OUT.rglob('*.dcm'))} bytes in {OUT}")


if __name__ == "__main__":
    main()
