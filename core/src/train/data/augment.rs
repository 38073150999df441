//! Variation of a clip: the same rotation, flips, brightness, contrast and blur for all of its slices; masks follow.

use crate::train::clip::Clip;
use crate::{Error, Result};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// What is varied, and how far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// mirror left and right, up and down, each with this probability
    pub flip: f64,
    /// rotate by up to so many degrees either way
    pub rotation: f64,
    /// multiply by up to 1 + this, or divide
    pub contrast: f64,
    /// add up to this, in units of the whole range
    pub brightness: f64,
    /// blur with a Gaussian of up to this standard deviation, in pixels of the model's input
    pub blur: f64,
}

impl Default for Augment {
    /// Gentle: vessels have no up and down, and scanners differ in brightness.
    fn default() -> Self {
        Self { flip: 0.5, rotation: 15.0, contrast: 0.2, brightness: 0.1, blur: 1.0 }
    }
}

impl Augment {
    /// Nothing is varied.
    pub const NONE: Self = Self { flip: 0.0, rotation: 0.0, contrast: 0.0, brightness: 0.0, blur: 0.0 };

    /// An error where a number makes no sense.
    pub fn check(&self) -> Result<()> {
        let wrong =
            |name: &str, value: f64, range: &str| Err(Error::invalid(format!("augment.{name} is {value}: {range}")));
        match *self {
            Self { flip, .. } if !(0.0..=1.0).contains(&flip) => wrong("flip", flip, "0 to 1"),
            Self { rotation, .. } if !(0.0..=180.0).contains(&rotation) => {
                wrong("rotation", rotation, "0 to 180 degrees")
            }
            Self { contrast, .. } if !(0.0..=4.0).contains(&contrast) => wrong("contrast", contrast, "0 to 4"),
            Self { brightness, .. } if !(0.0..=1.0).contains(&brightness) => wrong("brightness", brightness, "0 to 1"),
            Self { blur, .. } if !(0.0..=20.0).contains(&blur) => wrong("blur", blur, "0 to 20 pixels"),
            _ => Ok(()),
        }
    }

    /// Varies images and masks of a clip that has no prompts yet.
    pub fn apply(&self, clip: &mut Clip, rng: &mut ChaCha8Rng) {
        let upto = |most: f64, rng: &mut ChaCha8Rng| if most > 0.0 { rng.random_range(-most..=most) } else { 0.0 };
        let (flip_x, flip_y) = (rng.random_bool(self.flip), rng.random_bool(self.flip));
        let angle = upto(self.rotation, rng).to_radians();
        let contrast = (1.0 + self.contrast).powf(upto(1.0, rng));
        let brightness = upto(self.brightness, rng);
        let sigma = if self.blur > 0.0 { rng.random_range(0.0..=self.blur) } else { 0.0 };
        if *self == Self::NONE {
            return; // turning by nothing would round
        }
        for image in &mut clip.images {
            let least = image.amin([2, 3].as_slice(), true); // what is outside of the picture is as dark as its darkest
            let turned = place(&(&*image - &least), flip_x, flip_y, angle, false) + &least;
            *image = blur(&turned, sigma);
            let range = (image.amax([2, 3].as_slice(), true) - &least).clamp_min(1e-3);
            *image = (&*image - &least) * contrast + &least + range * brightness;
        }
        for mask in clip.objects.iter_mut().flat_map(|object| &mut object.truth).chain(&mut clip.dense) {
            *mask = place(&mask.to_kind(Kind::Float), flip_x, flip_y, angle, true);
        }
    }
}

/// Mirrored and rotated about the middle; masks stay 0 and 1.
fn place(x: &Tensor, flip_x: bool, flip_y: bool, angle: f64, mask: bool) -> Tensor {
    if !flip_x && !flip_y && angle == 0.0 {
        return x.shallow_clone();
    }
    let (sin, cos) = angle.sin_cos();
    let (x_sign, y_sign) = (if flip_x { -1.0 } else { 1.0 }, if flip_y { -1.0 } else { 1.0 });
    let theta = [cos * x_sign, -sin * x_sign, 0.0, sin * y_sign, cos * y_sign, 0.0].map(|v| v as f32);
    let theta = Tensor::from_slice(&theta).view([1, 2, 3]).to_device(x.device());
    let grid = Tensor::affine_grid_generator(&theta, x.size(), false);
    let turned = x.grid_sampler(&grid, 0, 0, false); // bilinear, zeros outside
    if mask { turned.ge(0.5).to_kind(Kind::Float) } else { turned }
}

/// Gaussian blur of `[1, C, H, W]`.
fn blur(x: &Tensor, sigma: f64) -> Tensor {
    if sigma < 0.1 {
        return x.shallow_clone();
    }
    let reach = (3.0 * sigma).ceil() as i64;
    let at = Tensor::arange_start(-reach, reach + 1, (Kind::Float, x.device()));
    let kernel = (at.square() / (-2.0 * sigma * sigma)).exp();
    let kernel = &kernel / kernel.sum(Kind::Float);
    let channels = x.size()[1];
    let line = |x: &Tensor, shape: [i64; 4], padding: [i64; 2]| {
        let kernel = kernel.view(shape).expand([channels, 1, shape[2], shape[3]], false);
        let [y, x_] = padding;
        let padded = x.replication_pad2d([x_, x_, y, y]);
        padded.conv2d(&kernel, None::<&Tensor>, [1, 1], [0, 0], [1, 1], channels)
    };
    let size = 2 * reach + 1;
    line(&line(x, [1, 1, 1, size], [0, reach]), [1, 1, size, 1], [reach, 0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::clip::ClipObject;
    use rand::SeedableRng;
    use tch::Device;

    /// An image that is bright where the mask is, and nowhere symmetric.
    fn clip() -> Clip {
        let mask = Tensor::zeros([1, 1, 64, 64], (Kind::Float, Device::Cpu));
        let _ = mask.narrow(2, 10, 12).narrow(3, 20, 30).fill_(1.0);
        let _ = mask.narrow(2, 22, 20).narrow(3, 20, 8).fill_(1.0);
        let object =
            ClipObject { id: 1, truth: vec![mask.shallow_clone(), mask.shallow_clone()], prompts: Default::default() };
        let images = (0..2).map(|_| mask.expand([1, 3, 64, 64], false) * 2.0 - 1.0).collect();
        Clip { name: "bars".into(), images, objects: vec![object], dense: Vec::new() }
    }

    #[test]
    fn masks_go_where_the_image_goes() {
        let all = Augment { flip: 0.5, rotation: 40.0, contrast: 0.2, brightness: 0.1, blur: 0.5 };
        for seed in 0..8 {
            let (before, mut varied) = (clip(), clip());
            all.apply(&mut varied, &mut ChaCha8Rng::seed_from_u64(seed));
            let (image, mask) = (&varied.images[0].select(1, 0), varied.objects[0].truth[0].select(1, 0));
            let middle = (image.max() + image.min()) / 2.0;
            let differ = image.ge_tensor(&middle).to_kind(Kind::Float).ne_tensor(&mask).count_nonzero(None);
            assert!(differ.int64_value(&[]) < 60, "seed {seed}: {differ:?} pixels");
            assert_ne!(mask, before.objects[0].truth[0].select(1, 0), "seed {seed}: nothing moved");
            assert_eq!(varied.images[0], varied.images[1], "all slices alike");
            let mut again = clip();
            all.apply(&mut again, &mut ChaCha8Rng::seed_from_u64(seed));
            assert_eq!(again.images[0], varied.images[0], "the same seed does the same");
        }
        let mut same = clip();
        Augment::NONE.apply(&mut same, &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(same.objects[0].truth[0], clip().objects[0].truth[0]);
    }
}
