//! What objects are, beside a label file that cannot say it: a label description file of ITK-SNAP, which 3D Slicer and other viewers read, too.
//!
//! Format: the comment that ITK-SNAP writes into its own files (`SaveLabelDescriptions`): number, red, green, blue, opacity, shown in slices, shown in
//! 3-D, name in quotes.

use super::{LabelOptions, check_output, write_text};
use crate::Result;
use crate::volume::Labels;
use std::path::{Path, PathBuf};

const HEAD: &str = "################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################
    0     0    0    0        0  0  0    \"Clear Label\"
";

/// Writes `NAME.label.txt` beside `NAME.nii.gz` where something is known about an object in `labels`.
pub(super) fn write_beside(labels: &Labels, path: &Path, options: &LabelOptions) -> Result<()> {
    if options.segments.is_empty() {
        return Ok(());
    }
    let table = beside(path);
    options.seg.as_ref().map_or(Ok(()), |seg| check_output(&seg.source, &table))?;
    let mut text = HEAD.to_owned();
    for object in labels.objects() {
        let segment = options.segment_of(object);
        let [red, green, blue] = segment.colour_of(object).0;
        let shown = u8::from(!segment.hidden);
        let name = segment.label_of(object).replace('"', "'");
        text.push_str(&format!("{object:5} {red:5} {green:4} {blue:4}        1  {shown}  {shown}    \"{name}\"\n"));
    }
    write_text(table, &text)
}

/// `labels.label.txt` beside `labels.nii.gz`
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let lower = name.to_lowercase();
    let stem = [".nii.gz", ".nii"].into_iter().find_map(|ending| lower.strip_suffix(ending)).map_or(0, str::len);
    path.with_file_name(format!("{}.label.txt", name.get(..stem).unwrap_or(&name)))
}
