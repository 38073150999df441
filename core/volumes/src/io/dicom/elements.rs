//! The elements of a DICOM data set, as far as an image needs them: a reader that trusts no length.
//!
//! Files from old devices, damaged files and files from attackers claim sizes that they do not have; every claim is held against the
//! bytes that are there before memory is asked for, nesting is bounded, private and large values are stepped over, and the walk
//! ends where the pixels start, so that a header costs little however large the file. What other readers tolerate is tolerated:
//! elements without a value representation in explicit files and with one in implicit files, sequences of either length, unknown
//! elements. Standard: DICOM PS3.5 chapter 7 (data set), 7.5 (sequences), annex A (transfer syntaxes).
//!
//! Why not the tokens of `dicom-parser` 0.10 (`LazyDataSetReader`), which show a length before the value is read: tried with the same
//! bounds, they read all of our fixtures, but 37 of 1.2 million damaged files made them panic (a stray item delimiter), pydicom's
//! `UN_sequence.dcm` (a sequence of unknown type, PS3.5 6.2.2) became nonsense, and a header cut off between two elements of a sequence
//! counts as whole.

use super::charset;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use std::io::{Read, Seek, SeekFrom};

/// values longer than this are stepped over; the largest lookup table has 65536 entries of two bytes
const LARGEST_VALUE: u32 = 1 << 18;
/// sequences in sequences; real files have less than ten
const DEEPEST: usize = 32;
/// the private group of our own segmentations
const OURS: u16 = 0x0063;
const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);
const FLOAT_PIXELS: Tag = Tag(0x7FE0, 0x0008);
const DOUBLE_PIXELS: Tag = Tag(0x7FE0, 0x0009);
const UNDEFINED: u32 = u32::MAX;

/// A file or what was unpacked from it.
pub(super) trait Bytes: Read + Seek + Send {}
impl<T: Read + Seek + Send> Bytes for T {}

/// How elements are written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Encoding {
    pub explicit: bool,
    pub big: bool,
}

/// The elements of a data set or of an item, in the order of the file.
#[derive(Debug, Default, Clone)]
pub(in crate::io) struct DataSet {
    elements: Vec<Element>,
    big: bool,
}

#[derive(Debug, Clone)]
struct Element {
    tag: Tag,
    vr: VR,
    value: Value,
}

#[derive(Debug, Clone)]
enum Value {
    Bytes(Vec<u8>),
    Items(Vec<DataSet>),
}

/// Where the pixels lie in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct PixelElement {
    pub tag: Tag,
    /// words of 16 bits, which matters in big endian files
    pub words: bool,
    pub offset: u64,
    /// `None`: in fragments
    pub length: Option<u64>,
}

/// Why a data set cannot be read: a reason for people.
pub(in crate::io) type Fault = String;

/// What stands in an element, or why it cannot be read.
pub(in crate::io) type Parsed<T> = Result<T, Fault>;

/// Reads the data set that starts at the current position and ends at `end`, up to its pixels.
pub(super) fn read(
    source: &mut dyn Bytes,
    end: u64,
    encoding: Encoding,
) -> Result<(DataSet, Option<PixelElement>), Fault> {
    let explicit = is_explicit(source, encoding.explicit)?;
    let mut reader = Reader { source, end, big: encoding.big, pixels: None };
    let set = reader.data_set(end, explicit, 0)?;
    Ok((set, reader.pixels))
}

/// Does the element at the current position look as if its type stood there, whatever the file says of itself?
fn is_explicit(source: &mut dyn Bytes, declared: bool) -> Result<bool, Fault> {
    let fault = |error: std::io::Error| error.to_string();
    let start = source.stream_position().map_err(fault)?;
    let mut head = [0; 6];
    let enough = source.read_exact(&mut head).is_ok();
    source.seek(SeekFrom::Start(start)).map_err(fault)?;
    let looks = VR::from_binary([head[4], head[5]]).is_some();
    Ok(if enough { looks } else { declared })
}

struct Head {
    tag: Tag,
    vr: VR,
    length: u32,
}

/// Where a sequence ends.
#[derive(Clone, Copy)]
struct Span {
    end: u64,
    /// says it so itself, rather than ending where what holds it does at the latest
    sure: bool,
}

struct Reader<'a> {
    source: &'a mut dyn Bytes,
    end: u64,
    big: bool,
    pixels: Option<PixelElement>,
}

impl Reader<'_> {
    fn position(&mut self) -> Result<u64, Fault> {
        self.source.stream_position().map_err(|error| error.to_string())
    }

    fn seek(&mut self, to: u64) -> Result<(), Fault> {
        self.source.seek(SeekFrom::Start(to)).map(|_| ()).map_err(|error| error.to_string())
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes).map_err(|_| "truncated inside of the header".to_owned())?;
        Ok(bytes)
    }

    fn u16(&self, bytes: [u8; 2]) -> u16 {
        if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    fn u32(&self, bytes: [u8; 4]) -> u32 {
        if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    /// The head of the next element; `None` where the data set ends.
    fn head(&mut self, end: u64, explicit: bool) -> Result<Option<Head>, Fault> {
        // less than a head is padding
        if self.position()? + 8 > end.min(self.end) {
            return Ok(None);
        }
        let [g0, g1, e0, e1, a, b, c, d] = self.bytes::<8>()?;
        let tag = Tag(self.u16([g0, g1]), self.u16([e0, e1]));
        let written = VR::from_binary([a, b]).filter(|_| explicit && tag.0 != 0xFFFE);
        let Some(vr) = written else {
            return Ok(Some(Head { tag, vr: of_dictionary(tag), length: self.u32([a, b, c, d]) }));
        };
        let short = u32::from(self.u16([c, d]));
        let length = if has_long_length(vr) {
            let long = self.bytes::<4>()?;
            self.u32(long)
        } else {
            short
        };
        let vr = if vr == VR::UN { of_dictionary(tag) } else { vr };
        Ok(Some(Head { tag, vr, length }))
    }

    /// Elements up to `end` or an item's delimiter.
    fn data_set(&mut self, end: u64, explicit: bool, depth: usize) -> Result<DataSet, Fault> {
        let mut set = DataSet { elements: Vec::new(), big: self.big };
        while let Some(head) = self.head(end, explicit)? {
            if head.tag == ITEM_END || (depth > 0 && head.tag == SEQUENCE_END) {
                break;
            }
            if depth == 0 && matches!(head.tag, tags::PIXEL_DATA | FLOAT_PIXELS | DOUBLE_PIXELS) {
                let offset = self.position()?;
                let length = (head.length != UNDEFINED).then_some(u64::from(head.length));
                self.pixels = Some(PixelElement { tag: head.tag, words: head.vr == VR::OW, offset, length });
                break;
            }
            if let Some(value) = self.value(&head, end, explicit, depth)? {
                set.elements.push(Element { tag: head.tag, vr: head.vr, value });
            }
        }
        Ok(set)
    }

    /// `None`: stepped over.
    fn value(&mut self, head: &Head, end: u64, explicit: bool, depth: usize) -> Result<Option<Value>, Fault> {
        let start = self.position()?;
        let stop = match head.length {
            UNDEFINED => None,
            length if start + u64::from(length) > end.min(self.end) => {
                let there = end.min(self.end).saturating_sub(start);
                return Err(format!("element {} claims {length} bytes and {there} are left", head.tag));
            }
            length => Some(start + u64::from(length)),
        };
        // an undefined length is a sequence's, or that of pixels inside an icon
        let fragments = stop.is_none() && matches!(head.vr, VR::OB | VR::OW);
        if stop.is_none() || head.vr == VR::SQ {
            let limit = stop.unwrap_or(end.min(self.end));
            let items = self.items(Span { end: limit, sure: stop.is_some() }, explicit, fragments, depth)?;
            if let Some(stop) = stop {
                self.seek(stop)?;
            }
            return Ok((!fragments).then_some(Value::Items(items)));
        }
        let stop = stop.unwrap_or(start);
        let private = head.tag.0 % 2 == 1 && head.tag.0 != OURS;
        if private || head.length > LARGEST_VALUE {
            self.seek(stop)?;
            return Ok(None);
        }
        let mut bytes = vec![0; head.length as usize];
        self.source.read_exact(&mut bytes).map_err(|_| "truncated inside of the header".to_owned())?;
        Ok(Some(Value::Bytes(bytes)))
    }

    fn items(&mut self, span: Span, explicit: bool, skip: bool, depth: usize) -> Result<Vec<DataSet>, Fault> {
        let end = span.end;
        if depth >= DEEPEST {
            return Err(format!("sequences inside of sequences, more than {DEEPEST} deep"));
        }
        let mut items = Vec::new();
        while let Some(head) = self.head(end, explicit)? {
            if head.tag != ITEM {
                if head.tag != SEQUENCE_END {
                    return Err(format!("element {} where an item of a sequence should start", head.tag));
                }
                break;
            }
            let start = self.position()?;
            let stop = if head.length == UNDEFINED { None } else { Some(start + u64::from(head.length)) };
            let stop = match stop {
                Some(stop) if stop > end && !span.sure => {
                    return Err("an item of a sequence claims more bytes than are left".to_owned());
                }
                // an editor has taken elements out of the last item, and has made the sequence's length right but not the item's
                Some(stop) => Some(stop.min(end)),
                None => None,
            };
            if !skip {
                items.push(self.data_set(stop.unwrap_or(end), explicit, depth + 1)?);
            }
            if let Some(stop) = stop {
                self.seek(stop)?;
            }
        }
        Ok(items)
    }
}

fn has_long_length(vr: VR) -> bool {
    use VR::*;
    matches!(vr, OB | OD | OF | OL | OV | OW | SQ | SV | UC | UN | UR | UT | UV)
}

fn of_dictionary(tag: Tag) -> VR {
    StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed())
}

impl DataSet {
    fn value(&self, tag: Tag) -> Option<&Element> {
        self.elements.iter().find(|element| element.tag == tag)
    }

    /// Is there such an element, with or without a value?
    pub fn has(&self, tag: Tag) -> bool {
        self.value(tag).is_some()
    }

    /// The bytes as they are in the file.
    pub fn bytes(&self, tag: Tag) -> Option<&[u8]> {
        match &self.value(tag)?.value {
            Value::Bytes(bytes) => Some(bytes),
            Value::Items(_) => None,
        }
    }

    /// Bytes as words of 16 bits.
    pub fn words(&self, tag: Tag) -> Option<Vec<u16>> {
        let order = if self.big { u16::from_be_bytes } else { u16::from_le_bytes };
        Some(self.bytes(tag)?.as_chunks::<2>().0.iter().map(|&word| order(word)).collect())
    }

    /// The items of a sequence; none where it is absent.
    pub fn items(&self, tag: Tag) -> &[DataSet] {
        match self.value(tag).map(|element| &element.value) {
            Some(Value::Items(items)) => items,
            _ => &[],
        }
    }

    /// The text without its padding; empty where there is none. Bytes beyond ASCII are read as the data set's character set has them, else
    /// as UTF-8 or Latin-1.
    pub fn text(&self, tag: Tag) -> String {
        let bytes = self.bytes(tag).unwrap_or_default();
        let sets = if bytes.is_ascii() && !bytes.contains(&0x1b) { "" } else { &self.character_sets() };
        let text = charset::decoded(bytes, sets).or_else(|| std::str::from_utf8(bytes).ok().map(str::to_owned));
        let text = text.unwrap_or_else(|| bytes.iter().map(|&byte| char::from(byte)).collect());
        let shown = |c: char| if c.is_control() && c != '\0' { ' ' } else { c };
        text.trim_matches(|c: char| c.is_whitespace() || c == '\0').chars().map(shown).collect()
    }

    /// The value of SpecificCharacterSet.
    pub fn character_sets(&self) -> String {
        let bytes = self.bytes(tags::SPECIFIC_CHARACTER_SET).unwrap_or_default();
        String::from_utf8_lossy(bytes).trim_end_matches([' ', '\0']).to_owned()
    }

    /// All numbers of an element, written as text or binary; nothing where it is absent or empty. `count`: how many it should have, which
    /// decides what commas are. Errors: something stands there that is no number.
    fn all(&self, tag: Tag, count: Option<usize>) -> Parsed<Option<Vec<f64>>> {
        let Some(element) = self.value(tag) else { return Ok(None) };
        let Value::Bytes(bytes) = &element.value else { return Ok(None) };
        macro_rules! binary {
            ($number:ty, $size:literal) => {{
                let order = if self.big { <$number>::from_be_bytes } else { <$number>::from_le_bytes };
                let (numbers, rest) = bytes.as_chunks::<$size>();
                rest.is_empty().then(|| numbers.iter().map(|&b| order(b) as f64).collect::<Vec<f64>>())
            }};
        }
        let text = self.text(tag);
        let numbers = match element.vr {
            VR::US | VR::OW => binary!(u16, 2),
            VR::SS => binary!(i16, 2),
            VR::UL | VR::OL => binary!(u32, 4),
            VR::SL => binary!(i32, 4),
            VR::FL | VR::OF => binary!(f32, 4),
            VR::FD | VR::OD => binary!(f64, 8),
            _ if text.is_empty() => return Ok(None),
            _ => decimals(&text, count),
        };
        match numbers {
            Some(numbers) if numbers.is_empty() => Ok(None),
            Some(numbers) if numbers.iter().all(|v| v.is_finite()) => Ok(Some(numbers)),
            Some(_) => Err(format!("{} holds numbers that are not finite", name(tag))),
            None => Err(format!("{} is \"{text}\", which cannot be read as numbers", name(tag))),
        }
    }

    /// All numbers of an element; nothing where it is absent or empty. Errors: something stands there that is no number.
    pub fn numbers(&self, tag: Tag) -> Parsed<Option<Vec<f64>>> {
        self.all(tag, None)
    }

    /// The numbers of an element that has so many; nothing where it is absent or empty. Errors: another number of values, or no numbers.
    pub fn exactly<const N: usize>(&self, tag: Tag) -> Parsed<Option<[f64; N]>> {
        let Some(numbers) = self.all(tag, Some(N))? else { return Ok(None) };
        let found = numbers.len();
        let wrong = |_| match N {
            1 => format!("{} has {found} values instead of one", name(tag)),
            _ => format!("{} is \"{}\": {found} of {N} values", name(tag), self.text(tag)),
        };
        <[f64; N]>::try_from(numbers).map(Some).map_err(wrong)
    }

    /// The first number of an element that may have several.
    pub fn number(&self, tag: Tag) -> Parsed<Option<f64>> {
        // with one value a comma is a decimal point
        Ok(self.all(tag, Some(1))?.and_then(|numbers| numbers.first().copied()))
    }

    /// A whole number. Errors: something else stands there.
    pub fn integer(&self, tag: Tag) -> Parsed<Option<i64>> {
        match self.number(tag)? {
            Some(v) if v.fract() == 0.0 && v.abs() < 1e15 => Ok(Some(v as i64)),
            Some(v) => Err(format!("{} is {v} and no whole number", name(tag))),
            None => Ok(None),
        }
    }

    /// The smallest step that the text of an element can tell: 0.001 for `1.5\0.125`; nothing where it is written in binary.
    pub fn written_step(&self, tag: Tag) -> Option<f64> {
        let element = self.value(tag).filter(|element| element.vr == VR::DS)?;
        let Value::Bytes(bytes) = &element.value else { return None };
        let text = String::from_utf8_lossy(bytes).to_lowercase();
        let places = |part: &str| {
            let (digits, power) = part.split_once('e').unwrap_or((part, "0"));
            let behind = digits.trim().split_once(['.', ',']).map_or(0, |(_, behind)| behind.len() as i32);
            behind - power.trim().parse::<i32>().unwrap_or(0)
        };
        text.trim_matches([' ', '\0']).split('\\').map(places).max().map(|places| 10f64.powi(-places.clamp(-30, 30)))
    }
}

/// An element for people: its name and its tag.
pub(super) fn name(tag: Tag) -> String {
    match StandardDataDictionary.by_tag(tag) {
        Some(entry) => format!("{} {tag}", entry.alias()),
        None => format!("element {tag}"),
    }
}

/// Decimal strings. A comma is no character of theirs, but some devices write it: between the values where one text holds all of
/// `count`, else in place of the point. Nothing where it may be either, or where there are no numbers.
fn decimals(text: &str, count: Option<usize>) -> Option<Vec<f64>> {
    let mut parts: Vec<&str> = text.split('\\').map(str::trim).collect();
    while parts.len() > 1 && parts.last() == Some(&"") {
        parts.pop();
    }
    let number = |text: &str| text.trim().parse().ok().filter(|v: &f64| v.is_finite());
    if let ([one], Some(count @ 2..)) = (&parts[..], count)
        && one.matches(',').count() == count - 1
        && (count > 2 || one.contains('.'))
    {
        return one.split(',').map(number).collect();
    }
    let with_comma = |part: &&str| match part.contains('.') || part.matches(',').count() != 1 {
        true => number(part),
        false => number(&part.replace(',', ".")),
    };
    parts.iter().map(with_comma).collect()
}

#[cfg(test)]
mod tests {
    use super::decimals;

    #[test]
    fn commas_are_read_where_they_can_mean_one_thing() {
        assert_eq!(decimals("0.0058,0.0019", Some(2)), Some(vec![0.0058, 0.0019]));
        assert_eq!(decimals("1,0,0,0,1,0", Some(6)), Some(vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0]));
        assert_eq!(decimals("-10,5", Some(1)), Some(vec![-10.5]));
        assert_eq!(decimals("0,5\\0,25", Some(2)), Some(vec![0.5, 0.25]));
        assert_eq!(decimals("1\\2\\", None), Some(vec![1.0, 2.0]));
        for text in ["0,5,0,25", "1;2", "1\\\\2", "NaN", "inf", "0.5 mm", "--1"] {
            assert_eq!(decimals(text, Some(2)), None, "{text}");
        }
        // which of the two cannot be told: one value, which is too few
        assert_eq!(decimals("1,2", Some(2)), Some(vec![1.2]));
    }
}
