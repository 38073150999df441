//! Colour to grey: which channel of a colour picture becomes the slice.

use crate::volume::{FrameSource, Volume, Voxels};
use crate::{Error, Result, with_voxels};
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

/// What is kept of colour voxels; grey ones stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// the red channel, which is also the first
    Red,
    /// the green channel
    Green,
    /// the blue channel
    Blue,
    /// 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601), rounded for whole numbers, as Pillow's `convert("L")` has it
    Luminance,
    /// the channel of this number, from 0: of the colours, or of a TIFF that holds several pictures of one slice
    Number(usize),
}

impl FromStr for Channel {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "red" | "first" => Ok(Self::Red),
            "green" => Ok(Self::Green),
            "blue" => Ok(Self::Blue),
            "luminance" => Ok(Self::Luminance),
            other => other.parse().map(Self::Number).map_err(|_| {
                let known = "red (first), green, blue, luminance, or a number from 0";
                Error::invalid(format!("channel \"{text}\" is none of {known}"))
            }),
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Number(number) => return write!(f, "{number}"),
            Self::Red => "red",
            Self::Green => "green",
            Self::Blue => "blue",
            Self::Luminance => "luminance",
        })
    }
}

impl Channel {
    /// One value for each three.
    pub(super) fn of_colours(self, voxels: &Voxels) -> Voxels {
        let at = match self {
            Self::Red => 0,
            Self::Green => 1,
            Self::Blue => 2,
            Self::Number(number) => number.min(2),
            Self::Luminance => return luminance(voxels),
        };
        with_voxels!(voxels, values => values.iter().skip(at).step_by(3).copied().collect::<Vec<_>>().into())
    }

    /// Errors: a number that pixels of so many values do not have.
    pub(super) fn check(self, path: &Path, channels: usize) -> Result<()> {
        match self {
            Self::Number(number) if number >= channels => {
                let holds = format!("it holds {channels} (0 to {})", channels - 1);
                Err(Error::invalid(format!("{}: has no channel {number}: {holds}", path.display())))
            }
            _ => Ok(()),
        }
    }

    /// The grey volume; a grey one stays as it is.
    pub fn of_volume(self, volume: Volume) -> Result<Volume> {
        if volume.channels == 1 {
            return Ok(volume);
        }
        let [frames, rows, columns, _] = volume.shape();
        let shape = [frames, rows, columns, 1];
        let (geometry, format) = (volume.geometry.clone(), volume.format);
        if volume.is_lazy() {
            return Ok(Volume::lazy(shape, Arc::new(Grey { volume, channel: self }), geometry, format));
        }
        Volume::new(shape, self.of_colours(&*volume.voxels()?), geometry, format)
    }
}

/// The grey slices of a lazy volume.
struct Grey {
    volume: Volume,
    channel: Channel,
}

impl FrameSource for Grey {
    fn frame(&self, frame: usize) -> Result<Voxels> {
        Ok(self.channel.of_colours(&self.volume.frame(frame)?))
    }

    fn dtype(&self) -> &'static str {
        self.volume.dtype()
    }
}

/// In Pillow's fixed-point weights.
fn luminance(voxels: &Voxels) -> Voxels {
    macro_rules! weighed {
        ($values:expr, $type:ty, $rounding:expr) => {
            $values
                .as_chunks::<3>()
                .0
                .iter()
                .map(|&[r, g, b]| {
                    let sum = 19595.0 * r as f64 + 38470.0 * g as f64 + 7471.0 * b as f64;
                    $rounding(sum / 65536.0) as $type
                })
                .collect::<Vec<$type>>()
                .into()
        };
    }
    let whole = |v: f64| (v + 0.5).floor();
    let exact = |v: f64| v;
    match voxels {
        Voxels::U8(values) => weighed!(values, u8, whole),
        Voxels::I8(values) => weighed!(values, i8, whole),
        Voxels::U16(values) => weighed!(values, u16, whole),
        Voxels::I16(values) => weighed!(values, i16, whole),
        Voxels::U32(values) => weighed!(values, u32, whole),
        Voxels::I32(values) => weighed!(values, i32, whole),
        Voxels::U64(values) => weighed!(values, u64, whole),
        Voxels::I64(values) => weighed!(values, i64, whole),
        Voxels::F32(values) => weighed!(values, f32, exact),
        Voxels::F64(values) => weighed!(values, f64, exact),
    }
}
