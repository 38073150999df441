//! Is a file a whole shared library of this machine? Answered by reading its headers, before the system's loader sees it: the
//! loader maps what the headers promise, and a file that is shorter kills the process (SIGBUS).

use crate::error::{LoadError, LoadErrorKind};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Checks that `path` is a shared library of this kind of machine and that the file is as long as its headers say.
pub fn check_library_file(path: &Path) -> Result<(), LoadError> {
    let fail = |kind, message: &str| Err(LoadError::new(kind, path, message));
    let unreadable = |error: std::io::Error| {
        let message = match error.kind() {
            std::io::ErrorKind::NotFound => "no such file".to_owned(),
            _ => format!("cannot be read: {error}"),
        };
        LoadError::new(LoadErrorKind::NotFound, path, message)
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return fail(LoadErrorKind::NotALibrary, "not a file: a plugin is a shared library");
    }
    let mut file = File::open(path).map_err(unreadable)?;
    let mut header = Vec::new();
    file.by_ref().take(HEADER_BYTES).read_to_end(&mut header).map_err(unreadable)?;
    if header.is_empty() {
        return fail(LoadErrorKind::Truncated, "an empty file");
    }
    match (format_of(&header), NATIVE) {
        (None, _) => fail(LoadErrorKind::NotALibrary, "not a shared library"),
        (Some(Format::Elf), Format::Elf) => match elf_end(&header) {
            Ok(end) if end > metadata.len() => {
                let message = format!("only a part of a library: {} of {end} bytes; copy it again", metadata.len());
                fail(LoadErrorKind::Truncated, &message)
            }
            Ok(_) => Ok(()),
            Err((kind, message)) => fail(kind, message),
        },
        (Some(found), native) if found == native => Ok(()),
        (Some(found), native) => fail(
            LoadErrorKind::NotALibrary,
            &format!("a library for {}, but this is {}", found.system(), native.system()),
        ),
    }
}

/// Enough for the file header and the table of segments, which linkers put right behind it.
const HEADER_BYTES: u64 = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Elf,
    MachO,
    Pe,
}

impl Format {
    fn system(self) -> &'static str {
        match self {
            Self::Elf => "Linux",
            Self::MachO => "macOS",
            Self::Pe => "Windows",
        }
    }
}

const NATIVE: Format = if cfg!(windows) {
    Format::Pe
} else if cfg!(target_vendor = "apple") {
    Format::MachO
} else {
    Format::Elf
};

fn format_of(header: &[u8]) -> Option<Format> {
    match header {
        [0x7f, b'E', b'L', b'F', ..] => Some(Format::Elf),
        [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, ..] => Some(Format::MachO),
        [b'M', b'Z', ..] => Some(Format::Pe),
        _ => None,
    }
}

/// Where the last segment and the section table of a 64-bit little-endian ELF shared library end.
fn elf_end(header: &[u8]) -> Result<u64, (LoadErrorKind, &'static str)> {
    const SHARED: u64 = 3;
    let short = (LoadErrorKind::Truncated, "only the beginning of a library; copy it again");
    let number = |at: usize, bytes: usize| little_endian(header, at, bytes).ok_or(short);
    if number(4, 1)? != 2 || number(5, 1)? != 1 {
        return Err((LoadErrorKind::NotALibrary, "a library for another kind of processor (not 64-bit little-endian)"));
    }
    if number(16, 2)? != SHARED {
        return Err((LoadErrorKind::NotALibrary, "an object file or a program, not a shared library"));
    }
    let machine = number(18, 2)?;
    if machine_of_this_program().is_some_and(|mine| mine != machine) {
        return Err((LoadErrorKind::NotALibrary, "a library for another kind of processor"));
    }
    let (segments, segment_size, segment_count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let (sections, section_size, section_count) = (number(40, 8)?, number(58, 2)?, number(60, 2)?);
    let mut end = sections.saturating_add(section_size * section_count);
    for index in 0..segment_count {
        let at = usize::try_from(segments.saturating_add(index * segment_size)).map_err(|_| short)?;
        let (offset, size) = (number(at.saturating_add(8), 8)?, number(at.saturating_add(32), 8)?);
        end = end.max(offset.saturating_add(size));
    }
    Ok(end)
}

fn little_endian(bytes: &[u8], at: usize, count: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(count)?)?;
    Some(field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// ELF's number for the processor that this was compiled for, where it is known here.
fn machine_of_this_program() -> Option<u64> {
    match std::env::consts::ARCH {
        "x86_64" => Some(62),
        "aarch64" => Some(183),
        "riscv64" => Some(243),
        _ => None,
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    fn kind_of(bytes: &[u8], name: &str) -> Option<LoadErrorKind> {
        let path = std::env::temp_dir().join(format!("sam_octa2_{}_{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let kind = check_library_file(&path).err().map(|error| error.kind);
        std::fs::remove_file(&path).unwrap();
        kind
    }

    /// The test's own executable is position independent, which for ELF is the same as a shared library.
    fn library() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn a_whole_library_passes() {
        assert_eq!(kind_of(&library(), "whole"), None);
    }

    #[test]
    fn any_missing_part_is_noticed() {
        let whole = library();
        for length in [5, 40, 63, 100, 5000, whole.len() / 2, whole.len() - 1] {
            assert_eq!(kind_of(&whole[..length], "part"), Some(LoadErrorKind::Truncated), "{length} bytes");
        }
        assert_eq!(kind_of(b"", "empty"), Some(LoadErrorKind::Truncated));
    }

    #[test]
    fn other_files_are_named() {
        let mut other_machine = library();
        other_machine[18] = 40;
        assert_eq!(kind_of(&other_machine, "arm"), Some(LoadErrorKind::NotALibrary));
        assert_eq!(kind_of(b"#!/bin/sh\n", "text"), Some(LoadErrorKind::NotALibrary));
        assert_eq!(kind_of(b"MZ\x90\0rest", "windows"), Some(LoadErrorKind::NotALibrary));
        let folder = check_library_file(&std::env::temp_dir()).unwrap_err();
        assert_eq!(folder.kind, LoadErrorKind::NotALibrary);
    }

    #[test]
    fn hostile_headers_do_not_overflow() {
        let mut library = library();
        library[32..48].fill(0xff);
        assert_eq!(kind_of(&library, "overflow"), Some(LoadErrorKind::Truncated));
    }
}
