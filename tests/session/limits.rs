//! Memory stays within its budget, bad prompts change nothing, other types of voxels and numbers work.

use super::*;
use sam_octa2_core::guard::guard;
use sam_octa2_core::volume::FrameSource;

fn is_send<T: Send>(_: &T) {}

#[test]
fn a_session_may_move_to_another_thread() {
    let mut session = session();
    is_send(&session);
    let mask = std::thread::spawn(move || session.add_points(0, 1, &click(24.5, 29.0, true)).map(|mask| mask.object));
    assert_eq!(mask.join().expect("thread").expect("click"), 1);
}

#[test]
fn a_small_budget_changes_no_bit() {
    let run = |settings: Settings| {
        let mut session = Session::new(MODEL.clone(), tall(), settings).expect("session");
        session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click");
        follow(&mut session, Range::default());
        session.add_points(1, 1, &click(70.0, 40.0, false)).expect("a correction on a slice long parked");
        follow(&mut session, Range::default());
        session
    };
    let roomy = run(Settings::default());
    let tight = run(Settings { feature_cache_bytes: 0, state_bytes: 1 << 10, ..Settings::default() });
    for frame in 0..roomy.volume().frames {
        assert!(logits(&roomy, frame, 1).equal(&logits(&tight, frame, 1)), "slice {frame}");
    }
    let (live, file) = tight.bytes();
    assert!(file > 0 && live * 2 < roomy.bytes().0, "{live} bytes in memory, {file} in the file");
}

/// A stack of 24 slices.
fn tall() -> Arc<Volume> {
    let volume = volume();
    let Voxels::U8(voxels) = &*volume.voxels().expect("voxels") else { unreachable!() };
    let voxels = Voxels::U8(voxels.repeat(3));
    Arc::new(Volume::new([3 * FRAMES, ROWS, COLUMNS, 1], voxels, Geometry::unknown(), "stack").expect("volume"))
}

#[test]
fn bad_prompts_are_refused_and_change_nothing() {
    let mut session = session();
    let before = session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click").logits;
    let error = |session: &mut Session, frame, object, points: &[Point]| {
        session.add_points(frame, object, points).unwrap_err().to_string()
    };
    assert!(error(&mut session, 8, 1, &click(1.0, 1.0, true)).contains("slice 8 does not exist"));
    assert!(error(&mut session, 0, 1, &click(101.0, 1.0, true)).contains("point (101, 1) lies outside"));
    assert!(error(&mut session, 0, 1, &click(f32::NAN, 1.0, true)).contains("lies outside"));
    assert!(error(&mut session, 0, 0, &click(1.0, 1.0, true)).contains("between 1 and 65535"));
    assert!(error(&mut session, 0, 1, &[]).contains("needs points"));
    assert!(
        session.add_box(0, 1, [50.0, 10.0, 20.0, 40.0]).unwrap_err().to_string().contains("left, top, right, bottom")
    );
    let small = sam_octa2_core::session::Mask { rows: 2, columns: 2, pixels: vec![true; 4] };
    assert!(session.add_mask(0, 1, small).unwrap_err().to_string().contains("2 wide and 2 high"));
    assert_eq!(session.objects(), [1]);
    assert_eq!(session.prompts(0, 1).len(), 1);
    assert!(logits(&session, 0, 1).equal(&before));
}

#[test]
fn sixteen_bits_are_not_squeezed_to_eight() {
    let volume = volume();
    let Voxels::U8(voxels) = &*volume.voxels().expect("voxels") else { unreachable!() };
    let run = |voxels: Vec<u16>| {
        let volume =
            Volume::new([FRAMES, ROWS, COLUMNS, 1], Voxels::U16(voxels), Geometry::unknown(), "stack").expect("volume");
        let mut session = Session::new(MODEL.clone(), Arc::new(volume), Settings::default()).expect("session");
        session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click").logits
    };
    let coarse = run(voxels.iter().map(|&v| u16::from(v) * 256).collect());
    let fine = run(voxels.iter().enumerate().map(|(i, &v)| u16::from(v) * 256 + (i % 251) as u16).collect());
    assert!(!coarse.equal(&fine), "the low byte counts");
}

#[test]
fn half_precision_gives_nearly_the_same_mask() {
    let tensors = || weights::read(data("mini21.pt")).expect("weights").tensors;
    let config = ModelConfig::from_file(data("mini21.yaml")).expect("configuration");
    let mut exact = session();
    let exact = exact.add_points(0, 1, &click(24.5, 29.0, true)).expect("click").logits.gt(0.0);
    for kind in [Kind::BFloat16, Kind::Half] {
        let model =
            guard(|| Model::new(Params::from_tensors(tensors(), Device::Cpu, kind), config.clone())).expect("model");
        let mut session = Session::new(Arc::new(model), volume(), Settings::default()).expect("session");
        let mask = session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click").logits;
        assert_eq!(mask.kind(), Kind::Float);
        let flips = mask.gt(0.0).logical_xor(&exact).to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
        println!("{kind:?}: {:.3} % of the pixels differ", 100.0 * flips);
        assert!(flips < 0.03, "{kind:?}: {flips}");
        assert_eq!(follow(&mut session, Range::default()).len(), FRAMES);
    }
}

/// Slices of the test volume, counted as they are read.
pub struct Counting {
    pub volume: Arc<Volume>,
    pub reads: std::sync::Mutex<Vec<usize>>,
}

impl FrameSource for Counting {
    fn frame(&self, frame: usize) -> sam_octa2_core::Result<Voxels> {
        self.reads.lock().expect("reads").push(frame);
        self.volume.frame(frame)
    }

    fn dtype(&self) -> &'static str {
        self.volume.dtype()
    }
}

#[test]
fn a_lazy_volume_is_read_slice_by_slice_and_gives_the_same_masks() {
    let source = Arc::new(Counting { volume: volume(), reads: Default::default() });
    let lazy = Volume::lazy(source.volume.shape(), source.clone(), Geometry::unknown(), "test");
    let mut lazy = Session::new(MODEL.clone(), Arc::new(lazy), Settings::default()).expect("session");
    assert_eq!(
        *source.reads.lock().expect("reads"),
        [0],
        "the first value above 1 says that this is no volume of 0 and 1"
    );
    let mask = lazy.add_points(3, 1, &click(24.5, 29.0, true)).expect("click").logits;
    assert_eq!(*source.reads.lock().expect("reads"), [0, 3]);
    let mut whole = session();
    assert!(mask.equal(&whole.add_points(3, 1, &click(24.5, 29.0, true)).expect("click").logits));
    follow(&mut lazy, Range { max_frames: Some(2), ..Range::default() });
    assert_eq!(*source.reads.lock().expect("reads"), [0, 3, 4, 5]);
}

#[test]
fn whole_numbers_are_centres_of_pixels() {
    let mut session = session();
    let (right, bottom) = (COLUMNS as f32, ROWS as f32);
    for [x, y] in [[-0.5, -0.5], [right - 0.5, bottom - 0.5], [right, bottom]] {
        session.add_points(0, 1, &click(x, y, true)).expect("a pixel reaches half a pixel to all sides");
    }
    session.add_box(0, 2, [-0.5, -0.5, right - 0.5, bottom - 0.5]).expect("the whole slice by its pixels");
    session.add_box(0, 3, [0.0, 0.0, right, bottom]).expect("the whole slice by its edges");
    let error = session.add_points(0, 1, &click(-0.6, 1.0, true)).unwrap_err().to_string();
    assert!(error.contains("point (-0.6, 1) lies outside"), "{error}");
}
