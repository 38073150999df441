//! Colours that people with any kind of colour vision can tell apart: Okabe & Ito, "Color Universal Design" (2008).

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The colour in which an object is shown: red, green, blue. As text `#rrggbb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Colour(pub [u8; 3]);

impl Colour {
    /// The colour of an object that nobody gave one.
    pub fn of_object(object: u16) -> Self {
        Self(of_object(number(object)))
    }
}

impl FromStr for Colour {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && !digits.starts_with('+'));
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let wrong = || Error::invalid(format!("colour {text:?} is none: write #rrggbb, as in #ff8000"));
        number.map(|number| Self([16, 8, 0].map(|bits| (number >> bits) as u8))).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Colour {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Colour> for String {
    fn from(colour: Colour) -> Self {
        colour.to_string()
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([red, green, blue]) = self;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

/// Inside and outside marks.
pub(crate) const POSITIVE: [u8; 3] = [0, 220, 130];
/// see [`POSITIVE`]
pub(crate) const NEGATIVE: [u8; 3] = [240, 60, 30];

/// Okabe-Ito without black, in an order that puts the ones that stand out on grey first.
const OKABE_ITO: [[u8; 3]; 7] =
    [[230, 159, 0], [86, 180, 233], [204, 121, 167], [240, 228, 66], [0, 158, 115], [213, 94, 0], [0, 114, 178]];

/// The colour of an object; 0 is black. Numbers above 7 take the colours again, each time darker.
pub(crate) fn of_object(object: u8) -> [u8; 3] {
    let Some(index) = usize::from(object).checked_sub(1) else { return [0; 3] };
    let shade = [1.0, 0.75, 0.55, 0.4][(index / OKABE_ITO.len()).min(3)];
    OKABE_ITO[index % OKABE_ITO.len()].map(|channel| (f32::from(channel) * shade) as u8)
}

/// Object numbers beyond the palette share its colours.
pub(crate) fn number(object: u16) -> u8 {
    (object.saturating_sub(1) % 255 + 1) as u8
}

/// sRGB as DICOM's scaled CIELab with the white point D50 (PS3.3 C.10.7.1.1): L* of 0 to 100, a* and b* of -128 to 127 fill 16 bits.
pub(crate) fn cielab(colour: [u8; 3]) -> [u16; 3] {
    let linear = colour.map(|channel| {
        let c = f64::from(channel) / 255.0;
        if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    });
    // sRGB to XYZ, adapted to D50 and divided by its white (ICC profile of sRGB)
    let xyz = [
        ([0.436_074_7, 0.385_064_9, 0.143_080_4], 0.964_22),
        ([0.222_504_5, 0.716_878_6, 0.060_616_9], 1.0),
        ([0.013_932_2, 0.097_104_5, 0.714_173_3], 0.825_21),
    ];
    let [x, y, z] = xyz.map(|(row, white)| {
        let t = row.iter().zip(linear).map(|(a, b)| a * b).sum::<f64>() / white;
        if t > 216.0 / 24389.0 { t.cbrt() } else { (24389.0 / 27.0 * t + 16.0) / 116.0 }
    });
    let scaled = |share: f64| (share * 65535.0).round() as u16;
    let [l, a, b] = [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)];
    [scaled(l / 100.0), scaled((a + 128.0) / 255.0), scaled((b + 128.0) / 255.0)]
}

#[cfg(test)]
mod tests {
    use super::{Colour, cielab};

    #[test]
    fn colours_are_six_digits() {
        assert_eq!("#ff8000".parse::<Colour>().unwrap(), Colour([255, 128, 0]));
        assert_eq!(Colour([0, 10, 255]).to_string(), "#000aff");
        for wrong in ["ff8000", "#ff80", "#+12345", "#ff80é", "red", ""] {
            assert!(wrong.parse::<Colour>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn white_black_and_red_in_cielab() {
        let close = |colour, lab: [f64; 3]| {
            let [l, a, b] = cielab(colour).map(f64::from);
            let found = [l / 655.35, a / 257.0 - 128.0, b / 257.0 - 128.0];
            assert!(found.iter().zip(lab).all(|(f, l)| (f - l).abs() < 0.1), "{found:?} {lab:?}");
        };
        close([255, 255, 255], [100.0, 0.0, 0.0]);
        close([0, 0, 0], [0.0, 0.0, 0.0]);
        // Lindbloom's calculator, D50
        close([255, 0, 0], [54.29, 80.81, 69.89]);
    }
}
