//! Maps in which every vessel has a colour, as people draw them: `picture -> labels -> picture`.

use super::check_flat;
use crate::volume::{Labels, Volume, Voxels};
use crate::{Error, Result};

/// how far the channels of a pixel may be from its colour, summed (SAM-OCTA2, `mark_rv_objects`)
const TOLERANCE: u32 = 10;

/// The colours of SAM-OCTA2's maps (`color_list.npy`, red first), of which it looks at these 25: object `n` has colour `n - 1`.
pub const COLOURS: [[u8; 3]; 25] = [
    [255, 255, 0],
    [255, 0, 255],
    [0, 128, 0],
    [128, 0, 128],
    [255, 165, 0],
    [173, 216, 230],
    [75, 0, 130],
    [34, 139, 34],
    [70, 130, 180],
    [240, 230, 140],
    [210, 105, 30],
    [0, 100, 0],
    [255, 69, 0],
    [154, 205, 50],
    [255, 218, 185],
    [160, 82, 45],
    [72, 61, 139],
    [139, 69, 19],
    [0, 191, 255],
    [255, 140, 0],
    [255, 182, 193],
    [144, 238, 144],
    [255, 250, 205],
    [65, 105, 225],
    [221, 160, 221],
];

/// The vessels of a coloured map: object `n` where a pixel has colour `n - 1`, within a tolerance that lets lossy pictures through; other
/// colours are no vessel. Errors: not one slice, not 8-bit colour.
pub fn of_colours(map: &Volume, colours: &[[u8; 3]]) -> Result<Labels> {
    let mut labels = Labels::empty_like(map);
    check_flat("a coloured map", &labels)?;
    let Voxels::U8(pixels) = map.frame(0)? else {
        return Err(Error::invalid(format!("a coloured map has 8-bit channels, not {}", map.dtype())));
    };
    if map.channels != 3 {
        return Err(Error::invalid("a coloured map has three channels; this one is grey"));
    }
    let near = |pixel: &[u8], colour: &[u8; 3]| {
        pixel.iter().zip(colour).map(|(&a, &b)| u32::from(a.abs_diff(b))).sum::<u32>() < TOLERANCE
    };
    for (label, pixel) in labels.data.iter_mut().zip(pixels.chunks_exact(3)) {
        let number = colours.iter().take(usize::from(u16::MAX)).position(|colour| near(pixel, colour));
        *label = number.map_or(0, |number| number as u16 + 1);
    }
    Ok(labels)
}

/// The picture of a map. Errors: several slices; an object beyond the last of [`COLOURS`].
pub fn coloured(map: &Labels) -> Result<Volume> {
    check_flat("a coloured map", map)?;
    let most = map.data.iter().copied().max().unwrap_or(0);
    if usize::from(most) > COLOURS.len() {
        return Err(Error::invalid(format!(
            "a coloured map has {} colours, but there is an object {most}",
            COLOURS.len()
        )));
    }
    let colour = |label: u16| usize::from(label).checked_sub(1).map_or([0; 3], |number| COLOURS[number]);
    let pixels = map.data.iter().flat_map(|&label| colour(label)).collect();
    Volume::new([1, map.rows, map.columns, 3], Voxels::U8(pixels), map.geometry.clone(), "labels")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Geometry;

    #[test]
    fn a_map_comes_back_from_its_picture() {
        let data = (0..26).collect();
        let map = Labels { frames: 1, rows: 2, columns: 13, data, geometry: Geometry::unknown() };
        let picture = coloured(&map).unwrap();
        assert_eq!(of_colours(&picture, &COLOURS).unwrap(), map);
        let more = map.map(|label| label + 1);
        assert!(coloured(&more).unwrap_err().to_string().contains("object 26"));
    }

    #[test]
    fn near_colours_count_and_others_do_not() {
        let pixels = vec![250, 252, 1, 250, 250, 0];
        let picture = Volume::new([1, 1, 2, 3], Voxels::U8(pixels), Geometry::unknown(), "stack").unwrap();
        assert_eq!(of_colours(&picture, &COLOURS).unwrap().data, [1, 0]);
        let grey = Volume::new([1, 1, 2, 1], Voxels::U8(vec![0, 1]), Geometry::unknown(), "stack").unwrap();
        assert!(of_colours(&grey, &COLOURS).is_err());
    }
}
