//! Files that are damaged, or that want something else than to be read: one line of error each, no panic, little memory.

use crate::data;
use sam_octa2_core::weights;
use std::io::Write;
use std::path::Path;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A PyTorch archive of this pickle and these storages.
fn archive(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("archive/data.pkl", options).unwrap();
    zip.write_all(pickle).unwrap();
    for (name, bytes) in storages {
        zip.start_file(format!("archive/{name}"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// `{"w": tensor}` with a storage of `len` floats, one dimension of `size` and `stride`, from `offset` on.
fn pickle_of_tensor(len: i64, offset: i64, size: i64, stride: i64) -> Vec<u8> {
    let number = |n: i64| [&[0x8a, 8][..], &n.to_le_bytes()].concat();
    let text = |s: &str| [&[b'X'][..], &(s.len() as u32).to_le_bytes(), s.as_bytes()].concat();
    [
        b"\x80\x02}".to_vec(),
        text("w"),
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        [text("0"), text("cpu"), number(len)].concat(),
        b"tQ".to_vec(),
        number(offset),
        [number(size), vec![0x85]].concat(),
        [number(stride), vec![0x85]].concat(),
        b"\x89ccollections\nOrderedDict\n)RtRs.".to_vec(),
    ]
    .concat()
}

fn error_of(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let error = weights::read(file.path()).unwrap_err().to_string();
    assert!(!error.contains('\n') && error.len() < 600, "{error}");
    error
}

fn error_of_pickle(pickle: &[u8]) -> String {
    error_of(&archive(pickle, &[]))
}

#[test]
fn the_crafted_tensor_is_sound() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = [1f32, 2., 3.].iter().flat_map(|x| x.to_le_bytes()).collect();
    std::fs::write(file.path(), archive(&pickle_of_tensor(3, 1, 2, 1), &[("data/0", &bytes)])).unwrap();
    let tensors = weights::read(file.path()).unwrap().tensors;
    assert_eq!(Vec::<f32>::try_from(&tensors["w"]).unwrap(), [2., 3.]);
}

#[test]
fn nothing_is_called() {
    let marker = tempfile::tempdir().unwrap().path().join("called");
    let touch = format!("touch {}", marker.display());
    let text = [&[b'X'][..], &(touch.len() as u32).to_le_bytes(), touch.as_bytes()].concat();
    let system = [b"\x80\x02cposix\nsystem\n".as_slice(), &text, b"\x85R."].concat();
    assert!(error_of_pickle(&system).contains("refused: its pickle asks for posix.system"));
    let eval = b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.";
    assert!(error_of_pickle(eval).contains("builtins.eval"));
    let unknown = b"\x80\x02cargparse\nNamespace\n)\x81.";
    let error = error_of_pickle(unknown);
    assert!(error.contains("argparse.Namespace") && error.contains("torch.save({\"model\""), "{error}");
    for name in ["ctorch\nload\n.", "ctorch.serialization\nFloatStorage\n.", "cos\nsystem\n.", "ibuiltins\neval\n."] {
        error_of_pickle(format!("\u{1}{name}").as_bytes());
        error_of_pickle(name.as_bytes());
    }
    assert!(!marker.exists());
}

#[test]
fn tensors_stay_within_their_storage() {
    let four = [0u8; 16];
    let cases = [
        (4, 0, 5, 1),
        (4, 4, 1, 1),
        (4, -1, 1, 1),
        (4, 0, -1, 1),
        (4, 0, 2, -1),
        (4, 0, i64::MAX, 1),
        (4, 0, i64::MAX, i64::MAX),
        (4, i64::MAX, 2, i64::MAX),
        (1 << 40, 0, 1, 1),
        (i64::MAX, 0, 1, 1),
        (-4, 0, 0, 1),
        (3, 0, 1, 1),
        (5, 0, 1, 1),
    ];
    for (len, offset, size, stride) in cases {
        let error = error_of(&archive(&pickle_of_tensor(len, offset, size, stride), &[("data/0", &four)]));
        assert!(error.contains("damaged"), "{error}");
    }
    let error = error_of(&archive(&pickle_of_tensor(4, 0, 4, 1), &[]));
    assert!(error.contains("data/0 is damaged"), "{error}");
}

#[test]
fn depth_and_repetition_cost_nothing() {
    let deep = [b"\x80\x02".as_slice(), &b"]".repeat(1 << 20), &b"a".repeat((1 << 20) - 1), b"."].concat();
    error_of_pickle(&deep);
    // every tuple holds the one before it twice: 2^100000 leaves
    let bomb = [b"\x80\x02)".as_slice(), &b"2\x86".repeat(100_000), b"."].concat();
    error_of_pickle(&bomb);
    error_of_pickle(&b"(".repeat(1 << 20));
    let marks = [b"\x80\x02".as_slice(), b"X\xff\xff\xff\xff"].concat();
    assert!(error_of_pickle(&marks).contains("cut short"));
    assert!(error_of_pickle(b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff").contains("cut short"));
    error_of_pickle(&vec![b'N'; 17 << 20]);
}

/// Every prefix and every changed byte of a good pickle: an answer, whatever it is.
#[test]
fn damaged_pickles_give_errors() {
    let good = pickle_of_tensor(4, 0, 4, 1);
    for end in 0..good.len() {
        error_of_pickle(&good[..end]);
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let floats = [0u8; 16];
    for at in 0..good.len() {
        for byte in [0, 1, b'.', b'R', b'(', b't', b'h', 0x7f, 0xff] {
            let mut bad = good.clone();
            bad[at] = byte;
            std::fs::write(file.path(), archive(&bad, &[("data/0", &floats)])).unwrap();
            _ = weights::read(file.path());
        }
    }
}

#[test]
fn cut_and_foreign_files_are_named() {
    let whole = std::fs::read(data("nested.pt")).unwrap();
    for end in [4, 30, whole.len() / 2, whole.len() - 1] {
        assert!(error_of(&whole[..end]).contains("cut short"));
    }
    let mut flipped = whole.clone();
    let place = whole.windows(4).position(|four| four == 2.5f32.to_le_bytes()).unwrap();
    flipped[place] ^= 1;
    assert!(error_of(&flipped).contains("damaged"));

    let safe = std::fs::read(data("nested.safetensors")).unwrap();
    for end in [9, 200, safe.len() - 1] {
        error_of(&safe[..end]);
    }
    let mut huge = safe.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(error_of(&huge).contains("neither a PyTorch checkpoint"));

    let legacy = weights::read(data("legacy.pt")).unwrap_err().to_string();
    assert!(legacy.contains("before 1.6") && legacy.contains("save it anew"), "{legacy}");
    assert!(error_of(b"").contains("empty"));
    assert!(error_of(b"\n<!DOCTYPE html><html>").contains("a web page"));
    assert!(error_of(b"version https://git-lfs.github.com/spec/v1\noid").contains("git lfs pull"));
    assert!(error_of(&[7; 100]).contains("neither a PyTorch checkpoint (zip) nor a safetensors file"));
    assert!(weights::read(Path::new("no such file.pt")).unwrap_err().to_string().contains("no such file.pt"));
    assert!(weights::read(data("")).is_err());

    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("a.txt", SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored)).unwrap();
    assert!(error_of(&zip.finish().unwrap().into_inner()).contains("no data.pkl"));
}

#[test]
fn dicts_without_tensors_are_refused() {
    assert!(error_of_pickle(b"\x80\x02}.").contains("no tensors"));
    assert!(error_of_pickle(b"\x80\x02N.").contains("no dict"));
    assert!(error_of_pickle(b"\x80\x02}X\x01\x00\x00\x00aK\x01s.").contains("\"a\" is no tensor"));
}
