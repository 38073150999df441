//! EfficientTAM and EdgeTAM in small, with the weights of `tests/data/parity/tam`: numbers made from their names, as
//! `tests/tools/make_tam_fixtures.py` makes them.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::Tensor;

pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/parity/tam").join(name)
}

pub fn json(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(file(name)).expect("fixture")).expect("json")
}

/// The checksum of zip files.
fn crc32(text: &str) -> u64 {
    let bit = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    let byte = |crc: u32, byte: u8| (0..8).fold(crc ^ u32::from(byte), |crc, _| bit(crc));
    u64::from(!text.bytes().fold(!0, byte))
}

/// Numbers by name, as the script makes them: evenly between `mean - scale` and `mean + scale`.
pub fn values(name: &str, shape: &[i64], mean: f64, scale: f64) -> Tensor {
    let start = crc32(name) << 32;
    let number = |place: u64| {
        let mixed = [0x9E37_79B9_7F4A_7C15_u64, 0xD6E8_FEB8_6659_FD93]
            .iter()
            .fold(start.wrapping_add(place), |x, &factor| (x ^ (x >> 32)).wrapping_mul(factor));
        let even = ((mixed ^ (mixed >> 32)) >> 40) as f64 / f64::from(1 << 23) - 1.0;
        (even * scale + mean) as f32
    };
    let count = shape.iter().product::<i64>() as u64;
    Tensor::from_slice(&(0..count).map(number).collect::<Vec<_>>()).view(shape)
}

/// The weights of a small model, by name.
pub fn weights(name: &str) -> BTreeMap<String, Tensor> {
    let family = name.split('_').next().unwrap();
    let rows = json(&format!("mini_{family}.weights.json"));
    let row = |row: &Value| {
        let name = row[0].as_str().unwrap().to_owned();
        let shape: Vec<i64> = row[1].as_array().unwrap().iter().filter_map(Value::as_i64).collect();
        let tensor = values(&name, &shape, row[2].as_f64().unwrap(), row[3].as_f64().unwrap());
        (name, tensor)
    };
    rows.as_array().unwrap().iter().map(row).collect()
}
