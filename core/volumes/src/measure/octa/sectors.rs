//! The grid of the Early Treatment Diabetic Retinopathy Study (ETDRS report 10, 1991): a centre, two rings, four sectors each, around the fovea.

use crate::measure::Grid;
use crate::volume::Eye;
use crate::{Error, Result};
use std::f64::consts::PI;

/// Diameters of circles in millimetres, ascending, and where their centre is.
#[derive(Debug, Clone, PartialEq)]
pub struct Sectors {
    /// of the centre and the rings around it
    pub diameters: Vec<f64>,
    /// pixels from the left and from the top
    pub centre: [f64; 2],
    /// tells nasal from temporal; without it sectors are called left and right
    pub eye: Option<Eye>,
}

/// A part of the slice.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// `whole`, `centre`, `inner`, `inner_superior`, ..., `disc_3mm`
    pub name: String,
    /// its pixels, `[rows, columns]`
    pub pixels: Vec<bool>,
    /// how much of it the picture shows, 0 to 1
    pub coverage: f64,
}

/// names of the rings
const RINGS: [&str; 3] = ["inner", "outer", "far"];

impl Sectors {
    /// Errors: diameters that are not ascending and positive, or more than four.
    pub fn check(&self) -> Result<()> {
        let ascending = self.diameters.windows(2).all(|two| two[0] < two[1]);
        let positive =
            self.diameters.iter().chain(&self.centre).all(|v| v.is_finite()) && self.diameters.iter().all(|&d| d > 0.0);
        match ascending && positive && self.diameters.len() <= RINGS.len() + 1 {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "diameters {:?} mm: give up to four, ascending, as in [1, 3, 6]",
                self.diameters
            ))),
        }
    }

    /// The whole slice, then the centre, the rings, their sectors and the full discs, as far as the slice shows anything of them.
    pub fn regions(&self, grid: &Grid) -> Vec<Region> {
        let [_, rows, columns] = grid.shape;
        let [_, dy, dx] = grid.spacing;
        let place =
            |at: usize| [((at / columns) as f64 - self.centre[1]) * dy, ((at % columns) as f64 - self.centre[0]) * dx];
        let region = |name: String, full_mm2: Option<f64>, inside: &dyn Fn([f64; 2]) -> bool| {
            let pixels: Vec<bool> = (0..rows * columns).map(|at| inside(place(at))).collect();
            let shown = pixels.iter().filter(|&&inside| inside).count() as f64 * grid.pixel_mm2();
            Region { name, pixels, coverage: full_mm2.map_or(1.0, |full| (shown / full).min(1.0)) }
        };
        let far = |[y, x]: [f64; 2]| y.hypot(x);
        let disc = |diameter: f64| PI * diameter * diameter / 4.0;
        let mut regions = vec![region("whole".to_owned(), None, &|_| true)];
        for (ring, &diameter) in self.diameters.iter().enumerate() {
            if ring == 0 {
                regions.push(region("centre".to_owned(), Some(disc(diameter)), &|at| far(at) < diameter / 2.0));
                continue;
            }
            let (name, within) = (RINGS[ring - 1], self.diameters[ring - 1]);
            let full = disc(diameter) - disc(within);
            let inside = |at| (within / 2.0..diameter / 2.0).contains(&far(at));
            regions.push(region(name.to_owned(), Some(full), &inside));
            for (sector, sector_name) in self.names().into_iter().enumerate() {
                let within = |at| inside(at) && quadrant(at) == sector;
                regions.push(region(format!("{name}_{sector_name}"), Some(full / 4.0), &within));
            }
        }
        for &diameter in self.diameters.iter().skip(1) {
            regions.push(region(format!("disc_{diameter}mm"), Some(disc(diameter)), &|at| far(at) < diameter / 2.0));
        }
        regions.retain(|region| region.pixels.contains(&true));
        regions
    }

    /// Top, right, bottom and left.
    fn names(&self) -> [&'static str; 4] {
        match self.eye {
            Some(Eye::Right) => ["superior", "nasal", "inferior", "temporal"],
            Some(Eye::Left) => ["superior", "temporal", "inferior", "nasal"],
            None => ["superior", "right", "inferior", "left"],
        }
    }
}

/// Top, right, bottom or left, with limits at 45 degrees.
fn quadrant([y, x]: [f64; 2]) -> usize {
    match (y.abs() >= x.abs(), y < 0.0, x > 0.0) {
        (true, true, _) => 0,
        (true, false, _) => 2,
        (false, _, true) => 1,
        (false, _, false) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions(eye: Option<Eye>) -> Vec<Region> {
        let grid = Grid { shape: [1, 300, 300], spacing: [1.0, 0.01, 0.01], inside: vec![false; 90000] };
        Sectors { diameters: vec![1.0, 3.0, 6.0], centre: [149.5, 149.5], eye }.regions(&grid)
    }

    #[test]
    fn a_scan_of_3_mm_has_the_inner_ring_whole_and_some_of_the_outer() {
        let regions = regions(Some(Eye::Right));
        let of = |name: &str| regions.iter().find(|region| region.name == name).unwrap();
        let [centre, inner, outer] = ["centre", "inner", "outer"].map(|name| of(name).coverage);
        assert!((centre - 1.0).abs() < 0.01 && (inner - 1.0).abs() < 0.01 && (0.05..0.12).contains(&outer), "{outer}");
        assert!((of("inner_nasal").coverage - 1.0).abs() < 0.01);
        let sum: usize = ["superior", "nasal", "inferior", "temporal"]
            .map(|sector| of(&format!("inner_{sector}")).pixels.iter().filter(|&&inside| inside).count())
            .iter()
            .sum();
        assert_eq!(sum, of("inner").pixels.iter().filter(|&&inside| inside).count());
    }

    #[test]
    fn the_nose_is_on_the_right_of_a_right_eye() {
        let at = 149 * 300 + 250; // to the right of the centre
        let named = |eye| regions(eye).into_iter().filter(|r| r.pixels[at]).map(|r| r.name).collect::<Vec<_>>();
        assert_eq!(named(Some(Eye::Right)), ["whole", "inner", "inner_nasal", "disc_3mm", "disc_6mm"]);
        assert_eq!(named(Some(Eye::Left))[2], "inner_temporal");
        assert_eq!(named(None)[2], "inner_right");
    }
}
