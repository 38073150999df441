//! What the columns of a table are, and in which units. Measurements have the names of docs/measurements.md.

/// Description and unit by name.
const KNOWN: [(&str, &str, &str); 27] = [
    ("case", "name of the case", ""),
    ("status", "done, failed, or missing", ""),
    ("reason", "why it failed", ""),
    ("volume", "the file or folder that was read", ""),
    ("seconds", "time from reading the input to the script's end", "s"),
    ("peak_memory_mb", "most memory that was resident meanwhile", "MB"),
    ("eye", "which eye", ""),
    ("field", "width of the slices", "mm"),
    ("objects", "objects that were found", ""),
    ("voxels", "voxels of all objects", ""),
    ("lost_objects", "objects that were followed and have no mask on some slices", ""),
    ("empty_answers", "prompts whose answer has no pixel", ""),
    ("lowest_iou", "the lowest predicted IoU of a mask that was followed", ""),
    (
        "signal",
        "contrast of vessels in the projection: difference of the two classes of Otsu's threshold over the spread of the darker one",
        "",
    ),
    (
        "motion",
        "largest step between neighbouring lines of the projection, in robust standard deviations of all steps",
        "",
    ),
    ("faz_area_mm2", "area of the foveal avascular zone, projected", "mm²"),
    ("faz_perimeter_crofton_mm", "perimeter of the foveal avascular zone (Crofton)", "mm"),
    ("faz_circularity_crofton", "4πA/P² of the foveal avascular zone", ""),
    ("faz_axis_ratio", "major over minor axis of the foveal avascular zone", ""),
    ("vessel_area_density", "share of the picture that is vessel", ""),
    ("skeleton_density", "share of the picture that is skeleton", ""),
    ("length_density_per_mm", "length of centre lines over area", "1/mm"),
    ("calibre_um", "mean diameter of vessels", "µm"),
    ("tortuosity_mean", "arc over chord of branches, mean", ""),
    ("branch_points_per_mm2", "branch points over area", "1/mm²"),
    ("fractal_skeleton", "box-counting dimension of the skeleton", ""),
    ("kind", "kind of the sample", ""),
];

/// Units by the end of a name, longest first.
const ENDINGS: [(&str, &str); 8] = [
    ("_per_mm2", "1/mm²"),
    ("_per_mm", "1/mm"),
    ("_mm3", "mm³"),
    ("_mm2", "mm²"),
    ("_mm", "mm"),
    ("_um", "µm"),
    ("_seconds", "s"),
    ("_mb", "MB"),
];

/// Description and unit of a column; both empty where nothing is known.
pub fn of(name: &str) -> (&'static str, &'static str) {
    if let Some((_, description, unit)) = KNOWN.iter().find(|(known, ..)| *known == name) {
        return (description, unit);
    }
    ("", ENDINGS.iter().find(|(ending, _)| name.ends_with(ending)).map_or("", |(_, unit)| unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_follow_from_names() {
        assert_eq!(of("faz_area_mm2").1, "mm²");
        assert_eq!(of("inner.length_per_mm").1, "1/mm");
        assert_eq!(of("group"), ("", ""));
    }
}
