//! Memory that a viewer lends: whatever its layout, it reads as a volume that was copied, and the viewer gets it back exactly once.

use super::*;
use sam_octa2_core::volume::Dtype;
use std::sync::atomic::{AtomicUsize, Ordering};

/// frames, rows, columns, channels
const SHAPE: [usize; 4] = [3, 4, 5, 1];

/// Counts how often it was given back, and keeps memory alive until then.
struct Owner<M> {
    _memory: M,
    released: Arc<AtomicUsize>,
}

impl<M> Drop for Owner<M> {
    fn drop(&mut self) {
        self.released.fetch_add(1, Ordering::SeqCst);
    }
}

fn counter() -> Arc<AtomicUsize> {
    Arc::new(AtomicUsize::new(0))
}

/// Lends bytes whose first voxel lies at `start`.
fn lend(
    bytes: Vec<u8>,
    start: usize,
    shape: [usize; 4],
    strides: [isize; 4],
    dtype: Dtype,
    released: &Arc<AtomicUsize>,
) -> sam_octa2_core::Result<Volume> {
    check_reach(bytes.len(), start, shape, strides, dtype);
    let data = bytes[start..].as_ptr();
    let owner = Box::new(Owner { _memory: bytes, released: released.clone() });
    // SAFETY: the owner keeps the bytes, and every voxel lies in them
    unsafe { Volume::lent(data, shape, strides, dtype, owner, Geometry::unknown()) }
}

/// The promise of `lend`.
fn check_reach(length: usize, start: usize, shape: [usize; 4], strides: [isize; 4], dtype: Dtype) {
    let reach = |negative: bool| -> isize {
        let steps = shape.iter().zip(strides).map(|(&size, stride)| (size as isize - 1) * stride);
        steps.filter(|step| (*step < 0) == negative).sum()
    };
    assert!(start as isize + reach(true) >= 0);
    assert!(start as isize + reach(false) + dtype.bytes() as isize <= length as isize);
}

/// Strides of voxels that lie one after another in C order.
fn c_order([_, rows, columns, channels]: [usize; 4], size: usize) -> [isize; 4] {
    [rows * columns * channels * size, columns * channels * size, channels * size, size].map(|bytes| bytes as isize)
}

fn numbers() -> Vec<u16> {
    (0..60).map(|i| i * 1001).collect()
}

fn bytes_of(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}

#[test]
fn every_order_reads_as_the_copied_volume() {
    let expected = Voxels::from(numbers());
    let [frames, rows, columns, _] = SHAPE;
    let number = |frame: usize, row: usize, column: usize| numbers()[(frame * rows + row) * columns + column];
    let mut fortran = Vec::new();
    let mut flipped = Vec::new();
    for (a, b, c) in (0..columns).flat_map(|a| (0..rows).flat_map(move |b| (0..frames).map(move |c| (a, b, c)))) {
        fortran.push(number(c, b, a));
    }
    for (a, b, c) in (0..frames).flat_map(|a| (0..rows).flat_map(move |b| (0..columns).map(move |c| (a, b, c)))) {
        flipped.push(number(frames - 1 - a, rows - 1 - b, columns - 1 - c));
    }
    let mut shifted = vec![7; 3]; // no number lies at an even address
    shifted.extend(bytes_of(&numbers()));
    let spaced: Vec<u8> = numbers().iter().flat_map(|v| [v.to_ne_bytes(), [9, 9]].concat()).collect();
    let c = c_order(SHAPE, 2);
    let cases = [
        ("C order", bytes_of(&numbers()), 0, c),
        ("Fortran order", bytes_of(&fortran), 0, [2, 6, 24, 120]),
        ("negative strides", bytes_of(&flipped), 118, c.map(|stride| -stride)),
        ("not aligned", shifted, 3, c),
        ("with gaps", spaced, 0, c.map(|stride| 2 * stride)),
    ];
    for (name, bytes, start, strides) in cases {
        let volume = lend(bytes, start, SHAPE, strides, Dtype::U16, &counter()).expect(name);
        assert_eq!((volume.dtype(), volume.format, volume.shape()), ("uint16", "lent", SHAPE));
        assert_eq!(*volume.voxels().expect(name), expected, "{name}");
        assert_eq!(volume.frame(1).expect(name), expected.part(20..40), "{name}");
        assert!(volume.frame(3).is_err());
    }
}

#[test]
fn one_slice_may_be_lent_as_many_and_colours_may_lie_apart() {
    let volume = lend(bytes_of(&numbers()), 0, [500, 4, 5, 1], [0, 10, 2, 2], Dtype::U16, &counter()).expect("volume");
    assert_eq!(volume.frame(499).expect("slice"), Voxels::from(numbers()[..20].to_vec()));

    // three planes, one after another
    let planes: Vec<u8> = (0..3 * 4).collect();
    let volume = lend(planes, 0, [1, 2, 2, 3], [12, 2, 1, 4], Dtype::U8, &counter()).expect("volume");
    assert_eq!(volume.frame(0).expect("slice"), Voxels::U8(vec![0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]));
    let mixed = lend((0..12).collect(), 0, [1, 2, 2, 3], [12, 6, 3, 1], Dtype::U8, &counter()).expect("volume");
    assert_eq!(mixed.frame(0).expect("slice"), Voxels::U8((0..12).collect()));
}

#[test]
fn every_type_reads_as_the_copied_volume() {
    macro_rules! check {
        ($($element:ty),*) => {$({
            let values: Vec<$element> = (0..60u8).map(|i| (i * 4) as $element / (2 as $element)).collect();
            let bytes = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
            let dtype: Dtype = Voxels::from(values.clone()).dtype().parse().expect("name");
            let strides = c_order(SHAPE, size_of::<$element>());
            let lent = lend(bytes, 0, SHAPE, strides, dtype, &counter()).expect("volume");
            assert_eq!(*lent.voxels().expect("voxels"), Voxels::from(values));
            assert_eq!(lent.dtype(), lent.frame(0).expect("slice").dtype());
        })*};
    }
    check!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);
    let halves = [0x3c00u16, 0xc000, 0x3800].iter().flat_map(|bits| bits.to_ne_bytes()).collect();
    let halves = lend(halves, 0, [1, 1, 3, 1], [6, 6, 2, 2], Dtype::F16, &counter()).expect("volume");
    assert_eq!((halves.dtype(), halves.frame(0).expect("slice")), ("float32", Voxels::F32(vec![1.0, -2.0, 0.5])));
    let bools = lend(vec![0, 1, 255], 0, [1, 1, 3, 1], [3, 3, 1, 1], Dtype::Bool, &counter()).expect("volume");
    assert_eq!((bools.dtype(), bools.frame(0).expect("slice")), ("uint8", Voxels::U8(vec![0, 1, 1])));
    assert!("complex64".parse::<Dtype>().unwrap_err().to_string().contains("uint8, int8"));
}

#[test]
fn memory_is_given_back_once_when_the_last_user_is_gone() {
    let released = counter();
    let volume = lend(bytes_of(&numbers()), 0, SHAPE, c_order(SHAPE, 2), Dtype::U16, &released).expect("volume");
    let clones = [volume.clone(), volume.clone()];
    let session = Session::new(MODEL.clone(), Arc::new(volume), Settings::default()).expect("session");
    drop(clones);
    assert_eq!(released.load(Ordering::SeqCst), 0, "the session still reads it");
    drop(session);
    assert_eq!(released.load(Ordering::SeqCst), 1);
}

#[test]
fn what_cannot_be_is_refused_and_given_back() {
    let bytes = [0u8; 8];
    let far = isize::MAX;
    let cases: [(*const u8, [usize; 4], [isize; 4], &str); 9] = [
        (std::ptr::null(), [1, 1, 1, 1], [1; 4], "null pointer"),
        (bytes.as_ptr(), [0, 1, 1, 1], [1; 4], "at least 1"),
        (bytes.as_ptr(), [1, 1, 0, 1], [1; 4], "at least 1"),
        (bytes.as_ptr(), [1, 1, 1, 4], [1; 4], "1 (grey) or 3 (RGB)"),
        (bytes.as_ptr(), [usize::MAX, 2, 1, 1], [0; 4], "beyond the machine's memory"),
        (bytes.as_ptr(), [1 << 32, 1 << 31, 1, 1], [0; 4], "beyond the machine's memory"),
        (bytes.as_ptr(), [3, 1, 1, 1], [far, 0, 0, 0], "beyond the machine's memory"),
        (bytes.as_ptr(), [3, 1, 1, 1], [isize::MIN, 0, 0, 0], "beyond the machine's memory"),
        (bytes.as_ptr(), [2, 2, 1, 1], [-far, far, 0, 0], "beyond the machine's memory"),
    ];
    for (data, shape, strides, expected) in cases {
        let released = counter();
        let owner = Box::new(Owner { _memory: (), released: released.clone() });
        // SAFETY: refused before anything is read
        let volume = unsafe { Volume::lent(data, shape, strides, Dtype::U8, owner, Geometry::unknown()) };
        let error = volume.expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(released.load(Ordering::SeqCst), 1, "{error}");
    }
}

#[test]
fn a_session_on_lent_memory_gives_the_same_masks() {
    let own = volume();
    let Voxels::U8(voxels) = &*own.voxels().expect("voxels") else { unreachable!() };
    let lent = lend(voxels.clone(), 0, own.shape(), c_order(own.shape(), 1), Dtype::U8, &counter()).expect("volume");
    let mut lent = Session::new(MODEL.clone(), Arc::new(lent), Settings::default()).expect("session");
    let mask = lent.add_points(2, 1, &click(24.5, 29.0, true)).expect("click").logits;
    assert!(mask.equal(&session().add_points(2, 1, &click(24.5, 29.0, true)).expect("click").logits));
}

/// Runs by itself in a process of its own, because other tests need memory, too.
#[test]
fn one_slice_of_a_large_loan_costs_one_slice() {
    const ALONE: &str = "SAM_OCTA2_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let name = "lent::one_slice_of_a_large_loan_costs_one_slice";
        let program = std::env::current_exe().expect("program");
        let status = std::process::Command::new(program).args(["--exact", name]).env(ALONE, "1").status();
        assert!(status.expect("run").success());
        return;
    }
    let shape = [256, 1024, 1024, 1];
    let bytes = vec![1u8; 256 << 20];
    let before = peak_kb();
    let volume = lend(bytes, 0, shape, c_order(shape, 1), Dtype::U8, &counter()).expect("volume");
    assert_eq!(volume.frame(200).expect("slice").len(), 1 << 20);
    let grown = peak_kb() - before;
    assert!(before > 256 << 10 && grown < 16 << 10, "{grown} KB more than {before}");
}

/// Most memory that this process ever had.
fn peak_kb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("VmHWM");
    line.split_whitespace().nth(1).expect("number").parse().expect("number")
}
