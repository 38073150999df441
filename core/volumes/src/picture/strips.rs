//! Strips of four squares side by side, one PNG per layer, as SAM-OCTA2 keeps them (`RV_LayerSequence`): the region, the region over the
//! layer, the vessels over the layer, the layer itself. Its loaders, and ours (`train::data::octa500`), read the last square.

use crate::io::{Pixels, png_folder, write_png};
use crate::progress::Observer;
use crate::{Error, Result};
use std::path::Path;

/// what is added to the green of a marked pixel, as in the published strips (the reference adds it modulo 256; here it stops at white)
const GREEN: u8 = 128;

/// One layer and what was found on it; squares of `side` x `side` pixels.
pub struct Strip<'a> {
    /// pixels along a side
    pub side: usize,
    /// the layer, 0 to 255
    pub layer: &'a [u8],
    /// the region
    pub region: &'a [bool],
    /// the vessels within it
    pub vessels: &'a [bool],
}

impl Strip<'_> {
    /// `[side, 4 side, 3]`. Errors: parts of another size.
    fn draw(&self) -> Result<Vec<u8>> {
        let pixels = self.side * self.side;
        if [self.layer.len(), self.region.len(), self.vessels.len()] != [pixels; 3] {
            return Err(Error::invalid(format!("the parts of a strip are not of {0} x {0} pixels", self.side)));
        }
        let marked = |grey: u8, inside: bool| [grey, grey.saturating_add(if inside { GREEN } else { 0 }), grey];
        let mut strip = Vec::with_capacity(12 * pixels);
        for row in 0..self.side {
            let at = row * self.side..(row + 1) * self.side;
            let (layer, region, vessels) = (&self.layer[at.clone()], &self.region[at.clone()], &self.vessels[at]);
            strip.extend(region.iter().flat_map(|&inside| [if inside { 255 } else { 0 }; 3]));
            strip.extend(layer.iter().zip(region).flat_map(|(&grey, &inside)| marked(grey, inside)));
            strip.extend(layer.iter().zip(vessels).flat_map(|(&grey, &inside)| marked(grey, inside)));
            strip.extend(layer.iter().flat_map(|&grey| [grey; 3]));
        }
        Ok(strip)
    }
}

/// Takes a strip that is ready to be drawn.
pub type Draw<'a> = dyn FnMut(Strip<'_>) -> Result<()> + 'a;

/// Fills a folder with one strip per layer (`00000.png`, ...), in order; `each` hands over a layer when it is its turn. Progress: stage
/// `"write"`. A folder that holds anything but an earlier result is refused.
pub fn write_strips(
    folder: &Path,
    layers: usize,
    observer: &mut dyn Observer,
    each: &mut dyn FnMut(usize, &mut Draw<'_>) -> Result<()>,
) -> Result<()> {
    png_folder(folder, layers, observer, |layer, file| {
        each(layer, &mut |strip| write_png(file, 4 * strip.side, strip.side, Pixels::Rgb8(&strip.draw()?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_squares() {
        let (layer, region, vessels) = ([10, 200, 0, 7], [true, true, false, false], [true, false, false, false]);
        let strip = Strip { side: 2, layer: &layer, region: &region, vessels: &vessels }.draw().unwrap();
        let green: Vec<u8> = strip.chunks(3).map(|pixel| pixel[1]).collect();
        assert_eq!(green[..8], [255, 255, 138, 255, 138, 200, 10, 200], "the first row");
        assert_eq!(green[8..], [0, 0, 0, 7, 0, 7, 0, 7]);
        assert_eq!(strip[6..9], [10, 138, 10], "only green is raised");
        assert!(Strip { side: 3, layer: &layer, region: &region, vessels: &vessels }.draw().is_err());
    }
}
