//! Which slices a person should look at first: where two ways of segmenting disagree, where the model is unsure, where an object's size jumps.
//!
//! `first labels (a small network's), final labels (SAM 2's), what propagation heard of every slice -> reviews, the largest expected error first`

use crate::volume::Labels;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What propagation tells of a slice.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SeenSlice {
    /// the slice
    pub frame: usize,
    /// its objects
    pub objects: Vec<SeenObject>,
}

/// What propagation tells of an object on a slice.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct SeenObject {
    /// the object
    pub id: u16,
    /// predicted intersection over union, 0 to 1
    pub iou: f64,
    /// presence logit
    pub score: f64,
}

/// A reason to look at an object on a slice.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Review {
    /// the slice
    pub frame: usize,
    /// the object
    pub object: u16,
    /// 0 (nothing speaks against it) to 1: `1 - (1 - disagreement)(1 - absence)(1 - uncertainty)(1 - jump)`
    pub expected_error: f64,
    /// 1 - Dice of the two labels; 0 where the first labels do not know the object at all
    pub disagreement: f64,
    /// how little the model believes that the object is there, where it has drawn it: `1 - sigmoid(score)`
    pub absence: f64,
    /// 1 - predicted intersection over union
    pub uncertainty: f64,
    /// how far the area is from the mean of the neighbouring slices, as a share of the larger
    pub jump: f64,
}

/// Every object on every slice where either labels have it, the most doubtful first. `seen` may be empty, and `first` may be missing.
/// Errors: labels on different grids; a slice was seen that the labels do not have.
pub fn review(first: Option<&Labels>, labels: &Labels, seen: &[SeenSlice]) -> Result<Vec<Review>> {
    let first = first.map(|first| first.onto(labels.lattice())).transpose();
    let first = first.map_err(|error| Error::invalid(format!("review: {error}")))?;
    let first = first.as_deref();
    if let Some(slice) = seen.iter().find(|slice| slice.frame >= labels.frames) {
        let (frame, frames) = (slice.frame, labels.frames);
        return Err(Error::invalid(format!(
            "review: slice {frame} was seen, the labels have {frames}: another volume's?"
        )));
    }
    let reply: BTreeMap<(usize, u16), SeenObject> =
        seen.iter().flat_map(|slice| slice.objects.iter().map(|object| ((slice.frame, object.id), *object))).collect();
    let known: BTreeSet<u16> = first.map(Labels::objects).unwrap_or_default().into_iter().collect();
    let areas: BTreeMap<u16, Vec<usize>> = labels
        .objects()
        .into_iter()
        .map(|id| (id, (0..labels.frames).map(|frame| area(labels, frame, id)).collect()))
        .collect();
    let objects: BTreeSet<u16> = areas.keys().chain(&known).copied().collect();
    let mut reviews = Vec::new();
    for frame in 0..labels.frames {
        for &object in &objects {
            let here = areas.get(&object).map_or(0, |areas| areas[frame]);
            let before = first.filter(|_| known.contains(&object));
            if here == 0 && before.is_none_or(|first| area(first, frame, object) == 0) {
                continue;
            }
            let disagreement = before.map_or(0.0, |first| 1.0 - dice(first, labels, frame, object));
            let reply = reply.get(&(frame, object)).filter(|_| here > 0);
            let absence = reply.map_or(0.0, |reply| 1.0 / (1.0 + reply.score.exp()));
            let uncertainty = reply.map_or(0.0, |reply| (1.0 - reply.iou).clamp(0.0, 1.0));
            let jump = areas.get(&object).map_or(0.0, |areas| jump(areas, frame));
            let sound: f64 = [disagreement, absence, uncertainty, jump].iter().map(|part| 1.0 - part).product();
            reviews.push(Review {
                frame,
                object,
                expected_error: 1.0 - sound,
                disagreement,
                absence,
                uncertainty,
                jump,
            });
        }
    }
    reviews.sort_by(|a, b| {
        b.expected_error.total_cmp(&a.expected_error).then((a.frame, a.object).cmp(&(b.frame, b.object)))
    });
    Ok(reviews)
}

fn area(labels: &Labels, frame: usize, object: u16) -> usize {
    labels.frame(frame).iter().filter(|&&label| label == object).count()
}

fn dice(a: &Labels, b: &Labels, frame: usize, object: u16) -> f64 {
    let both = a.frame(frame).iter().zip(b.frame(frame)).filter(|(a, b)| **a == object && **b == object).count();
    match area(a, frame, object) + area(b, frame, object) {
        0 => 1.0,
        all => 2.0 * both as f64 / all as f64,
    }
}

/// The first and the last slice have one neighbour; a stack of one slice has none.
fn jump(areas: &[usize], frame: usize) -> f64 {
    let neighbours = [frame.checked_sub(1), Some(frame + 1)].into_iter().flatten().filter_map(|at| areas.get(at));
    let (sum, count) = neighbours.fold((0, 0), |(sum, count), area| (sum + area, count + 1));
    if count == 0 {
        return 0.0;
    }
    let (here, there) = (areas[frame] as f64, sum as f64 / f64::from(count));
    if here.max(there) > 0.0 { (here - there).abs() / here.max(there) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Geometry;

    fn labels(data: Vec<u16>) -> Labels {
        Labels { frames: data.len() / 4, rows: 2, columns: 2, data, geometry: Geometry::unknown() }
    }

    #[test]
    fn what_speaks_against_a_slice_counts() {
        let first = labels(vec![1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0]);
        let after = labels(vec![1, 1, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1]);
        let seen =
            |frame: usize, iou: f64, score: f64| SeenSlice { frame, objects: vec![SeenObject { id: 1, iou, score }] };
        let reviews = review(Some(&first), &after, &[seen(0, 1.0, 30.0), seen(1, 0.9, 30.0)]).unwrap();
        let order: Vec<_> = reviews.iter().map(|expected_error| expected_error.frame).collect();
        assert_eq!(order, [2, 1, 0]);
        assert_eq!((reviews[0].disagreement, reviews[0].jump), (1.0, 0.75));
        assert!((reviews[1].disagreement - 1.0 / 3.0).abs() < 1e-9 && (reviews[1].uncertainty - 0.1).abs() < 1e-9);
        assert!((reviews[2].expected_error - 0.5).abs() < 1e-9, "half of its neighbour's area: {:?}", reviews[2]);
        assert_eq!(review(None, &after, &[]).unwrap().len(), 3);
        assert!(review(Some(&labels(vec![0; 4])), &after, &[]).unwrap_err().to_string().contains("do not fit a grid"));
        let error = review(None, &after, &[seen(3, 1.0, 1.0)]).unwrap_err().to_string();
        assert!(error.contains("slice 3 was seen, the labels have 3"), "{error}");
    }
}
