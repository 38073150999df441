//! JPEG XL by the crate `jxl-oxide`, lossless grey and colour of up to 16 bits. Source: ISO/IEC 18181-1.

use super::{Coded, Fault, Shape};
use crate::volume::Voxels;
use jxl_oxide::{AllocTracker, JxlImage};

/// memory for the decoder beside the frame
const MEMORY: usize = 256 << 20;

pub(super) fn decode(stream: &[u8], shape: Shape<'_>) -> Result<Coded, Fault> {
    let fault = |error: Box<dyn std::error::Error + Send + Sync>| error.to_string();
    let most = MEMORY.saturating_add(shape.values().saturating_mul(32));
    let image = JxlImage::builder().alloc_tracker(AllocTracker::with_limit(most)).read(stream).map_err(fault)?;
    let header = image.image_header();
    let samples = if header.metadata.grayscale() { 1 } else { 3 };
    shape.check(image.width() as usize, image.height() as usize, samples)?;
    let bits = header.metadata.bit_depth.bits_per_sample();
    let render = image.render_frame(0).map_err(fault)?;
    let mut frame = render.stream_no_alpha();
    let raw = if bits <= 8 {
        let mut values = vec![0u8; shape.values()];
        frame.write_to_buffer(&mut values);
        Voxels::U8(values.into_iter().map(|v| rescale(v.into(), 255, bits) as u8).collect())
    } else {
        let mut values = vec![0u16; shape.values()];
        frame.write_to_buffer(&mut values);
        Voxels::U16(values.into_iter().map(|v| rescale(v.into(), 65535, bits) as u16).collect())
    };
    Ok(Coded { raw, bits: Some(bits.min(16) as u16), rgb: samples == 3 })
}

/// The renderer stretches numbers of fewer bits over the whole type; back to what was stored.
fn rescale(value: u64, full: u64, bits: u32) -> u64 {
    let most = (1u64 << bits.min(16)) - 1;
    if most >= full { value } else { (value * most + full / 2) / full }
}
