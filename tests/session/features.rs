//! Features on disk: what was encoded before is read, with the very same masks; anything that decides about the numbers is another file;
//! whatever happens to the folder, the work goes on.

use super::*;
use sam_octa2_core::guard::guard;
use sam_octa2_core::intensity::Intensity;
use sam_octa2_core::session::ObjectMask;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

fn kept_in(folder: &TempDir) -> Settings {
    Settings { features: Some(folder.path().to_path_buf()), ..Settings::default() }
}

/// A click and what follows from it on a session of its own: masks, slices encoded, slices read.
fn run(model: &Arc<Model>, settings: Settings) -> (Vec<Tensor>, usize, usize) {
    let mut session = Session::new(model.clone(), volume(), settings).expect("session");
    session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click");
    let masks = follow(&mut session, Range::default()).into_iter().map(|(.., logits)| logits).collect();
    let read = session.features().map_or(0, |features| features.read);
    assert_eq!(session.features().and_then(|features| features.problem), None);
    (masks, session.encoded_slices(), read)
}

fn same(a: &[Tensor], b: &[Tensor]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equal(b))
}

fn files(folder: &TempDir) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(folder.path()).expect("folder").map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    files
}

fn other_model(kind: Kind, seed: Option<u64>) -> Arc<Model> {
    let config = ModelConfig::from_file(data("mini21.yaml")).expect("configuration");
    let params = match seed {
        Some(seed) => Params::random(seed, Device::Cpu, kind),
        None => Params::from_tensors(weights::read(data("mini21.pt")).expect("weights").tensors, Device::Cpu, kind),
    };
    Arc::new(guard(|| Model::new(params, config)).expect("model"))
}

fn encode(settings: Settings, frames: std::ops::Range<usize>) -> Session {
    let mut session = Session::new(MODEL.clone(), volume(), settings).expect("session");
    frames.for_each(|frame| session.encode(frame).expect("encode"));
    session
}

#[test]
fn a_later_session_encodes_nothing_and_has_the_same_masks() {
    let folder = tempfile::tempdir().expect("folder");
    let plain = run(&MODEL, Settings::default());
    let first = run(&MODEL, kept_in(&folder));
    assert_eq!((first.1, first.2, files(&folder).len()), (FRAMES, 0, FRAMES));
    let second = run(&MODEL, kept_in(&folder));
    assert_eq!((second.1, second.2), (0, FRAMES));
    assert!(same(&plain.0, &first.0) && same(&plain.0, &second.0), "to the last bit, with a folder and without");
    let half = other_model(Kind::BFloat16, None);
    let (first, second) = (run(&half, kept_in(&folder)), run(&half, kept_in(&folder)));
    assert_eq!((first.1, second.1), (FRAMES, 0), "another precision, once");
    assert!(same(&first.0, &second.0));
}

#[test]
fn a_slice_is_recognised_in_another_volume() {
    let folder = tempfile::tempdir().expect("folder");
    encode(kept_in(&folder), 0..FRAMES);
    let stack = volume();
    let Voxels::U8(one) = stack.frame(5).expect("slice") else { unreachable!() };
    let one = Volume::new([1, ROWS, COLUMNS, 1], Voxels::U8(one), Geometry::unknown(), "slice").expect("volume");
    let mut session = Session::new(MODEL.clone(), Arc::new(one), kept_in(&folder)).expect("session");
    session.encode(0).expect("encode");
    assert_eq!(session.encoded_slices(), 0);
}

#[test]
fn another_window_or_other_weights_are_not_taken_for_these() {
    let folder = tempfile::tempdir().expect("folder");
    encode(kept_in(&folder), 0..1);
    let window = Settings { intensity: "10,200".parse::<Intensity>().expect("window"), ..kept_in(&folder) };
    assert_eq!(encode(window, 0..1).encoded_slices(), 1);
    let model = other_model(Kind::Float, Some(3));
    let mut other = Session::new(model.clone(), volume(), kept_in(&folder)).expect("session");
    other.encode(0).expect("encode");
    assert_eq!((other.encoded_slices(), files(&folder).len()), (1, 3));
}

#[test]
fn a_damaged_file_is_made_anew() {
    let folder = tempfile::tempdir().expect("folder");
    let mask = |session: &mut Session| session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click");
    let expected: ObjectMask = mask(&mut encode(kept_in(&folder), 0..1));
    let file = files(&folder).remove(0);
    let good = fs::read(&file).expect("file");
    let mut bent = good.clone();
    let end = bent.len() - 7;
    bent[end] ^= 1;
    let damages = [
        ("a bit", bent),
        ("cut", good[..good.len() / 2].to_vec()),
        ("empty", Vec::new()),
        ("foreign", b"a text of somebody else".to_vec()),
        ("an empty safetensors", b"\x02\0\0\0\0\0\0\0{}".to_vec()),
        ("too long", [good.clone(), vec![0; 1 << 20]].concat()),
    ];
    for (what, bytes) in damages {
        fs::write(&file, bytes).expect("write");
        let mut session = encode(kept_in(&folder), 0..1);
        assert_eq!(session.encoded_slices(), 1, "{what}");
        assert!(mask(&mut session).logits.equal(&expected.logits), "{what}");
        assert!(fs::read(&file).expect("file") == good, "{what}");
    }
}

#[test]
fn the_files_used_longest_ago_go_first_and_no_others() {
    let folder = tempfile::tempdir().expect("folder");
    encode(kept_in(&folder), 0..1);
    let size = fs::metadata(&files(&folder)[0]).expect("file").len();
    let foreign = folder.path().join("thesis.safetensors");
    fs::write(&foreign, vec![0; 4 * size as usize]).expect("write");
    let first = files(&folder).into_iter().find(|file| *file != foreign).expect("file");
    encode(kept_in(&folder), 1..4);
    let hour = |hours: u64| SystemTime::now() - Duration::from_secs(3600 * hours);
    let age = |file: &Path, hours| File::open(file).expect("file").set_modified(hour(hours)).expect("time");
    files(&folder).iter().for_each(|file| age(file, 2));
    age(&first, 3);
    let left = folder.path().join(".sam-octa2-killed.safetensors");
    fs::write(&left, "half").expect("write");
    age(&left, 48);
    encode(kept_in(&folder), 0..1); // used now
    assert!(!left.exists(), "left by a program that was killed");
    let tight = Settings { features_bytes: 3 * size + 8192, ..kept_in(&folder) };
    encode(tight.clone(), 4..5);
    let ours = || files(&folder).into_iter().filter(|file| *file != foreign).collect::<Vec<_>>();
    let bytes = |files: &[PathBuf]| files.iter().map(|file| fs::metadata(file).expect("file").len()).sum::<u64>();
    assert!(bytes(&ours()) <= tight.features_bytes && ours().len() == 3, "{:?}", ours());
    assert!(first.exists() && foreign.exists());
    assert_eq!(encode(tight, 0..1).encoded_slices(), 0);
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_at_once() {
    let folder = tempfile::tempdir().expect("folder");
    let error = |settings| Session::new(MODEL.clone(), volume(), settings).err().expect("refused").to_string();
    let file = folder.path().join("file");
    fs::write(&file, "").expect("write");
    for path in [file.clone(), file.join("below")] {
        let text = error(Settings { features: Some(path.clone()), ..Settings::default() });
        assert!(text.starts_with(&path.display().to_string()) && text.contains("name another folder"), "{text}");
    }
    let text = error(Settings { features_bytes: 100, ..kept_in(&folder) });
    assert!(text.contains("features of one slice take") && text.contains("100 are allowed"), "{text}");
}

#[test]
fn a_folder_that_goes_away_stops_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let inside = folder.path().join("features");
    let settings = Settings { features: Some(inside.clone()), ..Settings::default() };
    let mut session = Session::new(MODEL.clone(), volume(), settings).expect("session");
    session.encode(0).expect("encode");
    fs::remove_dir_all(&inside).expect("remove");
    fs::write(&inside, "in its place").expect("write");
    (1..3).for_each(|frame| session.encode(frame).expect("encode"));
    let reply = session.describe().unwrap().features.expect("features");
    assert!(reply.problem.is_some_and(|problem| problem.contains("features")));
    assert_eq!(session.encoded_slices(), 3);
}

#[test]
fn sessions_side_by_side_share_a_folder() {
    let folder = tempfile::tempdir().expect("folder");
    let all: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| run(&MODEL, kept_in(&folder)).0)).collect();
        threads.into_iter().map(|thread| thread.join().expect("thread")).collect()
    });
    assert!(all.iter().all(|masks| same(masks, &all[0])));
    assert_eq!(run(&MODEL, kept_in(&folder)).1, 0);
    assert_eq!(files(&folder).len(), FRAMES, "no temporary files are left");
}
