//! From voxels to the model's 0..1: one declared step, the same wherever slices are shown to the model, kept with the result.
//!
//! | text | window |
//! |---|---|
//! | `auto` | 8 bits: 0 to 255, as the reference does (0 to 1 where there is nothing but 0 and 1: masks, booleans). Other types: the source's own window (DICOM), else `0.5%,99.5%` |
//! | `LOW,HIGH` | these values |
//! | `LOW%,HIGH%` | these percentiles of the volume, from an even sample of at most 64 slices |
//! | `slice:LOW%,HIGH%` | these percentiles of each slice by itself |
//! | `full` | smallest to largest value of the volume |
//! | `source` | the source's own window (DICOM); an error without one |
//!
//! Values outside the window become 0 and 1. Nothing is squeezed to 8 bits on the way.

use crate::progress::check;
use crate::volume::Volume;
use crate::{Error, Result};
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// slices looked at for percentiles of a volume
const SAMPLE_SLICES: usize = 64;
/// values looked at for percentiles
const SAMPLE_VALUES: usize = 1 << 21;

/// How voxels are mapped to 0..1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Intensity {
    /// what suits the type of the values
    #[default]
    Auto,
    /// these values
    Fixed(Window),
    /// percentiles, 0 to 100
    Percentiles {
        /// becomes 0
        low: f64,
        /// becomes 1
        high: f64,
        /// of each slice by itself
        per_slice: bool,
    },
    /// smallest to largest value
    Full,
    /// the source's own window
    Source,
}

/// A linear map: `low` becomes 0, `high` becomes 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Window {
    /// becomes 0
    pub low: f64,
    /// becomes 1
    pub high: f64,
}

impl Window {
    /// 8 bits as they are.
    pub const EIGHT_BIT: Self = Self { low: 0.0, high: 255.0 };

    /// A window that is never empty.
    fn between(low: f64, high: f64) -> Self {
        Self { low, high: if high > low { high } else { low + 1.0 } }
    }
}

/// An [`Intensity`] as it applies to one volume.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Windows {
    /// one window for all slices
    Volume(Window),
    /// percentiles of each slice
    Slices {
        /// becomes 0
        low_percentile: f64,
        /// becomes 1
        high_percentile: f64,
    },
}

impl Windows {
    /// The window of one slice, given its values.
    pub fn of_slice(&self, values: &[f32]) -> Window {
        match *self {
            Self::Volume(window) => window,
            Self::Slices { low_percentile, high_percentile } => {
                let step = (values.len() / SAMPLE_VALUES).max(1);
                percentiles(values.iter().copied().step_by(step).collect(), low_percentile, high_percentile)
            }
        }
    }
}

impl Windows {
    /// The values of one slice as 0 to 1; what is not finite becomes 0.
    pub fn unit(&self, values: &[f32]) -> Vec<f32> {
        let window = self.of_slice(values);
        let (low, scale) = (window.low as f32, 1.0 / (window.high - window.low) as f32);
        let unit = |&v: &f32| if v.is_finite() { ((v - low) * scale).clamp(0.0, 1.0) } else { 0.0 };
        values.iter().map(unit).collect()
    }
}

impl Intensity {
    /// Looks at the volume where needed.
    pub fn of(self, volume: &Volume) -> Result<Windows> {
        const ROBUST: (f64, f64) = (0.5, 99.5);
        Ok(match self {
            Self::Auto => Windows::Volume(match (volume.dtype(), volume.window) {
                ("uint8", _) if is_yes_or_no(volume)? => Window::between(0.0, 1.0),
                ("uint8", _) => Window::EIGHT_BIT,
                (_, Some((low, high))) => Window::between(low, high),
                _ => volume_percentiles(volume, ROBUST.0, ROBUST.1)?,
            }),
            Self::Fixed(window) => Windows::Volume(window),
            Self::Percentiles { low, high, per_slice: true } => {
                Windows::Slices { low_percentile: low, high_percentile: high }
            }
            Self::Percentiles { low, high, per_slice: false } => {
                Windows::Volume(volume_percentiles(volume, low, high)?)
            }
            Self::Full => {
                let (low, high) = volume.range()?;
                Windows::Volume(Window::between(low, high))
            }
            Self::Source => {
                let (low, high) = volume
                    .window
                    .ok_or_else(|| Error::invalid("the source has no window of its own; give one: LOW,HIGH"))?;
                Windows::Volume(Window::between(low, high))
            }
        })
    }
}

/// Is there nothing but 0 and 1, and both? The first larger value ends the search.
fn is_yes_or_no(volume: &Volume) -> Result<bool> {
    let mut any = false;
    for frame in 0..volume.frames {
        check()?;
        match volume.frame(frame)?.range() {
            Some((_, high)) if high > 1.0 => return Ok(false),
            Some((_, high)) => any |= high == 1.0,
            None => {}
        }
    }
    Ok(any)
}

/// Percentiles (0 to 100) of a volume, from an even sample of its slices and values.
pub fn volume_percentiles(volume: &Volume, low: f64, high: f64) -> Result<Window> {
    let slices = volume.frames.min(SAMPLE_SLICES);
    let size = volume.rows * volume.columns * volume.channels;
    let step = (slices * size / SAMPLE_VALUES).max(1);
    let mut sample = Vec::new();
    for i in 0..slices {
        sample.extend(volume.frame(i * volume.frames / slices)?.to_f32().into_iter().step_by(step));
    }
    Ok(percentiles(sample, low, high))
}

fn percentiles(mut sample: Vec<f32>, low: f64, high: f64) -> Window {
    sample.retain(|v| v.is_finite());
    if sample.is_empty() {
        return Window::between(0.0, 1.0);
    }
    sample.sort_unstable_by(f32::total_cmp);
    let at = |percent: f64| f64::from(sample[((sample.len() - 1) as f64 * percent / 100.0).round() as usize]);
    let (low, high) = (at(low), at(high));
    // a nearly empty volume: its brightest values lie beyond the percentile
    if high > low { Window { low, high } } else { Window::between(at(0.0), at(100.0)) }
}

impl FromStr for Intensity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::invalid(format!(
                "window \"{text}\" is none of auto, full, source, LOW,HIGH, LOW%,HIGH%, slice:LOW%,HIGH%"
            ))
        };
        let (per_slice, rest) = text.strip_prefix("slice:").map_or((false, text), |rest| (true, rest));
        match rest {
            "auto" | "full" | "source" if per_slice => return Err(wrong()),
            "auto" => return Ok(Self::Auto),
            "full" => return Ok(Self::Full),
            "source" => return Ok(Self::Source),
            _ => {}
        }
        let (low, high) = rest.split_once(',').ok_or_else(wrong)?;
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|v| v.is_finite()).ok_or_else(wrong);
        match (low.trim().strip_suffix('%'), high.trim().strip_suffix('%')) {
            (Some(low), Some(high)) => {
                let (low, high) = (number(low)?, number(high)?);
                let fits = (0.0..=100.0).contains(&low) && (0.0..=100.0).contains(&high) && low < high;
                if fits { Ok(Self::Percentiles { low, high, per_slice }) } else { Err(wrong()) }
            }
            (None, None) if !per_slice => {
                let (low, high) = (number(low)?, number(high)?);
                if low < high { Ok(Self::Fixed(Window { low, high })) } else { Err(wrong()) }
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Intensity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Full => f.write_str("full"),
            Self::Source => f.write_str("source"),
            Self::Fixed(Window { low, high }) => write!(f, "{low},{high}"),
            Self::Percentiles { low, high, per_slice } => {
                write!(f, "{}{low}%,{high}%", if *per_slice { "slice:" } else { "" })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Geometry, Voxels};

    fn volume(voxels: impl Into<Voxels>) -> Volume {
        Volume::new([2, 5, 10, 1], voxels.into(), Geometry::unknown(), "test").unwrap()
    }

    #[test]
    fn texts_go_there_and_back() {
        for text in ["auto", "full", "source", "-100,300.5", "1%,99.5%", "slice:2%,98%"] {
            assert_eq!(text.parse::<Intensity>().unwrap().to_string(), text);
        }
        for text in ["", "3", "5,1", "99%,1%", "slice:1,2", "slice:auto", "1%,2", "0%,101%", "nan,1"] {
            assert!(text.parse::<Intensity>().is_err(), "{text}");
        }
    }

    #[test]
    fn eight_bits_stay_and_others_are_stretched() {
        let auto = |volume: &Volume| Intensity::Auto.of(volume).unwrap();
        assert_eq!(auto(&volume(vec![7u8; 100])), Windows::Volume(Window::EIGHT_BIT));
        let mask = volume((0..100u8).map(|v| v % 2).collect::<Vec<_>>());
        assert_eq!(auto(&mask), Windows::Volume(Window { low: 0.0, high: 1.0 }), "a mask is not nearly black");
        assert_eq!(auto(&volume(vec![0u8; 100])), Windows::Volume(Window::EIGHT_BIT), "nothing is no mask");
        let mut sixteen = volume((0..100u16).map(|v| v * 10).collect::<Vec<_>>());
        assert_eq!(
            auto(&sixteen),
            Windows::Volume(Window { low: 0.0, high: 990.0 }),
            "99 steps: the percentiles round to the ends"
        );
        sixteen.window = Some((100.0, 200.0));
        assert_eq!(auto(&sixteen), Windows::Volume(Window { low: 100.0, high: 200.0 }), "the source's own window");
        let middle = "10%,90%".parse::<Intensity>().unwrap().of(&sixteen).unwrap();
        assert_eq!(middle, Windows::Volume(Window { low: 100.0, high: 890.0 }));
    }

    #[test]
    fn a_flat_volume_has_a_window_and_not_a_number_is_passed_over() {
        let flat = volume(vec![f32::NAN; 100]);
        assert_eq!(Intensity::Auto.of(&flat).unwrap(), Windows::Volume(Window { low: 0.0, high: 1.0 }));
        assert_eq!(
            Intensity::Full.of(&volume(vec![3i16; 100])).unwrap(),
            Windows::Volume(Window { low: 3.0, high: 4.0 })
        );
    }

    #[test]
    fn slices_by_themselves() {
        let windows = "slice:0%,100%".parse::<Intensity>().unwrap().of(&volume(vec![0u16; 100])).unwrap();
        assert_eq!(windows.of_slice(&[1.0, 5.0, 3.0]), Window { low: 1.0, high: 5.0 });
    }
}
