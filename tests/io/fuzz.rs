//! Readers under thousands of damaged files: a volume or an error, never a panic of our own, never long, never much memory.
//!
//! Each format mutates its small fixtures with a fixed seed for a moment; `SAM_OCTA2_FUZZ_SECONDS=1800` does it for that long per format,
//! `SAM_OCTA2_FUZZ_SEED=7` differently, and `ulimit -v 4000000` beside it finds what asks for too much memory. What fails is kept in
//! `$TMPDIR/sam-octa2-findings`; once mended it belongs into `tests/data/io/bad/fuzz`.

use crate::data;
use flate2::Crc;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use sam_octa2_volumes::io::{self, FileKind, OpenOptions};
use std::cell::RefCell;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, Instant};

/// no small file may need more of a processor's time; what others do on the machine does not count
const PATIENCE: Duration = Duration::from_secs(10);
/// kilobytes that the process may have needed after all small files, a reader's limits for damaged ones included
#[cfg(target_os = "linux")]
const MOST_KB: u64 = 400 << 10;

thread_local! {
    /// where the last panic of this thread came from
    static PANICKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// xorshift64*: the same cases on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end.max(1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// A damaged copy: a few of the usual accidents, more often near the beginning, where headers are.
fn mutated(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = dice.pick(seeds).clone();
    for _ in 0..1 + dice.below(4) {
        if bytes.is_empty() {
            return bytes;
        }
        let reach = if dice.below(2) == 0 { bytes.len() } else { bytes.len().min(400) };
        let at = dice.below(reach);
        let numbers = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, u64::MAX];
        match dice.below(8) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes[at] = dice.next() as u8,
            2 | 3 => {
                let number = *dice.pick(&numbers);
                let width = *dice.pick(&[1, 2, 4, 8]);
                let number = if dice.below(2) == 0 { number } else { number.swap_bytes() >> (64 - 8 * width) };
                let end = bytes.len().min(at + width);
                bytes[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
            }
            4 => bytes.truncate(at),
            5 => {
                let end = (at + 1 + dice.below(16)).min(bytes.len());
                bytes.drain(at..end);
            }
            6 => {
                let piece: Vec<u8> = bytes[at..].iter().take(1 + dice.below(64)).copied().collect();
                bytes.splice(at..at, piece);
            }
            _ => {
                let other = dice.pick(seeds);
                let from = dice.below(other.len());
                let piece = &other[from..(from + 1 + dice.below(32)).min(other.len())];
                let end = bytes.len().min(at + piece.len());
                bytes[at..end].copy_from_slice(&piece[..end - at]);
            }
        }
    }
    bytes
}

/// Check sums made right again, so that the damage gets past them.
fn png_sums(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 8;
    while let Some(&length) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
        let end = at.saturating_add(8).saturating_add(u32::from_be_bytes(length) as usize);
        if end + 4 > bytes.len() {
            break;
        }
        let mut crc = Crc::new();
        crc.update(&bytes[at + 4..end]);
        bytes[end..end + 4].copy_from_slice(&crc.sum().to_be_bytes());
        at = end + 4;
    }
    bytes
}

fn packed(bytes: Vec<u8>) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(&bytes).unwrap();
    out.finish().unwrap()
}

fn unpacked(bytes: Vec<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    match MultiGzDecoder::new(&bytes[..]).read_to_end(&mut out) {
        Ok(_) => out,
        Err(_) => bytes,
    }
}

/// Remembers where panics come from: one inside of a decoder becomes an error, one of ours is a mistake.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map(|place| format!("{}:{}", place.file(), place.line()));
            let outside = place.as_ref().is_some_and(|place| place.contains("/registry/"));
            PANICKED.with_borrow_mut(|panicked| *panicked = place);
            if !outside {
                usual(info);
            }
        }));
    });
}

/// Opens one damaged file and, where its slices are read when they are used, uses all.
fn open_and_touch(path: &Path, lazy: bool) -> sam_octa2_volumes::Result<()> {
    let mut options = OpenOptions::default();
    options.lazy_bytes = lazy.then_some(0);
    options.once = lazy
        && path.extension().is_some_and(|ending| ["gz", "tif", "nrrd", "mha"].iter().any(|packed| ending == *packed));
    let volume = io::open(path, &options)?;
    (0..if volume.is_lazy() { volume.frames } else { 0 }).try_for_each(|frame| volume.frame(frame).map(drop))
}

/// Reads one damaged file as labels.
fn open_labels(path: &Path, _: bool) -> sam_octa2_volumes::Result<()> {
    io::read_labels(path).map(drop)
}

/// A way to read a file, at once or slice by slice.
type Open = fn(&Path, bool) -> sam_octa2_volumes::Result<()>;

/// Reads one damaged file; the text says what is wrong with how that went.
fn try_one(path: &Path, open: Open, lazy: bool) -> Result<bool, String> {
    PANICKED.with_borrow_mut(Option::take);
    let start = processor_time();
    let opened = catch_unwind(AssertUnwindSafe(|| open(path, lazy)));
    let panicked = PANICKED.with_borrow_mut(Option::take);
    if opened.is_err() || panicked.as_ref().is_some_and(|place| !place.contains("/registry/")) {
        return Err(format!("panicked at {}", panicked.unwrap_or_default()));
    }
    let used = processor_time().saturating_sub(start);
    if used > PATIENCE {
        return Err(format!("took {used:?} of a processor"));
    }
    match opened {
        Ok(Err(error)) if error.to_string().contains('\n') => Err(format!("more than one line: {error}")),
        Ok(volume) => Ok(volume.is_ok()),
        Err(_) => Ok(false),
    }
}

/// What this thread has computed so far, where the system tells.
fn processor_time() -> Duration {
    let reply = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = reply.split_whitespace().next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// Mutates the fixtures `names` of `folder`; `ending` names the damaged files and `finish` makes check sums right.
fn fuzz(names: &[&str], ending: &str, finish: fn(Vec<u8>) -> Vec<u8>) {
    fuzz_by(open_and_touch, names, ending, finish);
}

fn fuzz_by(open: Open, names: &[&str], ending: &str, finish: fn(Vec<u8>) -> Vec<u8>) {
    watch_panics();
    let number = |name: &str, default: f64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let length = Duration::from_secs_f64(number("SAM_OCTA2_FUZZ_SECONDS", 0.4));
    let mut dice = Dice((number("SAM_OCTA2_FUZZ_SEED", 1.0) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let seeds: Vec<Vec<u8>> =
        names.iter().map(|name| unpacked(std::fs::read(data("io").join(name)).unwrap())).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("case.{ending}"));
    let (start, mut count, mut readable) = (Instant::now(), 0usize, 0usize);
    while start.elapsed() < length {
        let bytes = finish(mutated(&seeds, &mut dice));
        std::fs::write(&path, &bytes).unwrap();
        // a crash of the process leaves the case here
        match try_one(&path, open, count % 2 == 1) {
            Ok(opened) => readable += usize::from(opened),
            Err(what) => panic!("{}: {what}", kept(&path, ending).display()),
        }
        count += 1;
    }
    println!("{ending}: {count} damaged files in {:?}, {readable} of them still readable", start.elapsed());
    assert!(count > 0);
}

fn kept(path: &Path, ending: &str) -> PathBuf {
    let folder = std::env::temp_dir().join("sam-octa2-findings");
    std::fs::create_dir_all(&folder).unwrap();
    let name = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let kept = folder.join(format!("{name}.{ending}"));
    std::fs::copy(path, &kept).unwrap();
    kept
}

#[test]
fn nifti() {
    let names =
        ["slope.nii", "rgb.nii.gz", "float64_be.nii", "qform_flipped.nii", "version2.nii", "version2_be.nii.gz"];
    fuzz(&names.map(|name| format!("nifti/{name}")).each_ref().map(String::as_str), "nii", |bytes| bytes);
    fuzz(&["nifti/slope.nii", "nifti/version2.nii"], "nii.gz", packed);
}

#[test]
fn nrrd() {
    let names = ["float64_be.nrrd", "gzip.nrrd", "itk.nrrd", "itk_colour.nrrd", "times.nrrd", "micron.nrrd"];
    fuzz(&names.map(|name| format!("nrrd/{name}")).each_ref().map(String::as_str), "nrrd", |bytes| bytes);
    let names = ["nrrd/one_layer.seg.nrrd", "nrrd/two_layers.seg.nrrd", "nrrd/overlap.seg.nrrd"];
    fuzz_by(open_labels, &names, "seg.nrrd", |bytes| bytes);
}

#[test]
fn metaimage() {
    let names = ["int16.mha", "zlib.mha", "colour.mha", "flat.mha", "two_components.mha"];
    fuzz(&names.map(|name| format!("meta/{name}")).each_ref().map(String::as_str), "mha", |bytes| bytes);
}

#[test]
fn heyex() {
    fuzz(&["oct/structure.vol", "oct/Angio.vol"], "vol", |bytes| bytes);
}

/// The description of an export, beside its pictures.
#[test]
fn heyex_xml() {
    fn open(path: &Path, lazy: bool) -> sam_octa2_volumes::Result<()> {
        for entry in std::fs::read_dir(data("io/oct/xml")).unwrap() {
            let (from, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
            let to = path.with_file_name(&name);
            if name != "export.xml" && !to.exists() {
                std::fs::copy(from, to).unwrap();
            }
        }
        open_and_touch(path, lazy)
    }
    fuzz_by(open, &["oct/xml/export.xml"], "xml", |bytes| bytes);
}

/// Headerless files are as long as they are: every length is tried.
#[test]
fn optovue_and_cirrus() {
    fn open(path: &Path, lazy: bool, kind: FileKind) -> sam_octa2_volumes::Result<()> {
        let mut options = OpenOptions::default();
        (options.kind, options.lazy_bytes) = (Some(kind), lazy.then_some(0));
        let volume = io::open(path, &options)?;
        (0..volume.frames).try_for_each(|frame| volume.frame(frame).map(drop))
    }
    let opens: [Open; 4] = [
        |path, lazy| open(path, lazy, FileKind::OptovueAngio),
        |path, lazy| open(path, lazy, FileKind::OptovueEnFace),
        |path, lazy| open(path, lazy, FileKind::OptovueOct),
        |path, lazy| open(path, lazy, FileKind::Cirrus),
    ];
    for one in opens {
        fuzz_by(one, &["oct/flow.dat", "oct/enface.dat"], "dat", |bytes| bytes);
    }
}

/// Layer curves for a volume of their size.
#[test]
fn matlab() {
    fn open(path: &Path, _: bool) -> sam_octa2_volumes::Result<()> {
        let mut options = OpenOptions::default();
        options.layers = Some(path.to_path_buf());
        io::open(data("io/oct/angio.npy"), &options).map(drop)
    }
    fuzz_by(open, &["oct/layers.mat", "oct/layers_plain.mat"], "mat", |bytes| bytes);
}

#[test]
fn npy() {
    fuzz(&["npy/fortran.npy", "npy/bool.npy", "npy/colour.npy", "npy/float16.npy"], "npy", |bytes| bytes);
}

#[test]
fn png() {
    let names = ["grey8.png", "grey16.png", "rgba.png", "grey_alpha.png", "palette.png"];
    fuzz(&names.map(|name| format!("pictures/{name}")).each_ref().map(String::as_str), "png", png_sums);
}

#[test]
fn jpeg() {
    fuzz(&["pictures/flat.jpg", "pictures/colour.jpg"], "jpg", |bytes| bytes);
}

#[test]
fn bmp() {
    fuzz(&["pictures/grey8.bmp", "pictures/rgb.bmp"], "bmp", |bytes| bytes);
}

#[test]
fn webp() {
    fuzz(&["pictures/rgb.webp", "pictures/lossy.webp"], "webp", |bytes| bytes);
}

#[test]
fn tiff() {
    let names =
        ["pages.tif", "rgb.tif", "float.tif", "palette_pages.tif", "planar.tif", "tiled.tif", "bilevel.tif", "big.tif"];
    fuzz(&names.map(|name| format!("pictures/{name}")).each_ref().map(String::as_str), "tif", |bytes| bytes);
}

#[test]
fn dicom() {
    let names = [
        "dicom/multiframe.dcm",
        "dicom/palette8.dcm",
        "dicom/rle_rgb.dcm",
        "dicom/modality_lut.dcm",
        "dicom/ybr_full_422.dcm",
        "dicom/implicit/IM0",
        "dicom/deflated.dcm",
        "../dicom/jpegls_fragments.dcm",
        "../dicom/jpegls_grey8.dcm",
        "../dicom/jpeg_grey12.dcm",
        "../dicom/htj2k_grey8.dcm",
        "../dicom/jpegxl_grey8.dcm",
        "../dicom/jpeg_lossless_grey12.dcm",
        "../dicom/opt.dcm",
        "seg/opt.dcm",
    ];
    fuzz(&names, "dcm", |bytes| bytes);
}

#[test]
fn segmentations() {
    let names = ["binary", "fractional", "fractional_rle", "labelmap"].map(|kind| format!("seg/highdicom_{kind}.dcm"));
    fuzz_by(open_labels, &names.each_ref().map(String::as_str), "dcm", |bytes| bytes);
}

/// What fuzzing found once, and what was damaged or boastful by hand.
#[test]
fn findings_stay_harmless() {
    watch_panics();
    let files = |folder: &str| std::fs::read_dir(data(folder)).unwrap().map(|file| file.unwrap().path());
    for path in files("io/bad/fuzz").chain(files("io/bad").filter(|path| path.is_file())) {
        for (open, lazy) in [(open_and_touch as Open, false), (open_and_touch, true), (open_labels, false)] {
            try_one(&path, open, lazy).unwrap_or_else(|what| panic!("{}: {what}", path.display()));
        }
    }
}

/// And none of them touches memory that it cannot fill. A process of its own, for the peak is that of a process.
#[cfg(target_os = "linux")]
#[test]
fn findings_need_little_memory() {
    const ALONE: &str = "SAM_OCTA2_FINDINGS_ALONE";
    if std::env::var_os(ALONE).is_some() {
        findings_stay_harmless();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kilobytes < MOST_KB, "{kilobytes} kB were touched");
        return;
    }
    let mut child = std::process::Command::new("sh");
    child.args(["-c", "ulimit -v 4000000 && exec \"$0\" --exact fuzz::findings_need_little_memory --nocapture"]);
    let output = child.arg(std::env::current_exe().unwrap()).env(ALONE, "1").output().unwrap();
    let [reply, errors] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{}\n{reply}{errors}", output.status);
}
