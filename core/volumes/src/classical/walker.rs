//! Random walker. Source: Grady, Random walks for image segmentation, PAMI 28 (2006): each pixel goes to the seeds that a walker starting
//! there reaches first more often; steps across large differences are unlikely. The probabilities solve a linear system of the grid's
//! Laplacian (4 neighbours) by conjugate gradients, scaled by the diagonal.

use super::Options;
use crate::clicks::Click;
use crate::progress::checkpoint;
use crate::{Error, Result};

/// the residual, as a share of that at the start, at which the solution is good enough
const CLOSE: f64 = 1e-4;
/// steps of the conjugate gradients; some hundreds are usual
const MOST_STEPS: usize = 4000;
/// keeps the grid connected where values differ most
const LEAST_WEIGHT: f64 = 1e-6;

/// Where the object is likelier than the background. Seeds of the background: negative clicks, and everything farther than `reach` from all
/// positive ones. Errors: there is no background then; clicks of both kinds on one pixel.
pub fn inside(values: &[f64], shape: [usize; 2], clicks: &[Click], options: &Options) -> Result<Vec<bool>> {
    let seeds = seeds(shape, clicks, options.reach.unwrap_or(shape[0].min(shape[1]) as f64 / 4.0))?;
    let grid = Walk::new(values, shape, options.beta);
    let chances = grid.solve(&seeds);
    Ok(chances.into_iter().map(|chance| chance > 0.5).collect())
}

/// What is known: 1 on the object, 0 beside it.
fn seeds([rows, columns]: [usize; 2], clicks: &[Click], reach: f64) -> Result<Vec<Option<f64>>> {
    let near = |at: usize, click: &Click| {
        let apart = (click.row as f64 - (at / columns) as f64).hypot(click.column as f64 - (at % columns) as f64);
        click.positive && apart <= reach
    };
    let far = |at| if clicks.iter().any(|click| near(at, click)) { None } else { Some(0.0) };
    let mut seeds: Vec<Option<f64>> = (0..rows * columns).map(far).collect();
    for click in clicks {
        let (seed, value) = (&mut seeds[click.row * columns + click.column], f64::from(u8::from(click.positive)));
        if seed.is_some_and(|seed| seed != value) {
            return Err(Error::invalid(format!(
                "a positive and a negative click on pixel ({}, {})",
                click.column, click.row
            )));
        }
        *seed = Some(value);
    }
    if !seeds.contains(&Some(0.0)) {
        return Err(Error::invalid(format!(
            "random_walker: no background within reach {reach}: a negative click or a smaller `reach`"
        )));
    }
    Ok(seeds)
}

/// How easily a walker goes from each pixel to the next one.
struct Walk {
    columns: usize,
    /// to the right; 0 at the last column
    right: Vec<f64>,
    /// downwards; 0 at the last row
    down: Vec<f64>,
}

impl Walk {
    fn new(values: &[f64], [_, columns]: [usize; 2], beta: f64) -> Self {
        let last = |at: usize| at % columns + 1 == columns;
        let step = |at: usize, to: usize| (values[at] - values[to]).abs();
        let right = |at: usize| (!last(at)).then(|| step(at, at + 1));
        let down = |at: usize| (at + columns < values.len()).then(|| step(at, at + columns));
        let all = (0..values.len()).flat_map(|at| [right(at), down(at)]).flatten();
        let largest = all.fold(0.0, f64::max);
        let scale = if largest > 0.0 { 1.0 / largest } else { 0.0 };
        let weight = |step: Option<f64>| step.map_or(0.0, |step| (-beta * (step * scale).powi(2)).exp() + LEAST_WEIGHT);
        Self {
            columns,
            right: (0..values.len()).map(|at| weight(right(at))).collect(),
            down: (0..values.len()).map(|at| weight(down(at))).collect(),
        }
    }

    /// The Laplacian times `x`.
    fn times(&self, x: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; x.len()];
        for at in 0..x.len() {
            for (weight, step) in [(self.right[at], 1), (self.down[at], self.columns)] {
                if weight > 0.0 {
                    let flow = weight * (x[at] - x[at + step]);
                    out[at] += flow;
                    out[at + step] -= flow;
                }
            }
        }
        out
    }

    /// The sums of each pixel's weights.
    fn diagonal(&self) -> Vec<f64> {
        let mut out = vec![0.0; self.right.len()];
        for at in 0..out.len() {
            for (weight, step) in [(self.right[at], 1), (self.down[at], self.columns)] {
                if weight > 0.0 {
                    out[at] += weight;
                    out[at + step] += weight;
                }
            }
        }
        out
    }

    /// The chance of each pixel to reach a seed of 1 first; conjugate gradients on the pixels that are no seeds.
    fn solve(&self, seeds: &[Option<f64>]) -> Vec<f64> {
        let free = |mut x: Vec<f64>| {
            x.iter_mut().zip(seeds).filter(|(_, seed)| seed.is_some()).for_each(|(x, _)| *x = 0.0);
            x
        };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let diagonal = self.diagonal();
        let scaled = |r: &[f64]| r.iter().zip(&diagonal).map(|(r, d)| if *d > 0.0 { r / d } else { 0.0 }).collect();
        let mut x: Vec<f64> = seeds.iter().map(|seed| seed.unwrap_or(0.0)).collect();
        let mut residual: Vec<f64> = free(self.times(&x)).into_iter().map(|r| -r).collect();
        let mut z: Vec<f64> = scaled(&residual);
        let mut direction = z.clone();
        let mut rz = dot(&residual, &z);
        let enough = rz * CLOSE * CLOSE;
        for _ in 0..MOST_STEPS {
            if rz <= enough {
                break;
            }
            checkpoint();
            let along = free(self.times(&direction));
            let by = rz / dot(&direction, &along);
            x.iter_mut().zip(&direction).for_each(|(x, d)| *x += by * d);
            residual.iter_mut().zip(&along).for_each(|(r, a)| *r -= by * a);
            z = scaled(&residual);
            let before = std::mem::replace(&mut rz, dot(&residual, &z));
            direction.iter_mut().zip(&z).for_each(|(d, z)| *d = z + rz / before * *d);
        }
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_fall_evenly_along_an_even_line() {
        let walk = Walk::new(&[1.0; 5], [1, 5], 90.0);
        let chances = walk.solve(&[Some(1.0), None, None, None, Some(0.0)]);
        let even = [1.0, 0.75, 0.5, 0.25, 0.0];
        assert!(chances.iter().zip(even).all(|(a, b)| (a - b).abs() < 1e-6), "{chances:?}");
    }

    #[test]
    fn a_step_between_values_holds_the_walker_back() {
        let walk = Walk::new(&[0.0, 0.0, 0.0, 9.0, 9.0], [1, 5], 90.0);
        let chances = walk.solve(&[Some(1.0), None, None, None, Some(0.0)]);
        assert!(chances[2] > 0.99 && chances[3] < 0.01, "{chances:?}");
    }
}
