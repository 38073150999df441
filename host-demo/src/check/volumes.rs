//! Volumes: the memory that a host lends, slices, places in the patient, writing.

use super::expect::{expect_code, expect_error, json_of, same};
use super::interfaces::{self, Interface};
use super::lender::{C_ORDER, COUNT, Lender, SHAPE, counting, second_slice};
use super::pages::Access;
use super::{Case, Check};
use anyhow::{Context, ensure};
use sam_octa2_abi::raw::{DTYPES, ViewStruct};
use sam_octa2_abi::{View, Volume};
use serde_json::json;

const NEEDS: &[&str] = &["system-layout", "volume-layout"];

pub const CHECKS: &[Check] = &[
    Check { name: "volume-info", title: "a lent volume is what was lent", level: 2, needs: NEEDS, run: info },
    Check { name: "dtypes", title: "values of every type come back as they are", level: 2, needs: NEEDS, run: dtypes },
    Check { name: "strides", title: "memory in any order gives the same slices", level: 2, needs: NEEDS, run: strides },
    Check {
        name: "views",
        title: "views that cannot be are refused and released once",
        level: 2,
        needs: NEEDS,
        run: views,
    },
    Check { name: "read-only", title: "lent memory is not written", level: 2, needs: NEEDS, run: read_only },
    Check {
        name: "release",
        title: "lent memory is released exactly once, when nothing needs it",
        level: 2,
        needs: NEEDS,
        run: release,
    },
    Check {
        name: "after-release",
        title: "lent memory is not read after its release",
        level: 2,
        needs: NEEDS,
        run: after_release,
    },
    Check { name: "bounds", title: "slices that are not there are errors", level: 2, needs: NEEDS, run: bounds },
    Check { name: "places", title: "places in the patient are indices and back", level: 2, needs: NEEDS, run: places },
    Check {
        name: "volume-write",
        title: "a written volume reads back, a failed one leaves nothing",
        level: 2,
        needs: NEEDS,
        run: write,
    },
];

/// Lends a view.
pub fn lend(interface: &Interface, view: &ViewStruct) -> anyhow::Result<Volume> {
    // Safety: the views of the checks describe memory that may be read until it is released.
    Ok(unsafe { interface.api.lend_view(view) }?)
}

/// The values of a slice.
fn slice(volume: &Volume, frame: u64) -> anyhow::Result<Vec<u16>> {
    values(&volume.frame(frame).with_context(|| format!("slice {frame}"))?)
}

fn values(view: &View) -> anyhow::Result<Vec<u16>> {
    same("shape of a slice", view.shape(), SHAPE[1..].to_vec())?;
    Ok(view.values::<u16>().context("a slice is not uint16 without gaps")?.to_vec())
}

const AFFINE: [f64; 16] = [-0.5, 0.0, 0.0, 10.0, 0.0, -0.25, 0.0, 20.0, 0.0, 0.0, 2.0, -30.0, 0.0, 0.0, 0.0, 1.0];

fn info(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let lender = Lender::counting()?;
        let view = ViewStruct { has_affine: 1, affine: AFFINE, ..lender.plain() };
        let volume = lend(interface, &view)?;
        let reply = json_of(&volume.info()?)?;
        same("shape", &reply["shape"], &json!(SHAPE))?;
        same("dtype", &reply["dtype"], &json!("uint16"))?;
        same("spacing", &reply["spacing"], &json!([0.5, 0.25, 2.0]))?;
        let affine: Vec<_> = reply["affine"].as_array().into_iter().flatten().cloned().collect();
        same("affine", json!(affine[..3.min(affine.len())]), json!([&AFFINE[..4], &AFFINE[4..8], &AFFINE[8..12]]))?;
        for (frame, expected) in counting().chunks(COUNT / SHAPE[0]).enumerate() {
            same("values of a slice", slice(&volume, frame as u64)?, expected.to_vec())?;
        }
        Ok(())
    })
}

fn dtypes(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        for (name, number) in DTYPES {
            let bytes = i64::from(number & 0xff) / 8;
            let lender = Lender::of(&vec![0x3f3f; COUNT * bytes as usize / 2], Access::Read, false)?;
            let strides = [20 * bytes, 5 * bytes, bytes, 0];
            let volume = lend(interface, &ViewStruct { dtype: number, strides, ..lender.plain() })?;
            let view = volume.frame(2).with_context(|| name)?;
            let read_as = match name {
                "float16" => "float32",
                "bool" => "uint8",
                other => other,
            };
            same("type of a slice", view.dtype(), read_as)?;
            same("type in info", &json_of(&volume.info()?)?["dtype"], &json!(read_as))?;
        }
        let odd = Lender::counting()?;
        for number in [0x0000, 0x0777, 0x0180, 0x0120_0108, u32::MAX] {
            expect_code(lend_raw(interface, &ViewStruct { dtype: number, ..odd.plain() }), "invalid_argument")
                .with_context(|| format!("the type {number:#x}"))?;
        }
        Ok(())
    })
}

fn lend_raw(interface: &Interface, view: &ViewStruct) -> Result<Volume, sam_octa2_abi::PluginError> {
    // Safety: as in `lend`.
    unsafe { interface.api.lend_view(view) }
}

fn strides(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let [frames, rows, columns] = SHAPE;
        let lender = Lender::counting()?;
        let plain = lend(interface, &lender.plain())?;
        same("C order", slice(&plain, 1)?, second_slice())?;
        let flipped = lend(interface, &lender.view(COUNT - 1, C_ORDER.map(|stride| -stride)))?;
        same("all axes backwards", slice(&flipped, 1)?, second_slice().into_iter().rev().collect())?;
        // the same numbers in Fortran order
        let at = |index: usize| (index % frames) * 20 + (index / frames % rows) * 5 + index / (frames * rows);
        let fortran: Vec<u16> = (0..COUNT).map(|index| at(index) as u16).collect();
        let fortran = Lender::of(&fortran, Access::Read, false)?;
        let strides = [2, 2 * frames as i64, 2 * (frames * rows) as i64];
        same("Fortran order", slice(&lend(interface, &fortran.view(0, strides))?, 1)?, second_slice())?;
        // rows with gaps, and one slice shown three times
        let wide: Vec<u16> =
            (0..COUNT * 2).map(|index| if index % 2 == 0 { index as u16 / 2 } else { 0xffff }).collect();
        let wide = Lender::of(&wide[..COUNT * 2 - 1], Access::Read, false)?;
        let gaps = lend(interface, &wide.view(0, C_ORDER.map(|stride| 2 * stride)))?;
        same("every other value", slice(&gaps, 1)?, second_slice())?;
        let again = lend(interface, &lender.view(20, [0, C_ORDER[1], C_ORDER[2]]))?;
        same("one slice for all", slice(&again, 2)?, second_slice())?;
        // a value at any byte
        let bytes: Vec<u8> = std::iter::once(0).chain(counting().iter().flat_map(|n| n.to_ne_bytes())).collect();
        let shifted: Vec<u16> =
            bytes.chunks(2).map(|two| u16::from_ne_bytes([two[0], *two.get(1).unwrap_or(&0)])).collect();
        let shifted = Lender::of(&shifted, Access::Read, false)?;
        let mut odd = shifted.plain();
        odd.data = odd.data.wrapping_byte_add(1);
        same("values at odd addresses", slice(&lend(interface, &odd)?, 1)?, second_slice())?;
        ensure!(columns == 5, "the shape of the check");
        Ok(())
    })
}

fn views(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let lender = Lender::counting()?;
        let good = || lender.plain();
        let affine = |at: usize, value: f64| {
            let mut affine = AFFINE;
            affine[at] = value;
            ViewStruct { has_affine: 1, affine, ..lender.plain() }
        };
        let bad = [
            ("no memory", ViewStruct { data: std::ptr::null(), ..good() }),
            ("no type", ViewStruct { dtype: 0x0777, ..good() }),
            ("0 dimensions", ViewStruct { dimensions: 0, ..good() }),
            ("2 dimensions", ViewStruct { dimensions: 2, ..good() }),
            ("7 dimensions", ViewStruct { dimensions: 7, ..good() }),
            ("an extent of 0", ViewStruct { shape: [3, 0, 5, 0], ..good() }),
            ("a negative extent", ViewStruct { shape: [3, -4, 5, 0], ..good() }),
            ("2 channels", ViewStruct { dimensions: 4, shape: [3, 4, 2, 2], ..good() }),
            ("more values than memory", ViewStruct { shape: [i64::MAX, i64::MAX, 5, 0], ..good() }),
            ("a product that overflows", ViewStruct { shape: [1 << 32, 1 << 31, 2, 0], ..good() }),
            ("a stride beyond memory", ViewStruct { strides: [i64::MAX, 10, 2, 0], ..good() }),
            ("a stride before memory", ViewStruct { strides: [i64::MIN, 10, 2, 0], ..good() }),
            ("an affine of NaN", affine(0, f64::NAN)),
            ("an infinite affine", affine(3, f64::INFINITY)),
            ("a flat affine", affine(0, 0.0)),
        ];
        for (at, (what, view)) in bad.iter().enumerate() {
            expect_code(lend_raw(interface, view), "invalid_argument").context(*what)?;
            same("releases", lender.releases(), at + 1).context(*what)?;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        same("releases in the end", lender.releases(), bad.len())?;
        same("values of the next volume", slice(&lend(interface, &good())?, 1)?, second_slice())
    })
}

/// What is done with a volume.
fn use_it(interface: &Interface, volume: &Volume) -> anyhow::Result<()> {
    volume.info()?;
    volume.to_index([1.0, 2.0, 3.0])?;
    for frame in 0..SHAPE[0] as u64 {
        slice(volume, frame)?;
    }
    let folder = Folder::new("use")?;
    volume.write(&folder.path("copy.npy"), &mut ())?;
    let script = interface.api.script()?;
    let id = script.share_volume(volume)?;
    let request = json!({"source": "let v = arg(\"v\"); v.frames", "args": {"v": {"handle": id}}});
    same("slices in a script", json_of(&script.run(&request.to_string(), &mut ())?)?["result"].clone(), json!(3))
}

fn read_only(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let lender = Lender::read_only()?;
        let volume = lend(interface, &lender.plain())?;
        use_it(interface, &volume)?;
        drop(volume);
        same("the values afterwards", lender.values(), counting())
    })
}

fn release(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let lender = Lender::counting()?;
        for round in 0..3 {
            let volume = lend(interface, &lender.plain())?;
            use_it(interface, &volume)?;
            same("releases while the volume is there", lender.releases(), round)?;
            drop(volume);
            same("releases when the volume was freed", lender.releases(), round + 1)?;
        }
        // a script keeps what it was lent
        let (volume, script) = (lend(interface, &lender.plain())?, interface.api.script()?);
        script.share_volume(&volume)?;
        drop(volume);
        same("releases while a script has the volume", lender.releases(), 3)?;
        drop(script);
        same("releases when the script was freed", lender.releases(), 4)?;
        let quiet = ViewStruct { release: None, ..lender.plain() };
        drop(lend(interface, &quiet).context("a view without `release`")?);
        same("releases of a view without `release`", lender.releases(), 4)
    })
}

fn after_release(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let lender = Lender::vanishing()?;
        let volume = lend(interface, &lender.plain())?;
        let kept = volume.frame(1)?;
        use_it(interface, &volume)?;
        drop(volume);
        // the memory may be gone from here on; a slice that was given is read-only memory of the plugin, or keeps the host's alive
        same("a slice that was kept", values(&kept)?, second_slice())?;
        drop(kept);
        same("releases", lender.releases(), 1)?;
        let other = Lender::counting()?;
        use_it(interface, &lend(interface, &other.plain())?)?;
        expect_error(lend_raw(interface, &ViewStruct { dimensions: 9, ..Lender::vanishing()?.plain() }))
    })
}

fn bounds(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let volume = lend(interface, &Lender::counting()?.plain())?;
        for frame in [3, 4, 1 << 31, 1 << 32, u64::MAX] {
            expect_error(volume.frame(frame)).with_context(|| format!("slice {frame}"))?;
        }
        same("slice 1 afterwards", slice(&volume, 1)?, second_slice())
    })
}

fn places(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let volume = lend(interface, &ViewStruct { has_affine: 1, affine: AFFINE, ..Lender::counting()?.plain() })?;
        same("index 2, 3, 1 in the patient", volume.to_patient([2.0, 3.0, 1.0])?, [9.0, 19.25, -28.0])?;
        same("and back", volume.to_index([9.0, 19.25, -28.0])?, [2.0, 3.0, 1.0])?;
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            expect_code(volume.to_index([0.0, bad, 0.0]), "invalid_argument")?;
            expect_code(volume.to_patient([0.0, 0.0, bad]), "invalid_argument")?;
        }
        Ok(())
    })
}

/// A folder that goes when it is dropped.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("sam_octa2-check-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn write(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let folder = Folder::new("write-網膜")?;
        let volume = lend(interface, &ViewStruct { has_affine: 1, affine: AFFINE, ..Lender::counting()?.plain() })?;
        for name in ["copy.nii.gz", "copy.npy"] {
            volume.write(&folder.path(name), &mut ())?;
            let copy = interface.api.open_volume(&folder.path(name), None, &mut ()).context(name)?;
            same("a slice of the copy", slice(&copy, 1)?, second_slice()).context(name)?;
        }
        let inside_a_file = folder.path("copy.npy/copy.npy");
        expect_error(volume.write(&inside_a_file, &mut ())).context("a path through a file")?;
        let files = std::fs::read_dir(&folder.0)?.count();
        same("files in the folder afterwards", files, 2)?;
        expect_code(interface.api.open_volume(&folder.path("gone.npy"), None, &mut ()), "not_found")
    })
}
