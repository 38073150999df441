//! Which planes of a TIFF are the slices of a stack, where its description names channels and times: ImageJ's lines, OME's XML, the shape that
//! tifffile writes.
//!
//! z are slices. Several channels are chosen from by `channel`, several times by `volume`, as the volumes of a NIfTI time series. Where there
//! is nothing but times (a film) they are the slices, and nothing is known of a size along z. Standards: ImageJ's `TiffEncoder` (order of
//! hyperstacks: channel, slice, time); <https://docs.openmicroscopy.org/ome-model/6.3.1/ome-tiff/specification.html> (`TiffData`).

use crate::io::{Channel, OpenOptions};
use crate::{Error, Result};
use roxmltree::{Document, Node};
use std::path::Path;

/// more planes than this are nobody's stack
const MOST: usize = 1 << 24;

/// What a description says of the planes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Planes {
    pub slices: usize,
    pub channels: usize,
    pub times: usize,
    /// does it say where each plane lies, whatever else is in the file?
    pub exact: bool,
    /// the place of each plane among those of the file, slice by slice within channels within times; nothing: it is not in the file
    places: Vec<Option<usize>>,
}

/// The slices to read.
pub(super) struct Chosen {
    /// places among the planes of the file
    pub places: Vec<usize>,
    /// do slices follow one another in space, or in time?
    pub through_space: bool,
}

impl Planes {
    /// In this order of axes, the first fastest.
    fn in_order(order: &str, [slices, channels, times]: [usize; 3]) -> Option<Self> {
        let count = slices.checked_mul(channels)?.checked_mul(times).filter(|count| (1..=MOST).contains(count))?;
        let mut planes = Self { slices, channels, times, exact: false, places: vec![None; count] };
        (0..count).for_each(|place| planes.put(order, place, place));
        Some(planes)
    }

    /// Says where the plane lies that comes `nth` in an order.
    fn put(&mut self, order: &str, mut nth: usize, place: usize) {
        let [mut z, mut c, mut t] = [0; 3];
        for axis in order.chars() {
            let (at, side) = match axis {
                'Z' => (&mut z, self.slices),
                'C' => (&mut c, self.channels),
                _ => (&mut t, self.times),
            };
            (*at, nth) = (nth % side, nth / side);
        }
        let index = (t * self.channels + c) * self.slices + z;
        if let (0, Some(at)) = (nth, self.places.get_mut(index)) {
            *at = Some(place);
        }
    }

    /// The planes that the file itself must hold.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// Is it one plane of a stack whose others lie in other files?
    pub fn is_one_of_many(&self) -> bool {
        self.places.len() > 1 && self.places.iter().flatten().count() == 1
    }

    /// The channel and the time that the file holds, where its others lie in other files.
    fn alone(&self) -> Option<[usize; 2]> {
        let whole = |&[t, c]: &[usize; 2]| {
            let first = (t * self.channels + c) * self.slices;
            self.places[first..first + self.slices].iter().all(Option::is_some)
        };
        let all = (0..self.times).flat_map(|t| (0..self.channels).map(move |c| [t, c]));
        let mut there = all.filter(whole);
        there.next().filter(|_| there.next().is_none())
    }

    /// The slices of the channel and the time that are asked for. Errors: several, and none is chosen; one that is not in the file.
    pub fn chosen(mut self, path: &Path, options: &OpenOptions) -> Result<Chosen> {
        let through_space = self.slices > 1 || self.times == 1;
        if !through_space {
            // a film: time plays the part of z
            let channel = |c: usize| (0..self.times).map(move |t| (t, c));
            self.places =
                (0..self.channels).flat_map(channel).map(|(t, c)| self.places[t * self.channels + c]).collect();
            (self.slices, self.times) = (self.times, 1);
        }
        let alone = self.alone().filter(|_| options.channel.is_none() && options.volume.is_none());
        let channel = match (self.channels, options.channel, alone) {
            (1, ..) => 0,
            (_, _, Some([_, channel])) => channel,
            (count, Some(channel), None) => channel.of_planes(path, count)?,
            (count, None, None) => {
                let how = "choose one with `--channel N` (option `channel`)";
                return Err(Error::format(path, format!("holds {count} channels: {how}, 0 to {}", count - 1)));
            }
        };
        let axes = format!("{} slices, {} channels, {} times", self.slices, self.channels, self.times);
        let time = match alone {
            Some([time, _]) => time,
            None => options.chosen_volume(path, self.times as u64, &axes)? as usize,
        };
        let first = (time * self.channels + channel) * self.slices;
        let places = self.places[first..first + self.slices].iter().enumerate().map(|(slice, place)| {
            let elsewhere = "is in no page of the file (one of several files?): convert them to one";
            place.ok_or_else(|| Error::format(path, format!("slice {slice} {elsewhere}")))
        });
        Ok(Chosen { places: places.collect::<Result<_>>()?, through_space })
    }
}

/// What the description of the first page says; nothing where it is of no kind that names planes. `page`: rows, columns, values of a pixel.
/// Errors: a description of such a kind that makes no sense, as a reason for people.
pub(super) fn of(
    path: &Path,
    description: &str,
    page: [usize; 3],
    options: &OpenOptions,
    note: &mut dyn FnMut(String),
) -> Result<Option<Planes>> {
    let text = description.trim_start();
    let planes = match () {
        () if text.starts_with("ImageJ=") => of_imagej(text, page[2]),
        () if text.starts_with('<') && text.contains("<OME") => match Document::parse(text) {
            Ok(document) => of_ome(path, &document, options),
            Err(error) => {
                note(format!("its OME-XML cannot be read ({error}): every page is taken for a slice"));
                return Ok(None);
            }
        },
        () if text.starts_with('{') && text.contains("\"shape\"") => of_shape(text, page),
        () => return Ok(None),
    };
    planes.map_err(|fault| Error::format(path, format!("has a description that cannot be followed: {fault}")))
}

fn of_imagej(text: &str, samples: usize) -> std::result::Result<Option<Planes>, String> {
    let number = |key: &str| -> std::result::Result<Option<usize>, String> {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim().parse().map_err(|_| format!("{key}={value}"))).transpose()
    };
    let one = |key: &str| number(key).map(|count| count.unwrap_or(1).max(1));
    let (mut channels, mut slices, mut times) = (one("channels")?, one("slices")?, one("frames")?);
    let product = |a: usize, b: usize, c: usize| a.checked_mul(b).and_then(|n| n.checked_mul(c)).unwrap_or(usize::MAX);
    let images = number("images")?.unwrap_or_else(|| product(channels, slices, times));
    if samples > 1 && channels == samples && product(1, slices, times) == images {
        channels = 1; // colour within the page
    }
    match images / product(channels, slices, times) {
        _ if images % product(channels, slices, times) != 0 => {
            return Err(format!("images={images}, channels={channels}, slices={slices}, frames={times}"));
        }
        1 => {}
        // no axis says what they are
        more if (channels, slices, times) == (1, 1, 1) => slices = more,
        more => times *= more,
    }
    Ok(Planes::in_order("CZT", [slices, channels, times]))
}

/// The image of an OME-XML whose planes lie in this file.
fn of_ome(path: &Path, document: &Document<'_>, options: &OpenOptions) -> std::result::Result<Option<Planes>, String> {
    let root = document.root_element();
    let pixels: Vec<Node<'_, '_>> = root.descendants().filter(|node| node.has_tag_name_ignoring("Pixels")).collect();
    let wanted = options.series.as_deref().and_then(|series| series.trim().strip_prefix('#')?.parse::<usize>().ok());
    let pixels = match (&pixels[..], wanted) {
        ([], _) => return Err("OME-XML that describes no image: its description lies in another file".to_owned()),
        ([one], _) => *one,
        (several, Some(place)) if (1..=several.len()).contains(&place) => several[place - 1],
        (several, _) => {
            let how = "choose one with `--series #1` (option `series`)";
            return Err(format!("OME-XML of {} images: {how}, #1 to #{}", several.len(), several.len()));
        }
    };
    if ["SizeZ", "SizeC", "SizeT"].iter().all(|size| pixels.attribute(*size).is_none()) {
        return Ok(None);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    ome_planes(pixels, root.attribute("UUID"), &name).map(Some)
}

fn ome_planes(pixels: Node<'_, '_>, own: Option<&str>, name: &str) -> std::result::Result<Planes, String> {
    let number = |node: Node<'_, '_>, key: &str| -> std::result::Result<Option<usize>, String> {
        let value = node.attribute(key);
        value.map(|value| value.trim().parse().map_err(|_| format!("{key}=\"{value}\" in its OME-XML"))).transpose()
    };
    let size = |key: &str| number(pixels, key).map(|n| n.unwrap_or(1).max(1));
    let (slices, all, times) = (size("SizeZ")?, size("SizeC")?, size("SizeT")?);
    // values of one pixel count as channels
    let channels = pixels.children().filter(|node| node.has_tag_name_ignoring("Channel"));
    let samples = channels.map(|node| number(node, "SamplesPerPixel").map(|n| n.unwrap_or(1)));
    let samples = samples.collect::<std::result::Result<Vec<_>, _>>()?;
    let channels = if samples.iter().sum::<usize>() == all { samples.len() } else { all };
    let order = pixels.attribute("DimensionOrder").and_then(|order| order.strip_prefix("XY")).unwrap_or("ZCT");
    let sizes = [slices, channels, times];
    let mut planes = Planes::in_order(order, sizes).ok_or(format!("{sizes:?} slices, channels, times"))?;
    planes.exact = true;
    let data: Vec<Node<'_, '_>> = pixels.children().filter(|node| node.has_tag_name_ignoring("TiffData")).collect();
    if data.is_empty() {
        return Ok(planes);
    }
    let names: Vec<&str> = data.iter().filter_map(|node| file_of(*node)?.attribute("FileName")).collect();
    let one_file = names.windows(2).all(|pair| pair[0] == pair[1]);
    let elsewhere = |node: Node<'_, '_>| {
        let Some(uuid) = file_of(node) else { return false };
        let same = own.is_some_and(|own| uuid.text().map(str::trim) == Some(own));
        !(same || one_file || uuid.attribute("FileName") == Some(name))
    };
    let count = planes.count();
    planes.places.fill(None);
    for node in data {
        let first = |key: &str| number(node, key).map(|n| n.unwrap_or(0));
        let (z, c, t) = (first("FirstZ")?, first("FirstC")?, first("FirstT")?);
        let ifd = number(node, "IFD")?;
        let start = planes.nth(order, [z, c, t]).ok_or(format!("a TiffData of plane {z}, {c}, {t}"))?;
        let several = if ifd.is_some() { 1 } else { count - start };
        let several = number(node, "PlaneCount")?.unwrap_or(several).min(count - start);
        if !elsewhere(node) {
            (0..several).for_each(|n| planes.put(order, start + n, ifd.unwrap_or(0) + n));
        }
    }
    Ok(planes)
}

/// What says in which file of several the planes lie.
fn file_of<'a, 'i>(data: Node<'a, 'i>) -> Option<Node<'a, 'i>> {
    data.children().find(|child| child.has_tag_name_ignoring("UUID"))
}

impl Planes {
    /// Where a plane comes in an order; nothing where there is no such plane.
    fn nth(&self, order: &str, [z, c, t]: [usize; 3]) -> Option<usize> {
        let (mut nth, mut step) = (0, 1);
        for axis in order.chars() {
            let (at, side) = match axis {
                'Z' => (z, self.slices),
                'C' => (c, self.channels),
                _ => (t, self.times),
            };
            nth += (at < side).then_some(at)? * step;
            step *= side;
        }
        Some(nth)
    }
}

/// tifffile's JSON: the shape of the whole, and letters for its axes where they were given.
fn of_shape(text: &str, [rows, columns, samples]: [usize; 3]) -> std::result::Result<Option<Planes>, String> {
    let Ok(said) = serde_json::from_str::<serde_json::Value>(text) else { return Ok(None) };
    let Some(shape) = said["shape"].as_array() else { return Ok(None) };
    let shape: Vec<usize> = shape.iter().filter_map(|side| usize::try_from(side.as_u64()?).ok()).collect();
    let page: &[usize] = match samples {
        1 => &[rows, columns],
        _ if shape.ends_with(&[rows, columns, samples]) => &[rows, columns, samples],
        _ => &[samples, rows, columns],
    };
    let Some(leading) = shape.strip_suffix(page) else { return Ok(None) };
    let letters: Vec<char> = said["axes"].as_str().unwrap_or_default().chars().take(leading.len()).collect();
    let letter = |axis: usize| letters.get(axis).copied().unwrap_or('Q').to_ascii_uppercase();
    // an axis without a name is z where none is; the last such
    let z = (0..leading.len()).find(|&axis| letter(axis) == 'Z');
    let z = z.or_else(|| (0..leading.len()).rev().find(|&axis| !matches!(letter(axis), 'C' | 'T')));
    let (mut sizes, mut order) = ([1usize; 3], String::new());
    for axis in (0..leading.len()).rev() {
        let (name, place) = match letter(axis) {
            _ if z == Some(axis) => ('Z', 0),
            'C' => ('C', 1),
            _ => ('T', 2),
        };
        sizes[place] = sizes[place].saturating_mul(leading[axis]);
        if !order.contains(name) {
            order.push(name);
        } else if !order.ends_with(name) {
            return Err(format!("a shape of {shape:?} with axes {letters:?}"));
        }
    }
    Ok(Planes::in_order(&order, sizes))
}

/// OME files write their names with and without a namespace.
trait Named {
    fn has_tag_name_ignoring(&self, name: &str) -> bool;
}

impl Named for Node<'_, '_> {
    fn has_tag_name_ignoring(&self, name: &str) -> bool {
        self.is_element() && self.tag_name().name() == name
    }
}

impl Channel {
    /// Which of the planes of a picture with several channels.
    fn of_planes(self, path: &Path, count: usize) -> Result<usize> {
        let number = match self {
            Self::Red => 0,
            Self::Green => 1,
            Self::Blue => 2,
            Self::Number(number) => number,
            Self::Luminance => {
                let what = format!("holds {count} channels that are no colours: choose one by its number");
                return Err(Error::format(path, what));
            }
        };
        match number < count {
            true => Ok(number),
            false => Err(Error::invalid(format!(
                "{}: has no channel {number}: it holds {count} (0 to {})",
                path.display(),
                count - 1
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(
        description: &str,
        channel: Option<usize>,
        volume: Option<usize>,
    ) -> std::result::Result<Vec<usize>, String> {
        let mut options = OpenOptions::default();
        (options.channel, options.volume) = (channel.map(Channel::Number), volume);
        let path = Path::new("a.tif");
        let planes = of(path, description, [7, 9, 1], &options, &mut |_| {}).map_err(|error| error.to_string())?;
        let planes = planes.ok_or("no planes")?;
        planes.chosen(path, &options).map(|chosen| chosen.places).map_err(|error| error.to_string())
    }

    #[test]
    fn hyperstacks_are_channels_in_slices_in_times() {
        let text = "ImageJ=1.54f\nimages=12\nchannels=2\nslices=3\nframes=2\nhyperstack=true";
        assert_eq!(slices(text, Some(1), Some(0)).unwrap(), [1, 3, 5]);
        assert_eq!(slices(text, Some(0), Some(1)).unwrap(), [6, 8, 10]);
        assert!(slices(text, None, Some(1)).unwrap_err().contains("2 channels: choose one with `--channel N`"));
        assert!(slices(text, Some(1), None).unwrap_err().contains("2 volumes"));
        assert!(slices(text, Some(2), Some(0)).unwrap_err().contains("no channel 2"));
        assert_eq!(slices("ImageJ=1.54f\nimages=3\n", None, None).unwrap(), [0, 1, 2]);
        assert_eq!(slices("ImageJ=1.54f\nimages=3\nframes=3\n", None, None).unwrap(), [0, 1, 2], "a film");
        assert!(slices("ImageJ=1.54f\nimages=5\nslices=3\n", None, None).is_err());
    }

    fn ome(pixels: &str, data: &str) -> String {
        format!(
            r#"<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1"><Image><Pixels {pixels}>{data}</Pixels></Image></OME>"#
        )
    }

    #[test]
    fn ome_says_where_every_plane_lies() {
        let sizes = r#"DimensionOrder="XYCZT" SizeZ="2" SizeC="2" SizeT="1""#;
        assert_eq!(slices(&ome(sizes, ""), Some(1), None).unwrap(), [1, 3]);
        assert_eq!(slices(&ome(sizes, "<TiffData/>"), Some(0), None).unwrap(), [0, 2]);
        let turned = r#"<TiffData FirstZ="1" FirstC="0" IFD="0"/><TiffData FirstZ="0" FirstC="0" IFD="3"/>
            <TiffData FirstZ="0" FirstC="1" IFD="1"><UUID FileName="a.tif">urn:uuid:1</UUID></TiffData>
            <TiffData FirstZ="1" FirstC="1" IFD="1"><UUID FileName="b.tif">urn:uuid:2</UUID></TiffData>"#;
        assert_eq!(slices(&ome(sizes, turned), Some(0), None).unwrap(), [3, 0]);
        assert!(slices(&ome(sizes, turned), Some(1), None).unwrap_err().contains("slice 1 is in no page"));
        let colour = r#"DimensionOrder="XYCZT" SizeZ="3" SizeC="3" SizeT="1""#;
        let rgb = r#"<Channel SamplesPerPixel="3"/><TiffData IFD="0" PlaneCount="3"/>"#;
        assert_eq!(slices(&ome(colour, rgb), None, None).unwrap(), [0, 1, 2], "colour within the page");
        let one_file = r#"<TiffData FirstC="1" IFD="0" PlaneCount="2"><UUID FileName="a.tif">urn:uuid:1</UUID></TiffData>
            <TiffData FirstC="0" IFD="0" PlaneCount="2"><UUID FileName="b.tif">urn:uuid:2</UUID></TiffData>"#;
        let by_channel = sizes.replace("XYCZT", "XYZCT");
        assert_eq!(slices(&ome(&by_channel, one_file), None, None).unwrap(), [0, 1], "the only channel of this file");
        assert!(slices("<OME><Image>", None, None).unwrap_err().contains("no planes"));
    }

    #[test]
    fn shapes_with_and_without_names() {
        assert_eq!(slices(r#"{"shape": [3, 7, 9]}"#, None, None).unwrap(), [0, 1, 2]);
        assert_eq!(slices(r#"{"shape": [2, 3, 7, 9]}"#, None, Some(1)).unwrap(), [3, 4, 5]);
        assert_eq!(slices(r#"{"shape": [3, 2, 7, 9], "axes": "ZCYX"}"#, Some(1), None).unwrap(), [1, 3, 5]);
        assert_eq!(slices(r#"{"shape": [7, 9]}"#, None, None).unwrap(), [0]);
    }
}
