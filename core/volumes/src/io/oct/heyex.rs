//! Heidelberg Engineering's raw export from HEYEX, `.vol`: structure and flow (`Angio.vol`), layer curves, the fundus picture.
//!
//! Described by the comments of eyepy's `vol_reader.py` (<https://github.com/MedVisBonn/eyepy>), which also gives structure its grey values.

use super::{FileKind, at_hand, placed};
use crate::io::OpenOptions;
use crate::io::lazy::FileFrames;
use crate::io::raw::numbers;
use crate::progress::Observer;
use crate::volume::{Eye, Fundus, Geometry, Scan, Surface, Volume, Voxels};
use crate::{Error, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

/// bytes of the file's header; the fundus picture follows
const HEADER: usize = 2048;
/// bytes of a B-scan's header without its curves
const BSCAN_HEADER: usize = 256;
/// curves in the order in which they lie
const CURVES: [&str; 19] = [
    "ILM", "BM", "RNFL", "GCL", "IPL", "INL", "OPL", "ONL", "ELM", "IOS", "OPT", "CHO", "VIT", "ANT", "PR1", "PR2",
    "RPE", "IPL+", "IPL-",
];
/// what stands where there is nothing
const NOTHING: f32 = 3.0e38;
/// more B-scans than any device makes
const MOST_BSCANS: u32 = 1 << 16;

/// Does the file's name (in lower case) end so?
pub(in crate::io) fn is_named_so(name: &str) -> bool {
    name.ends_with(".vol")
}

/// Numbers at fixed places of a header, little end first.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn get<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.get(at))
    }

    fn f64(&self, at: usize) -> f64 {
        f64::from_le_bytes(self.get(at))
    }
}

/// What the file's header says.
struct Header {
    columns: u32,
    frames: u32,
    rows: u32,
    /// millimetres along x, y, z
    spacing: [f64; 3],
    /// columns and rows of the fundus picture
    fundus: [u32; 2],
    fundus_spacing: [f64; 2],
    angle: u32,
    eye: Option<Eye>,
    pattern: u32,
}

impl Header {
    fn read(path: &Path, file: &mut File) -> Result<Self> {
        let mut bytes = Vec::with_capacity(HEADER);
        file.take(HEADER as u64).read_to_end(&mut bytes).map_err(Error::io(path))?;
        // files of HEYEX begin with HSF-OCT-, those that eyepy writes with its own version
        if !(bytes.starts_with(b"HSF-OCT") || bytes.starts_with(b"ep-v")) {
            return Err(Error::format(path, "is not a .vol file of HEYEX (it does not begin with HSF-OCT)"));
        }
        if bytes.len() < HEADER {
            return Err(Error::format(
                path,
                format!("holds {} bytes, less than the header of a .vol file ({HEADER}): truncated", bytes.len()),
            ));
        }
        let f = Fields(&bytes);
        Ok(Self {
            columns: f.u32(12),
            frames: f.u32(16),
            rows: f.u32(20),
            spacing: [f.f64(24), f.f64(40), f.f64(32)],
            fundus: [f.u32(48), f.u32(52)],
            fundus_spacing: [f.f64(56), f.f64(64)],
            angle: f.u32(72),
            eye: Eye::of(&String::from_utf8_lossy(&f.get::<4>(84))),
            pattern: f.u32(96),
        })
    }

    /// Errors: patterns that are no volume, sizes that are none.
    fn checked(self, path: &Path) -> Result<Self> {
        let pattern = match self.pattern {
            2 => "a circle scan: its one B-scan is no volume; export a volume scan",
            5 => "a radial scan (star): its B-scans cross and are no volume; export a volume scan",
            _ => "",
        };
        if !pattern.is_empty() {
            return Err(Error::Unsupported(format!("{}: is {pattern}", path.display())));
        }
        let Self { columns, frames, rows, .. } = self;
        if columns == 0 || rows == 0 || frames == 0 || frames > MOST_BSCANS {
            let what = format!("has impossible sizes in its header: {frames} B-scans of {rows} x {columns}");
            return Err(Error::format(path, what));
        }
        Ok(self)
    }

    fn geometry(&self) -> (Geometry, Option<&'static str>) {
        let [x, y, z] = self.spacing;
        // the distance of a single B-scan is none
        let z = if self.frames == 1 && z == 0.0 { 1.0 } else { z };
        match [x, y, z].iter().all(|mm| mm.is_finite() && *mm > 0.0) {
            true => (Geometry::from_spacing([x, y, z], true), None),
            false => (Geometry::unknown(), Some("its scales are zero or not finite: sizes are not known")),
        }
    }
}

/// What a B-scan's header says.
struct Bscan {
    /// where its values begin
    values: u64,
    position: [f64; 4],
    /// `[curves, columns]`
    curves: Vec<f32>,
}

impl Bscan {
    /// Reads the header at byte `at`.
    fn read(path: &Path, file: &mut File, at: u64, header: &Header, length: u64) -> Result<Self> {
        let short = || {
            Error::format(
                path,
                format!("is truncated: its header promises {} B-scans, more than the file holds", header.frames),
            )
        };
        let mut bytes = [0; BSCAN_HEADER];
        file.seek(SeekFrom::Start(at)).map_err(Error::io(path))?;
        file.read_exact(&mut bytes).map_err(|_| short())?;
        let f = Fields(&bytes);
        let (size, curves, columns) = (u64::from(f.u32(12)), u64::from(f.u32(48)), u64::from(header.columns));
        let values = at.checked_add(size).filter(|values| *values <= length).ok_or_else(short)?;
        let reply = BSCAN_HEADER as u64 + curves.saturating_mul(columns).saturating_mul(4);
        if size < BSCAN_HEADER as u64 || curves > 64 || reply > size {
            let what = format!("has a damaged B-scan header at byte {at}: {curves} curves in {size} bytes");
            return Err(Error::format(path, what));
        }
        let curves = numbers::<f32>(file, (curves * columns) as usize, false).map_err(|_| short())?;
        let curves = curves.into_iter().map(|row| if row < NOTHING { row } else { f32::NAN }).collect();
        Ok(Self { values, position: [f.f64(16), f.f64(24), f.f64(32), f.f64(40)], curves })
    }
}

/// Reads a volume with its curves; of flow, what lies outside of 0 to 1 is 0, structure has eyepy's 8 bits.
pub(in crate::io) fn read(path: &Path, options: &OpenOptions, observer: &mut dyn Observer) -> Result<Volume> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let header = Header::read(path, &mut file)?.checked(path)?;
    let angio = match options.kind {
        Some(FileKind::HeyexAngio) => true,
        Some(_) => false,
        // HEYEX exports flow beside structure under this name
        None => path.file_name().unwrap_or_default().to_string_lossy().to_lowercase().contains("angio"),
    };
    let fundus_bytes = u64::from(header.fundus[0]) * u64::from(header.fundus[1]);
    let slice = u64::from(header.rows) * u64::from(header.columns) * 4;
    let least = (HEADER as u64)
        .checked_add(fundus_bytes)
        .zip(slice.checked_add(BSCAN_HEADER as u64).and_then(|one| one.checked_mul(u64::from(header.frames))))
        .and_then(|(start, all)| start.checked_add(all));
    if least.is_none_or(|least| least > length) {
        let (frames, rows, columns) = (header.frames, header.rows, header.columns);
        let what = format!(
            "is truncated: its header promises {frames} B-scans of {rows} x {columns}, more than the file holds"
        );
        return Err(Error::format(path, what));
    }
    let fundus = fundus(path, &mut file, &header)?;
    let mut bscans = Vec::with_capacity(header.frames as usize);
    let mut at = HEADER as u64 + fundus_bytes;
    for _ in 0..header.frames {
        let bscan = Bscan::read(path, &mut file, at, &header, length)?;
        at = bscan.values.saturating_add(slice);
        bscans.push(bscan);
    }
    if at > length {
        return Err(Error::format(
            path,
            format!("is truncated: its last B-scan ends {} bytes behind the file", at - length),
        ));
    }
    let (geometry, note) = header.geometry();
    if let Some(note) = note {
        observer.note(&format!("{}: {note}", path.display()));
    }
    let scan = scan(&header, fundus, &bscans);
    let shape = [header.frames, header.rows, header.columns, 1].map(|side| side as usize);
    let starts = bscans.iter().map(|bscan| bscan.values).collect();
    let source = source(path, starts, slice, angio)?;
    let bytes = u64::from(header.frames) * if angio { slice } else { slice / 4 };
    let window = (!angio).then_some((0.0, 255.0));
    let lazy = Volume::lazy(shape, source, geometry, "heyex").with_window(window).with_scan(Some(Arc::new(scan)));
    at_hand(path, lazy, bytes, options)
}

fn source(path: &Path, starts: Vec<u64>, slice: u64, angio: bool) -> Result<Arc<FileFrames>> {
    let count = (slice / 4) as usize;
    let decode = move |reader: &mut dyn Read| {
        let values = numbers::<f32>(reader, count, false)?;
        Ok(match angio {
            true => Voxels::F32(values.into_iter().map(flow).collect()),
            false => Voxels::U8(values.into_iter().map(grey).collect()),
        })
    };
    Ok(Arc::new(placed(path, starts, slice, Box::new(decode))?))
}

/// Flow lies in 0 to 1; anything else is none.
fn flow(value: f32) -> f32 {
    if (0.0..=1.0).contains(&value) { value } else { 0.0 }
}

/// Reflectivity as HEYEX shows it, by eyepy's rule.
fn grey(value: f32) -> u8 {
    let shown = match value {
        f32::MAX => 0.0,
        value if value <= 1.0 => ((value + 2.44e-4).ln() + 8.3) / 8.285,
        value => value,
    };
    // not a number, from what is below the logarithm's reach, is black
    (shown.clamp(0.0, 1.0) * 255.0).round_ties_even() as u8
}

fn fundus(path: &Path, file: &mut File, header: &Header) -> Result<Option<Fundus>> {
    let [columns, rows] = header.fundus.map(|side| side as usize);
    if columns == 0 || rows == 0 {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(HEADER as u64)).map_err(Error::io(path))?;
    let pixels = numbers::<u8>(file, columns * rows, false).map_err(Error::io(path))?;
    Ok(Some(Fundus { rows, columns, pixels, spacing: header.fundus_spacing }))
}

/// Curves by name; those that no B-scan has a row for are left out.
fn scan(header: &Header, fundus: Option<Fundus>, bscans: &[Bscan]) -> Scan {
    let columns = header.columns as usize;
    let curve = |index: usize| -> Vec<f32> {
        let line = |bscan: &Bscan| match bscan.curves.get(index * columns..(index + 1) * columns) {
            Some(line) => line.to_vec(),
            None => vec![f32::NAN; columns],
        };
        bscans.iter().flat_map(line).collect()
    };
    let surfaces = CURVES
        .iter()
        .enumerate()
        .filter(|(index, _)| bscans.iter().any(|bscan| bscan.curves.len() > index * columns))
        .map(|(index, name)| Surface { name: (*name).to_owned(), rows: curve(index) })
        // a curve that was not drawn is 0 or nothing everywhere
        .filter(|surface| surface.rows.iter().any(|row| row.is_finite() && *row != 0.0))
        .collect();
    let positions: Vec<[f64; 4]> = bscans.iter().map(|bscan| bscan.position).collect();
    // y grows downwards; where the file does not say, HEYEX begins below
    let bottom_up = match (positions.first(), positions.last()) {
        (Some(first), Some(last)) => last[1] <= first[1],
        _ => true,
    };
    let angle = (header.angle > 0).then_some(f64::from(header.angle));
    Scan { eye: header.eye, angle, bottom_up, surfaces, positions, fundus }
}
