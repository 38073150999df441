//! Interactions that several protocols share.

use super::refusal::{Answer, Refusal};
use super::work::Step;

/// A box: first index and the one behind the last, of slices, rows and columns. It must lie on one slice.
pub fn bounds(step: &mut Step<'_>, object: u32, bounds: [[i64; 2]; 3], positive: bool) -> Answer<Vec<usize>> {
    let [[from, to], rows, columns] = bounds;
    if bounds.iter().any(|[from, to]| from >= to) {
        return Err(Refusal::bad("the box is empty"));
    }
    if to.checked_sub(from) != Some(1) {
        return Err(Refusal::bad(
            "a box must lie on one slice of the stack (its first axis); draw it in the view that shows the slices",
        ));
    }
    if !positive {
        return Err(Refusal::bad("a box cannot take away; use clicks, a scribble or an outline for that"));
    }
    let frame = step.check([from, rows[0], columns[0]])?[0];
    step.check([from, rows[1] - 1, columns[1] - 1])?;
    let corners = [columns[0], rows[0], columns[1] - 1, rows[1] - 1].map(|at| at as f64);
    step.bounds(object, frame, corners).map(|frame| vec![frame])
}
