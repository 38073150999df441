//! 3D Slicer's segmentations (`.seg.nrrd`): label volumes whose header names the segments.
//!
//! Described at <https://slicer.readthedocs.io/en/latest/user_guide/modules/segmentations.html>, "Segmentation labelmap file format": segments
//! that overlap lie in layers, the fastest axis of the array.

use super::grid::Grid;
use super::header::Header;
use crate::io::OpenOptions;
use crate::volume::Labels;
use crate::{Error, Result, with_voxels};
use std::path::Path;

/// more segments than a person makes
const MOST: usize = 1 << 16;

/// One segment as the header describes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredSegment {
    /// words for people
    pub name: String,
    /// the value of its voxels in its layer
    pub value: u64,
    /// which layer
    pub layer: u64,
}

/// The object number and the name of each segment that the file describes; of an ordinary NRRD file none.
pub(crate) fn names(path: &Path) -> Result<Vec<(u16, String)>> {
    let segments = described(path, &Header::read(path)?)?;
    Ok(objects(&segments).into_iter().zip(segments).map(|(object, segment)| (object, segment.name)).collect())
}

fn described(path: &Path, header: &Header) -> Result<Vec<StoredSegment>> {
    let mut segments = Vec::new();
    for index in 0..MOST {
        let get = |key: &str| header.pair(&format!("Segment{index}_{key}"));
        let Some(id) = get("ID").or(get("Name")) else { break };
        let number = |key: &str, otherwise: u64| match get(key) {
            None => Ok(otherwise),
            Some(text) => text.trim().parse().map_err(|_| {
                let text: String = text.chars().take(40).collect();
                Error::format(path, format!("says {key} {text:?} of segment {id:?}, which is no number from 0 on"))
            }),
        };
        let name = get("Name").unwrap_or(id).to_owned();
        segments.push(StoredSegment { name, value: number("LabelValue", 1)?, layer: number("Layer", 0)? });
    }
    Ok(segments)
}

/// Reads the labels of a segmentation; `None` for an NRRD file without segments. An object has the value of its segment; where
/// segments of several layers share values, they are numbered from 1 in their order.
/// Errors: segments that overlap, for labels have one number per voxel.
pub(crate) fn read(path: &Path) -> Result<Option<Labels>> {
    let header = Header::read(path)?;
    let segments = described(path, &header)?;
    let grid = Grid::of(path, &header)?;
    let layers = grid.components.saturating_mul(grid.volumes);
    if segments.is_empty() || (layers == 1 && segments.iter().all(|segment| segment.layer == 0)) {
        return Ok(None);
    }
    let objects = objects(&segments);
    let mut labels: Option<Labels> = None;
    for layer in 0..layers {
        let mine: Vec<(u64, u16)> = segments
            .iter()
            .zip(&objects)
            .filter(|(one, _)| one.layer == layer)
            .map(|(one, &object)| (one.value, object))
            .collect();
        let volume = super::stored(path, &header, &grid, layer)?.0.read(&OpenOptions::default())?;
        let labels = labels.get_or_insert_with(|| Labels::empty_like(&volume));
        let voxels = volume.voxels()?;
        with_voxels!(&*voxels, values => {
            for (index, &value) in values.iter().enumerate() {
                if value as f64 == 0.0 {
                    continue;
                }
                let Some(&(_, object)) = mine.iter().find(|(own, _)| *own as f64 == value as f64) else { continue };
                let label = &mut labels.data[index];
                if *label != 0 {
                    let [one, other] = [*label, object].map(|number| {
                        objects.iter().position(|&own| own == number).map_or("?", |at| segments[at].name.as_str())
                    });
                    let what = format!("segments {one:?} and {other:?} overlap: labels have one object per voxel");
                    return Err(Error::format(path, what));
                }
                *label = object;
            }
        });
    }
    Ok(labels)
}

/// The object number of each segment.
fn objects(segments: &[StoredSegment]) -> Vec<u16> {
    let own: Vec<u16> = segments.iter().filter_map(|segment| u16::try_from(segment.value).ok()).collect();
    let mut distinct = own.clone();
    distinct.sort_unstable();
    distinct.dedup();
    match distinct.len() == segments.len() && !distinct.contains(&0) {
        true => own,
        false => (1..=segments.len()).map(|number| number.min(usize::from(u16::MAX)) as u16).collect(),
    }
}
