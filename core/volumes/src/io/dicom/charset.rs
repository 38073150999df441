//! DICOM text to Unicode: every character set of PS3.3 C.12.1.1.2, alone or with code extensions (escape sequences, ISO 2022).
//!
//! `encoding_rs` knows the tables; DICOM's sets are pieces of its encodings: a two-byte set of ISO 2022 is that of EUC with the high bits set.
//! Standard: PS3.5 6.1 (extensions, where they end), PS3.3 C.12.1.1.2 (names and escape sequences).

use encoding_rs::{
    EUC_JP, EUC_KR, Encoding, GB18030, GBK, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6, ISO_8859_7,
    ISO_8859_8, ISO_8859_15, WINDOWS_874, WINDOWS_1254,
};

const ESCAPE: u8 = 0x1b;
/// a name may end its extensions at these (PS3.5 6.1.2.5.3), any text at a line end
const ENDS: [u8; 8] = [b'\\', b'^', b'=', b'\r', b'\n', b'\t', 0x0c, 0x0b];

/// A set of characters.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Set {
    Ascii,
    Latin1,
    Utf8,
    /// half-width katakana in the upper half
    Jis201,
    /// one byte each, or bytes of this encoding as they are
    Plain(&'static Encoding),
    /// two bytes with or without their high bits, as EUC has them with
    Double(&'static Encoding),
    /// JIS X 0212: EUC has three bytes for each, the first of which says so
    Jis212,
}

/// By the name of SpecificCharacterSet; `None` where it is none of the standard's.
fn named(name: &str) -> Option<Set> {
    let name = name.trim_matches([' ', '\0']).to_ascii_uppercase().replace(['-', ' '], "_");
    Some(match name.strip_prefix("ISO_2022_").map_or(name.clone(), |rest| format!("ISO_{rest}")).as_str() {
        "" | "ISO_IR_6" => Set::Ascii,
        "ISO_IR_100" => Set::Latin1,
        "ISO_IR_101" => Set::Plain(ISO_8859_2),
        "ISO_IR_109" => Set::Plain(ISO_8859_3),
        "ISO_IR_110" => Set::Plain(ISO_8859_4),
        "ISO_IR_144" => Set::Plain(ISO_8859_5),
        "ISO_IR_127" => Set::Plain(ISO_8859_6),
        "ISO_IR_126" => Set::Plain(ISO_8859_7),
        "ISO_IR_138" => Set::Plain(ISO_8859_8),
        "ISO_IR_148" => Set::Plain(WINDOWS_1254),
        "ISO_IR_203" => Set::Plain(ISO_8859_15),
        "ISO_IR_166" => Set::Plain(WINDOWS_874),
        "ISO_IR_13" => Set::Jis201,
        "ISO_IR_192" => Set::Utf8,
        "ISO_IR_87" => Set::Double(EUC_JP),
        "ISO_IR_159" => Set::Jis212,
        "ISO_IR_149" => Set::Double(EUC_KR),
        "ISO_IR_58" => Set::Double(GBK),
        "GB18030" => Set::Plain(GB18030),
        "GBK" => Set::Plain(GBK),
        _ => return None,
    })
}

/// The set that an escape sequence calls, which half of the codes it is for (the upper one?), and what follows.
fn called(rest: &[u8]) -> Option<(Set, bool, &[u8])> {
    let sets: [(&[u8], Set, bool); 19] = [
        (b"(B", Set::Ascii, false),
        (b"(J", Set::Jis201, false),
        (b")I", Set::Jis201, true),
        (b"-A", Set::Latin1, true),
        (b"-B", Set::Plain(ISO_8859_2), true),
        (b"-C", Set::Plain(ISO_8859_3), true),
        (b"-D", Set::Plain(ISO_8859_4), true),
        (b"-L", Set::Plain(ISO_8859_5), true),
        (b"-G", Set::Plain(ISO_8859_6), true),
        (b"-F", Set::Plain(ISO_8859_7), true),
        (b"-H", Set::Plain(ISO_8859_8), true),
        (b"-M", Set::Plain(WINDOWS_1254), true),
        (b"-b", Set::Plain(ISO_8859_15), true),
        (b"-T", Set::Plain(WINDOWS_874), true),
        (b"$B", Set::Double(EUC_JP), false),
        (b"$@", Set::Double(EUC_JP), false),
        (b"$(D", Set::Jis212, false),
        (b"$)C", Set::Double(EUC_KR), true),
        (b"$)A", Set::Double(GBK), true),
    ];
    let found = sets.into_iter().find(|(sequence, ..)| rest.starts_with(sequence))?;
    Some((found.1, found.2, &rest[found.0.len()..]))
}

/// The text of an element; `sets` is the value of SpecificCharacterSet (nothing: ASCII). `None` where a set has a name that is none, or
/// the bytes are not of their set.
pub(super) fn decoded(bytes: &[u8], sets: &str) -> Option<String> {
    let first = named(sets.split('\\').next().unwrap_or_default())?;
    if let Set::Utf8 | Set::Plain(_) | Set::Latin1 = first
        && !bytes.contains(&ESCAPE)
    {
        return first.text(bytes);
    }
    // at the beginning the lower half is ASCII, unless the set takes both
    let start = match first {
        Set::Double(encoding) if encoding != EUC_JP => [Set::Ascii, first],
        Set::Double(_) | Set::Jis212 => [Set::Ascii, Set::Ascii],
        Set::Jis201 => [Set::Jis201, Set::Jis201],
        other => [Set::Ascii, other],
    };
    let (mut halves, mut rest, mut text) = (start, bytes, String::new());
    while let [byte, after @ ..] = rest {
        if *byte == ESCAPE {
            let (set, upper, behind) = called(after)?;
            halves[usize::from(upper)] = set;
            rest = behind;
            continue;
        }
        // in a two-byte set of the lower half these are halves of characters
        if ENDS.contains(byte) && !matches!(halves[0], Set::Double(_) | Set::Jis212) {
            halves = start;
        }
        let set = halves[usize::from(*byte >= 0x80)];
        let end = rest.iter().position(|&b| b == ESCAPE || (b >= 0x80) != (*byte >= 0x80));
        let ends = |b: &u8| !matches!(set, Set::Double(_) | Set::Jis212) && ENDS.contains(b);
        let delimiter = rest.iter().skip(1).position(ends).map(|at| at + 1);
        let length = end.unwrap_or(rest.len()).min(delimiter.unwrap_or(rest.len()));
        text.push_str(&set.text(&rest[..length])?);
        rest = &rest[length..];
    }
    Some(text)
}

impl Set {
    fn text(self, bytes: &[u8]) -> Option<String> {
        let with = |encoding: &'static Encoding, bytes: &[u8]| {
            encoding.decode_without_bom_handling_and_without_replacement(bytes).map(|text| text.into_owned())
        };
        match self {
            Self::Ascii => bytes.is_ascii().then(|| bytes.iter().map(|&byte| char::from(byte)).collect()),
            Self::Latin1 => Some(bytes.iter().map(|&byte| char::from(byte)).collect()),
            Self::Utf8 => std::str::from_utf8(bytes).ok().map(str::to_owned),
            Self::Jis201 => bytes.iter().map(|&byte| katakana(byte)).collect(),
            Self::Plain(encoding) => with(encoding, bytes),
            Self::Double(encoding) => {
                let high: Vec<u8> = bytes.iter().map(|&byte| if byte > 0x20 { byte | 0x80 } else { byte }).collect();
                with(encoding, &high)
            }
            Self::Jis212 => {
                let pairs = bytes.as_chunks::<2>();
                let triples = pairs.0.iter().flat_map(|&[a, b]| [0x8f, a | 0x80, b | 0x80]).collect::<Vec<u8>>();
                if pairs.1.is_empty() { with(EUC_JP, &triples) } else { None }
            }
        }
    }
}

/// JIS X 0201: ASCII but for two signs, which readers leave alone; half-width katakana above.
fn katakana(byte: u8) -> Option<char> {
    match byte {
        0..=0x7f => Some(char::from(byte)),
        0xa1..=0xdf => char::from_u32(0xff61 + u32::from(byte - 0xa1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::decoded;

    /// The examples of PS3.5 annexes H, I, J and K, and what pydicom 3 reads from them.
    #[test]
    fn the_examples_of_the_standard() {
        let cases: [(&[u8], &str, &str); 14] = [
            (b"Buc^J\xe9r\xf4me", "ISO_IR 100", "Buc^Jérôme"),
            (b"\xc4neas^R\xfcdiger", "ISO_IR 100", "Äneas^Rüdiger"),
            (b"W\xe6\x81\xa5", "ISO_IR 192", "W恥"),
            (b"\xc7avu\xfeo\xf0lu^\xdeule", "ISO_IR 148", "Çavuşoğlu^Şule"),
            (b"\xcb\xce\xdf\xcb\xce", "ISO_IR 126", "ΛΞίΛΞ"),
            (b"\xbb\xee\xda", "ISO_IR 144", "Люк"),
            (
                b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
                "\\ISO 2022 IR 87",
                "Yamada^Tarou=山田^太郎=やまだ^たろう",
            ),
            (b"Yamada=\x1b$B;3ED\x1b$B", "ISO 2022 IR 87", "Yamada=山田"),
            (
                b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
                "ISO 2022 IR 13\\ISO 2022 IR 87",
                "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
            ),
            (
                b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
                "\\ISO 2022 IR 149",
                "Hong^Gildong=洪^吉洞=홍^길동",
            ),
            (b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=", "\\ISO 2022 IR 58", "Zhang^XiaoDong=张^小东="),
            (b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "GB18030", "Wang^XiaoDong=王^小东="),
            (b"Dionysios=\x1b-F\xc4\xe9\xef", "ISO 2022 IR 100\\ISO 2022 IR 126", "Dionysios=Διο"),
            (b"plain", "", "plain"),
        ];
        for (bytes, sets, expected) in cases {
            assert_eq!(decoded(bytes, sets).as_deref(), Some(expected), "{sets}");
        }
        assert_eq!(decoded(b"\x1b$(D\x30\x21\x1b(B", "\\ISO 2022 IR 159").as_deref(), Some("丂"));
    }

    #[test]
    fn what_no_table_knows_is_not_guessed() {
        assert_eq!(decoded(b"a\xff", "ISO_IR 999"), None);
        assert_eq!(decoded(b"a\xff", ""), None, "not ASCII");
        assert_eq!(decoded(b"a\xff", "ISO_IR 192"), None);
        assert_eq!(decoded(b"a\x1b%X", "\\ISO 2022 IR 87"), None);
    }
}
