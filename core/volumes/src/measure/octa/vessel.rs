//! Vessels in numbers, for parts of one slice (definitions: docs/measurements.md).

use super::fields::measures;
use super::fractal::fractal;
use super::sectors::Region;
use crate::measure::{Grid, boundary, squared_distances};
use crate::vessels::{Branch, Graph, skeleton};
use std::f64::consts::PI;

/// branches of at most so many pixels say nothing about tortuosity (PVBM)
const SHORT: f64 = 10.0;

measures! {
    /// The vessels of a region.
    VesselMeasures {
        /// of the region, as far as the picture shows it
        region_mm2: f64,
        /// how much of the region that is, 0 to 1
        coverage: f64,
        /// vessel pixels through pixels of the region, 0 to 1 (VAD, perfusion density)
        vessel_area_density: f64,
        /// skeleton pixels through pixels of the region (Chu 2016)
        skeleton_density: f64,
        /// millimetres of centre line through square millimetres of the region (VLD, OCTAVA; Cirrus' vessel density)
        length_density_per_mm: f64,
        /// millimetres of centre line
        length_mm: f64,
        /// vessel pixels through skeleton pixels, in micrometres (VDI, Chu 2016)
        diameter_index_um: Option<f64>,
        /// twice the distance to the outside, mean over the skeleton, in micrometres
        calibre_um: Option<f64>,
        /// boundary pixels of vessels through pixels of the region (VPI, Chu 2016)
        perimeter_index_area: f64,
        /// boundary pixels through vessel pixels (VPI of others)
        perimeter_index_vessel: Option<f64>,
        /// boundary pixels squared through 4π times vessel pixels (VCI, Chu 2016)
        complexity_index: Option<f64>,
        /// arc through chord of branches longer than 10 pixels, mean (OCTAVA)
        tortuosity_mean: Option<f64>,
        /// the same, median (PVBM)
        tortuosity_median: Option<f64>,
        /// branches that these two are taken from
        branches: usize,
        /// places where three or more lines meet
        branch_points: usize,
        /// ends of lines
        end_points: usize,
        /// branch points through square millimetres of the region (AngioTool)
        branch_points_per_mm2: f64,
        /// branch points through millimetres of centre line (OCTAVA)
        branch_points_per_mm: Option<f64>,
        /// box-counting dimension of the skeleton; of the whole picture only
        fractal_skeleton: Option<f64>,
        /// how well its line fits, 0 to 1
        fractal_skeleton_r2: Option<f64>,
        /// box-counting dimension of the mask; of the whole picture only
        fractal_mask: Option<f64>,
        /// how well its line fits, 0 to 1
        fractal_mask_r2: Option<f64>,
    }
}

/// One slice of vessels, prepared for questions about its parts.
pub struct Vessels {
    mask: Grid,
    skeleton: Grid,
    graph: Graph,
    edge: Grid,
    /// distance to the outside in millimetres
    distance: Vec<f64>,
}

impl Vessels {
    /// Thins a slice and makes its graph.
    pub fn of(mask: Grid) -> Self {
        let skeleton = skeleton(&mask);
        let outside = Grid { inside: mask.inside.iter().map(|&inside| !inside).collect(), ..mask.clone() };
        let distance = squared_distances(&outside).into_iter().map(f64::sqrt).collect();
        Self { graph: Graph::of(&skeleton), edge: boundary(&mask), distance, skeleton, mask }
    }

    /// Pixels of the centre lines, and millimetres across the vessel there.
    pub fn lines(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        let pixels = self.skeleton.inside.iter().enumerate().filter(|(_, inside)| **inside);
        pixels.map(|(pixel, _)| (pixel, 2.0 * self.distance[pixel]))
    }

    /// Pixels in the middle of places where three or more lines meet.
    pub fn branch_points(&self) -> impl Iterator<Item = usize> + '_ {
        self.graph.junctions.iter().map(|pixels| self.middle(pixels))
    }

    /// Measures a region. What lies on its border belongs to it by halves (lines) or by its middle (branches, branch points).
    pub fn measure(&self, region: &Region) -> VesselMeasures {
        let here = |grid: &Grid| grid.inside.iter().zip(&region.pixels).filter(|(a, b)| **a && **b).count();
        let (pixels, mask, thin, edge) = (
            region.pixels.iter().filter(|&&inside| inside).count(),
            here(&self.mask),
            here(&self.skeleton),
            here(&self.edge),
        );
        let area = pixels as f64 * self.mask.pixel_mm2();
        let share = |at: usize| if region.pixels[at] { 0.5 } else { 0.0 };
        let length: f64 = self.graph.joints.iter().map(|&(a, b, mm)| mm * (share(a) + share(b))).sum();
        let junctions = self.branch_points().filter(|&pixel| region.pixels[pixel]).count();
        let ratio = |a: f64, b: f64| (b > 0.0).then(|| a / b);
        let tortuosity = self.tortuosity(region);
        let pixel_um = self.mask.pixel_mm2().sqrt() * 1000.0;
        let whole = region.pixels.len() == pixels;
        let [of_skeleton, of_mask] = [&self.skeleton, &self.mask].map(|grid| if whole { fractal(grid) } else { None });
        VesselMeasures {
            region_mm2: area,
            coverage: region.coverage,
            vessel_area_density: mask as f64 / pixels as f64,
            skeleton_density: thin as f64 / pixels as f64,
            length_density_per_mm: length / area,
            length_mm: length,
            diameter_index_um: ratio(mask as f64 * pixel_um, thin as f64),
            calibre_um: self.calibre(region).map(|mm| mm * 1000.0),
            perimeter_index_area: edge as f64 / pixels as f64,
            perimeter_index_vessel: ratio(edge as f64, mask as f64),
            complexity_index: ratio((edge * edge) as f64, 4.0 * PI * mask as f64),
            tortuosity_mean: ratio(tortuosity.iter().sum(), tortuosity.len() as f64),
            tortuosity_median: median(&tortuosity),
            branches: tortuosity.len(),
            branch_points: junctions,
            end_points: self.graph.ends.iter().filter(|&&end| region.pixels[end]).count(),
            branch_points_per_mm2: junctions as f64 / area,
            branch_points_per_mm: ratio(junctions as f64, length),
            fractal_skeleton: of_skeleton.as_ref().map(|reply| reply.dimension),
            fractal_skeleton_r2: of_skeleton.map(|reply| reply.r2),
            fractal_mask: of_mask.as_ref().map(|reply| reply.dimension),
            fractal_mask_r2: of_mask.map(|reply| reply.r2),
        }
        .tidy()
    }

    /// The mean calibre over the skeleton; a slice that is all vessel has none.
    fn calibre(&self, region: &Region) -> Option<f64> {
        let here = |(pixel, width): &(usize, f64)| region.pixels[*pixel] && width.is_finite();
        let widths: Vec<f64> = self.lines().filter(here).map(|(_, width)| width).collect();
        (!widths.is_empty()).then(|| widths.iter().sum::<f64>() / widths.len() as f64)
    }

    /// Arc through chord of the branches whose middle lies in a region, ascending. Loops have no chord.
    fn tortuosity(&self, region: &Region) -> Vec<f64> {
        let short = SHORT * self.mask.pixel_mm2().sqrt();
        let counts = |branch: &&Branch| {
            let middle = branch.pixels[branch.pixels.len() / 2];
            branch.length > short && branch.chord > 0.0 && region.pixels[middle]
        };
        let mut ratios: Vec<f64> =
            self.graph.branches.iter().filter(counts).map(|branch| branch.length / branch.chord).collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    }

    /// The pixel of a junction that is nearest to its middle.
    fn middle(&self, pixels: &[usize]) -> usize {
        let columns = self.mask.shape[2];
        let mean = |along: fn(usize, usize) -> usize| {
            pixels.iter().map(|&pixel| along(pixel, columns)).sum::<usize>() as f64 / pixels.len() as f64
        };
        let (row, column) = (mean(|at, columns| at / columns), mean(|at, columns| at % columns));
        let far = |pixel: usize| ((pixel / columns) as f64 - row).hypot((pixel % columns) as f64 - column);
        pixels.iter().copied().min_by(|&a, &b| far(a).total_cmp(&far(b))).unwrap_or(0)
    }
}

/// Of ascending values.
fn median(values: &[f64]) -> Option<f64> {
    let middle = values.len() / 2;
    match (values.get(middle), values.len() % 2) {
        (Some(value), 1) => Some(*value),
        (Some(value), _) => Some((values[middle - 1] + value) / 2.0),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_vessel() {
        let mut inside = vec![false; 100 * 100];
        (0..10000).filter(|at| (48..53).contains(&(at / 100))).for_each(|at| inside[at] = true);
        let vessels = Vessels::of(Grid { shape: [1, 100, 100], spacing: [1.0, 0.01, 0.01], inside });
        let all = Region { name: String::new(), pixels: vec![true; 10000], coverage: 1.0 };
        let reply = vessels.measure(&all);
        assert!((reply.vessel_area_density - 0.05).abs() < 1e-12 && reply.tortuosity_mean.unwrap() < 1.01, "{reply:?}");
        assert_eq!((reply.branch_points, reply.end_points, reply.branches), (0, 2, 1));
        assert!((reply.calibre_um.unwrap() - 60.0).abs() < 2.0, "{reply:?}"); // to the middle of the first pixel outside, twice
        assert!((reply.diameter_index_um.unwrap() - 52.0).abs() < 1.5, "{reply:?}");
        let left = Region { pixels: (0..10000).map(|at| at % 100 < 50).collect(), ..all };
        let half = vessels.measure(&left);
        assert!((half.length_mm / reply.length_mm - 0.5).abs() < 0.02 && half.fractal_mask.is_none());
    }

    #[test]
    fn nothing_and_everything() {
        let all = Region { name: String::new(), pixels: vec![true; 400], coverage: 1.0 };
        let of = |inside| {
            Vessels::of(Grid { shape: [1, 20, 20], spacing: [0.1; 3], inside: vec![inside; 400] }).measure(&all)
        };
        let none = of(false);
        assert_eq!(
            (none.length_mm, none.calibre_um, none.diameter_index_um, none.tortuosity_mean),
            (0.0, None, None, None)
        );
        let signed = none.cells().into_iter().flatten().filter(|cell| cell.is_sign_negative()).count();
        assert_eq!(signed, 0, "no -0: {none:?}");
        assert_eq!((of(true).vessel_area_density, of(true).calibre_um), (1.0, None));
    }
}
