//! A session that was saved goes on as if nothing had happened; bytes that are no such session are refused.

use super::*;
use sam_octa2_core::Result;
use sam_octa2_core::session::{Compat, Marks, Mask};
use sam_octa2_core::volume::FrameSource;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Mutex;

/// Everything that a session can hold: points, a box, masks, history, a correction (remembered, and not yet), an object without masks
/// elsewhere, slices tracked in both directions.
fn work(mut session: Session) -> Session {
    session.add_points(3, 7, &click(24.5, 29.0, true)).expect("click");
    session.add_points(3, 7, &click(60.0, 60.0, false)).expect("click");
    session.add_box(4, 2, [10.1, 10.0, 50.0, 50.0]).expect("box");
    follow(&mut session, Range { direction: "both".parse().expect("both"), ..Range::default() });
    session.add_points(6, 7, &click(80.3, 60.0, false)).expect("correction");
    follow(&mut session, Range { start: Some(6), max_frames: Some(1), ..Range::default() });
    session.add_points(1, 7, &click(33.0, 31.0, true)).expect("a correction without memory yet");
    session.add_mask(5, 1, drawn()).expect("mask");
    let mixed = Marks { mask: Some(drawn()), bounds: Some([5.0, 5.0, 60.0, 70.0]), ..Marks::default() };
    session.prompt(5, 1, mixed).expect("mixture");
    session
}

fn drawn() -> Mask {
    let inside = |i: usize| (18..41).contains(&(i / COLUMNS)) && (19..41).contains(&(i % COLUMNS));
    Mask { rows: ROWS, columns: COLUMNS, pixels: (0..ROWS * COLUMNS).map(inside).collect() }
}

fn with(settings: Settings) -> Session {
    Session::new(MODEL.clone(), volume(), settings).expect("session")
}

fn back(session: &Session, bytes: &[u8]) -> Result<Session> {
    Session::restore(session.model().clone(), session.volume().clone(), bytes, Settings::default())
}

/// The same prompts, and on every slice the same numbers.
fn assert_same(a: &Session, b: &Session, when: &str) {
    assert_eq!(a.objects(), b.objects(), "{when}");
    assert_eq!(a.windows(), b.windows(), "{when}");
    for object in a.objects() {
        assert_eq!(a.frames_of(object), b.frames_of(object), "{when}");
        assert_eq!(a.prompted_frames(object), b.prompted_frames(object), "{when}");
        for frame in 0..FRAMES {
            assert_eq!(a.prompts(frame, object), b.prompts(frame, object), "{when}");
        }
        for frame in a.frames_of(object) {
            let [one, other] = [a, b].map(|session| session.mask(frame, object).expect("mask"));
            assert!(one.logits.equal(&other.logits), "{when}: object {object} on slice {frame}");
            assert_eq!((one.iou, one.object_score), (other.iou, other.object_score), "{when}");
        }
    }
    assert_eq!(a.labels().expect("labels"), b.labels().expect("labels"), "{when}");
}

/// The same further work on both, compared after every step.
fn assert_same_future(mut a: Session, mut b: Session) {
    type Step = (&'static str, fn(&mut Session) -> Result<()>);
    let steps: [Step; 7] = [
        ("a click", |session| session.add_points(6, 2, &click(40.0, 20.0, true)).map(drop)),
        ("a prompt removed", |session| session.remove_last_prompt(3, 7)),
        ("propagation", |session| {
            session.propagate(Range { direction: "both".parse()?, ..Range::default() }, |_| Ok(Flow::Continue))
        }),
        ("clearing a correction", |session| session.clear_slice(6, 7)),
        ("a mixture removed", |session| session.remove_last_prompt(5, 1)),
        ("removing", |session| session.remove_object(2)),
        ("propagation again", |session| session.propagate(Range::default(), |_| Ok(Flow::Continue))),
    ];
    assert_same(&a, &b, "at first");
    for (when, step) in steps {
        assert_eq!(step(&mut a).map_err(|e| e.to_string()), step(&mut b).map_err(|e| e.to_string()), "{when}");
        assert_same(&a, &b, when);
    }
}

#[test]
fn a_restored_session_goes_on_bit_for_bit() {
    let session = work(session());
    let bytes = session.save().expect("save");
    assert!(bytes == session.save().expect("save"), "twice the same bytes");
    let restored = back(&session, &bytes).expect("restore");
    assert_eq!(restored.encoded_slices(), 0, "nothing is computed");
    assert!(bytes == restored.save().expect("save"), "and again from the restored one");
    assert_same_future(session, restored);
}

#[test]
fn so_does_one_in_the_reference_s_manner() {
    let session = work(with(Settings { compat: Compat::Reference, ..Settings::default() }));
    let restored = back(&session, &session.save().expect("save")).expect("restore");
    assert_same_future(session, restored);
}

#[test]
fn so_does_one_whose_memories_lie_in_the_file() {
    let own = volume();
    let Voxels::U8(voxels) = &*own.voxels().expect("voxels") else { unreachable!() };
    let tall = Volume::new([2 * FRAMES, ROWS, COLUMNS, 1], voxels.repeat(2).into(), Geometry::unknown(), "stack");
    let tall = Arc::new(tall.expect("volume"));
    let tight = Settings { feature_cache_bytes: 0, state_bytes: 1 << 10, ..Settings::default() };
    let on = |settings: Settings| work(Session::new(MODEL.clone(), tall.clone(), settings).expect("session"));
    let mut session = on(tight.clone());
    assert!(session.bytes().1 > 0);
    let bytes = session.save().expect("save");
    assert!(bytes == on(Settings::default()).save().expect("save"), "budgets leave no trace");
    let mut restored = Session::restore(MODEL.clone(), tall.clone(), &bytes, tight).expect("restore");
    let (live, file) = restored.bytes();
    assert!(file > 0 && live < bytes.len() / 2, "{live} bytes in memory, {file} in the file");
    assert_same(&session, &restored, "restored");
    for session in [&mut session, &mut restored] {
        session.remove_last_prompt(1, 7).expect("removed");
        follow(session, Range { start: Some(12), max_frames: Some(2), ..Range::default() });
    }
    assert_same(&session, &restored, "further on");
}

#[test]
fn so_does_one_in_half_precision_with_rounded_memories() {
    let tensors = weights::read(data("mini21.pt")).expect("weights").tensors;
    let model = Model::new(Params::from_tensors(tensors, Device::Cpu, Kind::BFloat16), MODEL.config().clone());
    let settings = Settings {
        memory_kind: Some(Kind::Half),
        intensity: "slice:1%,98.7%".parse().expect("window"),
        ..Settings::default()
    };
    let session = work(Session::new(Arc::new(model.expect("model")), volume(), settings).expect("session"));
    assert_eq!(session.model().fingerprint(), MODEL.fingerprint(), "the precision does not rename a model");
    let bytes = session.save().expect("save");
    let restored = back(&session, &bytes).expect("restore");
    let answers = session.labels().expect("labels");
    assert_same_future(session, restored);
    // by a model of another precision it is converted: the same answers, and it goes on
    let mut converted = Session::restore(MODEL.clone(), volume(), &bytes, Settings::default()).expect("converted");
    assert_eq!(converted.labels().expect("labels").data, answers.data);
    converted.propagate(Range::default(), |_| Ok(Flow::Continue)).expect("propagation");
}

#[test]
fn an_empty_session_can_be_saved() {
    let session = session();
    let restored = back(&session, &session.save().expect("save")).expect("restore");
    assert_same(&session, &restored, "empty");
}

fn error(result: Result<Session>) -> String {
    let error = result.err().expect("an error").to_string();
    assert!(!error.starts_with("libtorch") && error.lines().count() == 1, "{error}");
    error
}

#[test]
fn other_bytes_are_refused() {
    let session = work(session());
    let bytes = session.save().expect("save");
    let refused = |bytes: &[u8]| error(back(&session, bytes));
    assert!(refused(&[]).contains("empty"));
    assert!(refused(b"SAMX").contains("not a saved session"));
    assert!(refused(&std::fs::read(data("mini21.pt")).expect("file")).contains("not a saved session"));
    for length in [1, 8, 11, 12, 43, 44, 51, 52, 1000, bytes.len() / 2, bytes.len() - 1] {
        assert!(refused(&bytes[..length]).contains("cut short"), "{length} bytes");
    }
    for at in (44..bytes.len()).step_by(bytes.len() / 40).chain(12..44) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let error = refused(&damaged);
        assert!(error.contains("damaged") || error.contains("cut short"), "byte {at}: {error}");
    }
    let mut newer = bytes.clone();
    newer[8] = 3;
    assert!(refused(&newer).contains("newer program (format 3"));
    newer[8] = 1;
    assert!(refused(&newer).contains("format 1, from before the first release"));
    newer[8] = 0;
    assert!(refused(&newer).contains("damaged"));
}

#[test]
fn another_model_or_volume_is_refused() {
    let bytes = work(session()).save().expect("save");
    let on = |model: &Arc<Model>, volume: Volume| {
        error(Session::restore(model.clone(), Arc::new(volume), &bytes, Settings::default()))
    };
    let built = |change: fn(&mut weights::Tensors, &mut ModelConfig)| {
        let mut tensors = weights::read(data("mini21.pt")).expect("weights").tensors;
        let mut config = MODEL.config().clone();
        change(&mut tensors, &mut config);
        Arc::new(Model::new(Params::from_tensors(tensors, Device::Cpu, Kind::Float), config).expect("model"))
    };
    let same = built(|tensors, _| tensors.values_mut().for_each(|tensor| *tensor = tensor.to_kind(Kind::Double)));
    assert_eq!(same.fingerprint(), MODEL.fingerprint());
    let trained = built(|tensors, _| {
        let tensor = tensors.get_mut("no_mem_embed").expect("parameter");
        *tensor = &*tensor + 1e-4;
    });
    assert!(on(&trained, (*volume()).clone()).contains("another model"));
    let configured = built(|_, config| config.non_overlap_masks = true);
    assert!(on(&configured, (*volume()).clone()).contains("another model"));

    let own = volume();
    let Voxels::U8(voxels) = own.voxels().expect("voxels").into_owned() else { unreachable!() };
    let changed = |shape: [usize; 4], voxels: Voxels, geometry: Geometry| {
        on(&MODEL, Volume::new(shape, voxels, geometry, "stack").expect("volume"))
    };
    let unknown = Geometry::unknown;
    let shorter = changed([FRAMES - 1, ROWS, COLUMNS, 1], Voxels::U8(voxels[ROWS * COLUMNS..].to_vec()), unknown());
    assert!(shorter.contains("of shape [8, 72, 100, 1]; this one is [7, 72, 100, 1]"), "{shorter}");
    let mut others = voxels.clone();
    others[3 * ROWS * COLUMNS] ^= 1;
    assert!(changed(own.shape(), Voxels::U8(others), unknown()).contains("voxels, their type or their place"));
    let wide = Voxels::U16(voxels.iter().map(|&v| v.into()).collect());
    assert!(changed(own.shape(), wide, unknown()).contains("their type"));
    let moved = Geometry::from_spacing([1.0, 1.0, 2.0], true);
    assert!(changed(own.shape(), Voxels::U8(voxels), moved).contains("their place"));
}

/// Slices of the test volume in 16 bits, counted as they are read.
struct Counting {
    volume: Arc<Volume>,
    reads: Mutex<Vec<usize>>,
}

impl FrameSource for Counting {
    fn frame(&self, frame: usize) -> Result<Voxels> {
        self.reads.lock().expect("reads").push(frame);
        Ok(Voxels::U16(self.volume.frame(frame)?.to_f32().into_iter().map(|v| v as u16 * 9).collect()))
    }

    fn dtype(&self) -> &'static str {
        "uint16"
    }
}

#[test]
fn of_a_lazy_volume_only_the_prompted_slices_are_read() {
    let source = Arc::new(Counting { volume: volume(), reads: Mutex::default() });
    let lazy = Arc::new(Volume::lazy(source.volume.shape(), source.clone(), Geometry::unknown(), "test"));
    let mut session = Session::new(MODEL.clone(), lazy, Settings::default()).expect("session");
    session.add_points(5, 1, &click(24.5, 29.0, true)).expect("click");
    session.add_points(2, 2, &click(24.5, 29.0, true)).expect("click");
    let bytes = session.save().expect("save");
    source.reads.lock().expect("reads").clear();
    let restored = back(&session, &bytes).expect("restore");
    assert_eq!(*source.reads.lock().expect("reads"), [2, 5], "no percentiles are taken again");
    assert_same(&session, &restored, "restored");
}

/// A saved session with another header (tensors and document), and a checksum that fits.
fn forged(bytes: &[u8], change: impl FnOnce(&mut Value, &mut Value)) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[44..52].try_into().expect("length")) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[52..52 + length]).expect("header");
    let text = header["__metadata__"]["session"].as_str().expect("document").to_owned();
    let mut document: Value = serde_json::from_str(&text).expect("document");
    change(&mut header, &mut document);
    header["__metadata__"]["session"] = json!(document.to_string());
    let header = header.to_string();
    let payload = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes[52 + length..]].concat();
    signed(&payload)
}

fn signed(payload: &[u8]) -> Vec<u8> {
    [b"SAMOCTA2".as_slice(), &2u32.to_le_bytes(), &Sha256::digest(payload), payload].concat()
}

#[test]
fn a_forged_session_is_refused() {
    let mut session = session();
    session.add_points(3, 7, &click(24.5, 29.0, true)).expect("click");
    let bytes = session.save().expect("save");
    assert_same(&session, &back(&session, &forged(&bytes, |_, _| {})).expect("unchanged"), "unchanged");
    let refused = |change: &dyn Fn(&mut Value, &mut Value)| error(back(&session, &forged(&bytes, change)));
    type Change = fn(&mut Value, &mut Value);
    let cases: [(Change, &str); 21] = [
        (|_, session| session["objects"][0]["id"] = json!(0), "object number 0"),
        (|_, session| session["present"] = json!([0, 0]), "object number 7 comes twice"),
        (|_, session| session["present"] = json!([3]), "no object 3"),
        (|_, session| session["objects"][0]["pending"]["99"] = json!([0, true]), "slice 99 does not exist"),
        (|_, session| session["objects"][0]["visited"]["8"] = json!(true), "slice 8 does not exist"),
        (|_, session| session["objects"][0]["tracked"] = json!({"4": [0, 0]}), "there is no memory 0"),
        (|_, session| session["objects"][0]["pending"]["3"] = json!([1, true]), "there is no answer 1"),
        (|_, session| session["counts"] = json!([1u64 << 60, 0]), "output.1.low_res is missing"),
        (
            |_, session| {
                session["counts"] = json!([0, 0]);
                session["objects"][0]["pending"] = json!({});
            },
            "belong to nothing",
        ),
        (|_, session| session["past"] = json!([[], []]), "its history is none"),
        (|_, session| session["done"] = json!([1]), "its history is none"),
        (|_, session| session["objects"][0]["prompts"]["3"]["history"] = json!([]), "no prompt"),
        (|_, session| session["objects"][0]["prompts"]["3"]["history"] = json!([4]), "no marks 4"),
        (|_, session| session["marks"][0]["mask"] = json!(true), "mask.0 is missing"),
        (|_, session| session["marks"][0]["points"][0] = json!([f32::NAN.to_bits(), 0, 1]), "lies outside"),
        (|_, session| session["window"] = Value::Null, "window is missing"),
        (|_, session| session["intensity"] = json!("slice:1%,500%"), "none of auto"),
        (|_, session| session["more"] = json!(1), "unknown field"),
        (|header, _| header["output.0.score"]["shape"] = json!([1]), "output.0.score has the shape [1]"),
        (|header, _| header["output.0.score"]["dtype"] = json!("I32"), "the type I32"),
        (|header, _| header["output.0.iou"]["shape"] = json!([1u64 << 62, 1u64 << 62]), "damaged"),
    ];
    for (change, expected) in cases {
        let error = refused(&change);
        assert!(error.contains(expected), "{error} instead of {expected}");
    }
    let refused = |payload: &[u8]| error(back(&session, &signed(payload)));
    assert!(refused(&[]).contains("damaged"));
    assert!(refused(&u64::MAX.to_le_bytes()).contains("damaged"));
    assert!(refused(&[&2u64.to_le_bytes()[..], b"{}"].concat()).contains("document is missing"));
    let deep = "[".repeat(100_000);
    assert!(refused(&[&(deep.len() as u64).to_le_bytes()[..], deep.as_bytes()].concat()).contains("damaged"));
}

#[test]
fn no_change_of_a_header_makes_it_panic() {
    let session = work(session());
    let bytes = session.save().expect("save");
    let length = u64::from_le_bytes(bytes[44..52].try_into().expect("length")) as usize;
    let mut state = 88172645463325252u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for _ in 0..400 {
        let mut payload = bytes[44..].to_vec();
        for _ in 0..1 + random(3) {
            payload[random(8 + length)] = b"0123456789\"{}[],:-e."[random(20)];
        }
        if let Err(error) = back(&session, &signed(&payload)) {
            let error = error.to_string();
            assert!(!error.starts_with("libtorch"), "{error}");
        }
    }
}
