"""Makes tests/data/io/oct: small files of OCT devices as the peers' own writers make them, and what the peers read from them. Run it from the
root of the checkout:

    pip install numpy==2.4.6 eyepy==0.21.0 scipy==1.17.1 oct-to-tiff==0.6.4
    python tests/tools/make_oct_fixtures.py
"""

import datetime
import pathlib
import shutil
import subprocess
import sys

import eyepy
import numpy as np
import scipy.io
import tifffile
from eyepy.core.utils import to_vol_intensity
from eyepy.io.he.vol_reader import SLAB_MAPPING, HeVolReader, vol_format



class Lenient(datetime.datetime):
    """eyepy 0.21's writer hands dates to a function that wants texts."""

    @classmethod
    def fromisoformat(cls, date):
        return date if isinstance(date, datetime.datetime) else datetime.datetime.fromisoformat(date)


def ticks(date, *_):
    """The same of its times, which it makes floats."""
    return int((Lenient.fromisoformat(date) - datetime.datetime(1601, 1, 1)).total_seconds() * 10 ** 7)


eyepy.io.utils.datetime = Lenient
eyepy.io.utils.IntDate._encode = ticks

OUT = pathlib.Path("tests/data/io/oct")
rng = np.random.default_rng(25)
FRAMES, ROWS, COLUMNS = 5, 24, 12
SLO = 16


def positions(bottom_up=True):
    """Start and end of each B-scan in mm; y grows downwards."""
    ys = np.linspace(1.2, 0.4, FRAMES) if bottom_up else np.linspace(0.4, 1.2, FRAMES)
    return [((0.2, y), (1.3, y)) for y in ys]


def curves(count):
    """Heights of so many surfaces from the vitreous down, between rows, with columns of which nobody knows."""
    steps = np.linspace(2.3, 21.7, count)
    wave = rng.normal(0, 0.4, (FRAMES, COLUMNS))
    heights = (steps[:, None, None] + wave).astype(np.float32)
    heights[:, 1, 3] = np.nan
    return heights


NAMES = ["ILM", "BM", "RNFL", "GCL", "IPL", "INL", "OPL", "ONL", "ELM", "IOS", "OPT", "CHO", "VIT", "ANT", "PR1", "PR2", "RPE", "IPL+", "IPL-"]


def vol(path, values, heights, count, distance, eye, version, pattern):
    """A .vol file with `count` curves by eyepy's description of the format. Its own writer wants exactly 17 curves and cannot write dates."""
    nothing = np.full((FRAMES, COLUMNS), np.finfo(np.float32).max, np.float32)
    stack = np.stack([np.nan_to_num(heights.get(name, nothing), nan=np.finfo(np.float32).max) for name in NAMES[:count]])
    day = datetime.datetime(2020, 5, 4)
    header = 256 + count * 4 * COLUMNS + 20
    bscans = [dict(version=version, bscan_hdr_size=header, start_x=start[0], start_y=start[1], end_x=end[0], end_y=end[1], num_seg=count,
                   quality=20.0, shift=0, iv_transformation=[0] * 6, layer_segmentations=np.ascontiguousarray(stack[:, frame]),
                   data=values[frame])
              for frame, (start, end) in enumerate(positions())]
    slo = rng.integers(0, 256, (SLO, SLO), dtype=np.uint8)
    path.write_bytes(vol_format.build(dict(
        version=version, size_x=COLUMNS, n_bscans=FRAMES, size_y=ROWS, scale_x=0.0113, distance=distance, scale_y=0.00387, size_x_slo=SLO,
        size_y_slo=SLO, scale_x_slo=0.1, scale_y_slo=0.1, field_size_slo=30, scan_focus=0.0, scan_position=eye, exam_time=day,
        scan_pattern=pattern, bscan_hdr_size=header, id="1", reference_id="", pid=0, patient_id="synthetic", dob=day, vid=0, visit_id="",
        visit_date=day, grid_type=0, grid_offset=0, grid_type1=0, grid_offset1=0, prog_id="", localizer=slo, bscans=bscans)))


def structure():
    """Reflectivity as eyepy makes it of grey values, and seven curves."""
    order = ["ILM", "RNFL", "GCL", "IPL", "INL", "OPL", "BM"]
    values = to_vol_intensity(rng.uniform(0, 1, (FRAMES, ROWS, COLUMNS)).astype(np.float32)).astype(np.float32)
    values[4, 3, :3] = np.finfo(np.float32).max, 1.7, -1.0
    vol(OUT / "structure.vol", values, dict(zip(order, curves(7))), 7, 0.2, "OD", "ep-v0.21.0", 0)
    read = HeVolReader(OUT / "structure.vol").volume
    np.save(OUT / "structure.npy", read.data)
    np.save(OUT / "structure_surfaces.npy", np.stack([read.layers[name].data for name in ["ILM", "BM", "RNFL", "OPL"]]).astype(np.float32))


def angio():
    """Flow with the 19 curves that HEYEX writes for OCTA, of which some were not drawn."""
    order = ["ILM", "RNFL", "GCL", "IPL-", "IPL", "IPL+", "INL", "OPL", "ELM", "PR1", "PR2", "RPE", "BM"]
    flow = rng.uniform(-0.2, 1.2, (FRAMES, ROWS, COLUMNS)).astype(np.float32)
    flow[0, 5, 2], flow[2, 7, 1] = np.nan, np.finfo(np.float32).max
    vol(OUT / "Angio.vol", flow, dict(zip(order, curves(len(order)))), 19, 0.0114, "OS", "HSF-OCT-103", 3)
    read = HeVolReader(OUT / "Angio.vol", type="octa").volume
    np.save(OUT / "angio.npy", read.data.astype(np.float32))
    for name in SLAB_MAPPING:
        np.save(OUT / f"slab_{name}.npy", read.slabs[name].projection().astype(np.float32)[None])


def xml():
    """An XML export by hand: pictures and a description, read by eyepy."""
    folder = OUT / "xml"
    folder.mkdir()
    scans = rng.integers(0, 256, (3, ROWS, COLUMNS), dtype=np.uint8)
    slo = rng.integers(0, 256, (SLO, SLO), dtype=np.uint8)
    heights = rng.uniform(2, 20, (2, 3, COLUMNS)).astype(np.float32)
    heights[0, 1, 4] = 3.0e38
    tifffile.imwrite(folder / "slo.tif", slo, photometric="minisblack")

    def image(kind, file, scale, size, more=""):
        return f"""<Image><ID>1</ID><ImageType><Type>{kind}</Type></ImageType><OphthalmicAcquisitionContext><Width>{size[1]}</Width>
<Height>{size[0]}</Height><ScaleX>{scale[0]}</ScaleX><ScaleY>{scale[1]}</ScaleY>{more}</OphthalmicAcquisitionContext>
<ImageData><ExamURL>\\\\server\\export\\{file}</ExamURL></ImageData>"""

    images = [image("LOCALIZER", "slo.tif", (0.1, 0.1), (SLO, SLO), "<Angle>30</Angle><Focus>0.5</Focus>") + "</Image>"]
    for frame, scan in enumerate(scans):
        tifffile.imwrite(folder / f"scan_{frame}.tif", scan, photometric="minisblack")
        y = 1.2 - 0.25 * frame
        place = f"<Start><Coord><X>0.2</X><Y>{y}</Y></Coord></Start><End><Coord><X>1.3</X><Y>{y}</Y></Coord></End><ImageQuality>30</ImageQuality>"
        lines = "".join(f"<SegLine><Name>{name}</Name><Array>{' '.join(map(str, heights[curve, frame]))}</Array></SegLine>"
                        for curve, name in enumerate(("ILM", "BM")))
        images.append(image("OCT", f"scan_{frame}.tif", (0.0113, 0.00387), (ROWS, COLUMNS), place)
                      + f"<Segmentation><NumSegmentations>2</NumSegmentations>{lines}</Segmentation></Image>")
    date = "<Date><Year>2020</Year><Month>5</Month><Day>4</Day></Date>"
    text = f"""<?xml version="1.0" encoding="utf-8"?>
<HEDX><BODY><SWVersion><Version>1</Version></SWVersion><Patient><ID>1</ID><LastName>Synthetic</LastName><FirstNames>A</FirstNames>
<PatientID>1</PatientID><Birthdate>{date}</Birthdate><Study><StudyDate>{date}</StudyDate><Series><ID>1</ID><Laterality>L</Laterality>
<ProgID>1</ProgID><ReferenceSeries><ID>1</ID><ExamDate>{date}</ExamDate></ReferenceSeries>
{"".join(images)}</Series></Study></Patient></BODY></HEDX>
"""
    (folder / "export.xml").write_text(text)
    read = eyepy.import_heyex_xml(folder)
    assert read.meta["laterality"] == "OS" and abs(read.scale_z - 0.25) < 1e-9
    np.save(OUT / "xml.npy", read.data)
    np.save(OUT / "xml_surfaces.npy", np.stack([read.layers[name].data for name in ("ILM", "BM")]).astype(np.float32))


def optovue():
    """Read by oct-to-tiff, which writes TIFF."""
    side = 8
    (OUT / "flow.dat").write_bytes(rng.integers(0, 60000, side * side * 160, dtype=np.uint16).tobytes())
    (OUT / "enface.dat").write_bytes(rng.normal(0, 1, side * side).astype(np.float32).tobytes())
    tool = pathlib.Path(sys.executable).with_name("oct-to-tiff")
    for name, option in (("flow.dat", "--angio"), ("enface.dat", "--en-face")):
        subprocess.run([tool, OUT / name, option, "--size", "3", "--overwrite"], check=True)
    # eight curves of eight B-scans: oct-to-tiff knows 304 and 400 only, and reads [B-scans, curves, columns]
    (OUT / "curves.dat").write_bytes(np.arange(side * 8 * side, dtype=np.float32).tobytes())


def mats():
    """Layer curves as OCTA-500 has them: 6 x B-scans x columns."""
    layer = np.rint(np.nan_to_num(curves(6), nan=3)).astype(np.uint16)
    scipy.io.savemat(OUT / "layers.mat", {"Layer": layer}, do_compression=True)
    scipy.io.savemat(OUT / "layers_plain.mat", {"note": "text", "other": np.zeros((2, 2)), "Layer": layer.astype(np.float64)})
    np.save(OUT / "layers.npy", layer)


shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir(parents=True)
structure()
angio()
xml()
optovue()
mats()
print(sorted(path.name for path in OUT.iterdir()))
