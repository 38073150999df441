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

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use std::io::{Read, Seek, SeekFrom};

/// values longer than this are stepped over; the largest lookup table has 65536 entries of two bytes
const LARGEST_VALUE: u32 = 1 << 18;
/// sequences in sequences; real files have less than ten
const DEEPEST: usize = 32;
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
pub(super) struct DataSet {
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
pub(super) type Fault = String;

/// Reads the data set that starts at the current position and ends at `end`, up to its pixels.
pub(super) fn read(
    source: &mut dyn Bytes,
    end: u64,
    encoding: Encoding,
) -> Result<(DataSet, Option<PixelElement>), Fault> {
    let mut reader = Reader { source, end, big: encoding.big, pixels: None };
    let explicit = reader.is_explicit(encoding.explicit)?;
    let set = reader.data_set(end, explicit, 0)?;
    Ok((set, reader.pixels))
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
    /// What the first element looks like, whatever the file says of itself.
    fn is_explicit(&mut self, declared: bool) -> Result<bool, Fault> {
        let start = self.position()?;
        let mut head = [0; 6];
        let enough = self.source.read_exact(&mut head).is_ok();
        self.seek(start)?;
        let looks = VR::from_binary([head[4], head[5]]).is_some();
        Ok(if enough { looks } else { declared })
    }

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
        let private = head.tag.0 % 2 == 1;
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

    /// The text without its padding; empty where there is none. Bytes beyond ASCII as UTF-8, else as Latin-1.
    pub fn text(&self, tag: Tag) -> String {
        let bytes = self.bytes(tag).unwrap_or_default();
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
        };
        let shown = |c: char| if c.is_control() && c != '\0' { ' ' } else { c };
        text.trim_matches(|c: char| c.is_whitespace() || c == '\0').chars().map(shown).collect()
    }

    /// All numbers of an element, written as text or binary; `None` where one of them is none.
    pub fn numbers(&self, tag: Tag) -> Option<Vec<f64>> {
        let element = self.value(tag)?;
        let Value::Bytes(bytes) = &element.value else { return None };
        macro_rules! binary {
            ($number:ty, $size:literal) => {{
                let order = if self.big { <$number>::from_be_bytes } else { <$number>::from_le_bytes };
                bytes.as_chunks::<$size>().0.iter().map(|&b| Some(order(b) as f64)).collect()
            }};
        }
        match element.vr {
            VR::US | VR::OW => binary!(u16, 2),
            VR::SS => binary!(i16, 2),
            VR::UL | VR::OL => binary!(u32, 4),
            VR::SL => binary!(i32, 4),
            VR::FL | VR::OF => binary!(f32, 4),
            VR::FD | VR::OD => binary!(f64, 8),
            _ => {
                let text = self.text(tag);
                text.split('\\').map(|part| part.trim().parse().ok().filter(|v: &f64| v.is_finite())).collect()
            }
        }
    }

    /// The first number of an element.
    pub fn number(&self, tag: Tag) -> Option<f64> {
        self.numbers(tag)?.first().copied().filter(|v| v.is_finite())
    }

    /// A whole number.
    pub fn integer(&self, tag: Tag) -> Option<i64> {
        self.number(tag).filter(|v| v.fract() == 0.0 && v.abs() < 1e15).map(|v| v as i64)
    }
}
