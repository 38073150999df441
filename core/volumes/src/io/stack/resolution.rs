//! How large the pixels of a TIFF are, where it says: OME-XML and ImageJ's description give x, y and z, the resolution tags x and y.
//!
//! Standards: TIFF 6.0, "Resolution"; <https://www.openmicroscopy.org/Schemas/OME/2016-06> (`PhysicalSizeX`); ImageJ's `TiffEncoder` (lines
//! `unit=`, `yunit=`, `zunit=`, `spacing=` of the ImageDescription, pixels per unit in XResolution and YResolution). Without a size along z the geometry
//! counts as unknown, as that of a NIfTI file that has nothing but spacing. Tags that make no sense do not count, nor do up to 600 dots
//! per inch, which programs write for printers.

use super::ifd::Plain;
use crate::volume::Geometry;
use tiff::decoder::Decoder;
use tiff::decoder::ifd::Value;
use tiff::tags::Tag;

const INCH: f64 = 25.4;
const CENTIMETRE: f64 = 10.0;
/// dots per inch up to which a resolution is that of a screen or a printer, which says nothing about what is shown
const PRINT: f64 = 601.0;
/// of a description; OME describes every plane in it
const FIRST_TEXT: usize = 64 << 10;
const MOST_TEXT: usize = 64 << 20;

/// What the current page and its description say. `through_space`: do slices follow one another in space, or in time?
pub(super) fn geometry(decoder: &mut Decoder<Plain>, description: &str, through_space: bool) -> Geometry {
    let said = of_ome(description).or_else(|| of_resolution(decoder, description));
    let Some(([x, y], z)) = said else { return Geometry::unknown() };
    let z = z.filter(|_| through_space);
    if ![x, y, z.unwrap_or(1.0)].iter().all(|mm| mm.is_finite() && (1e-9..1e9).contains(mm)) {
        return Geometry::unknown();
    }
    Geometry::from_spacing([x, y, z.unwrap_or(1.0)], z.is_some())
}

/// The description of the current page; the crate takes nothing but ASCII for text, and OME writes µm.
pub(super) fn description(decoder: &mut Decoder<Plain>) -> String {
    let mut bytes = vec![0; FIRST_TEXT];
    let length = loop {
        let read = decoder.image_ifd().find_tag_bytes(Tag::ImageDescription, &mut bytes, 0).ok().flatten().unwrap_or(0);
        if read < bytes.len() || bytes.len() >= MOST_TEXT {
            break read;
        }
        bytes.resize(bytes.len() * 4, 0);
    };
    bytes.truncate(length);
    String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()
}

/// Millimetres along x and y, and along z where that is said.
type Sizes = ([f64; 2], Option<f64>);

fn of_ome(description: &str) -> Option<Sizes> {
    let pixels = &description[description.find("<OME")?..];
    let size = |axis: char| {
        let number: f64 = attribute(pixels, &format!("PhysicalSize{axis}"))?.trim().parse().ok()?;
        Some(number * millimetres(attribute(pixels, &format!("PhysicalSize{axis}Unit")).unwrap_or("µm"))?)
    };
    Some(([size('X')?, size('Y')?], size('Z')))
}

/// The value of the first attribute of this name.
fn attribute<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let rest = xml.split_once(&format!(" {name}="))?.1;
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    rest[1..].split_once(quote).map(|(value, _)| value)
}

fn of_resolution(decoder: &mut Decoder<Plain>, description: &str) -> Option<Sizes> {
    let line = |key: &str| description.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
    let imagej = description.starts_with("ImageJ=");
    let unit = match line("unit").filter(|_| imagej).and_then(millimetres) {
        Some(unit) => unit,
        None => match decoder.find_tag_unsigned::<u16>(Tag::ResolutionUnit).ok()? {
            Some(2) => INCH,
            Some(3) => CENTIMETRE,
            _ => return None,
        },
    };
    // ImageJ names the units of y and z where they are not that of x
    let own = |key: &str| match line(key).filter(|_| imagej) {
        Some(name) => millimetres(name),
        None => Some(unit),
    };
    let mut size = |tag: Tag, unit: f64| match decoder.find_tag(tag).ok()?? {
        Value::Rational(pixels, units) => Some(unit * f64::from(units) / f64::from(pixels)),
        Value::Float(pixels) => Some(unit / f64::from(pixels)),
        Value::Double(pixels) => Some(unit / pixels),
        _ => None,
    };
    let plane = [size(Tag::XResolution, unit)?, size(Tag::YResolution, own("yunit")?)?];
    if unit == INCH && !imagej && plane.iter().any(|&mm| mm > INCH / PRINT) {
        return None;
    }
    let z = line("spacing").filter(|_| imagej).and_then(|z| z.trim().parse::<f64>().ok());
    Some((plane, z.zip(own("zunit")).map(|(z, unit)| z.abs() * unit)))
}

/// A unit by any of the names that ImageJ and OME have for it.
fn millimetres(unit: &str) -> Option<f64> {
    Some(match unit.trim().trim_matches('"') {
        "nm" | "nanometer" => 1e-6,
        "µm" | "μm" | "\u{fffd}m" | "um" | "micron" | "microns" | "micrometer" | "\\u00B5m" | "&#181;m" | "&#xB5;m" => {
            1e-3
        }
        "mm" | "millimeter" => 1.0,
        "cm" | "centimeter" => CENTIMETRE,
        "m" | "meter" => 1e3,
        "inch" | "inches" | "in" => INCH,
        _ => return None,
    })
}
