//! Random changes of training images, one file each, and their table. A new one is a file here and a row of [`AUGMENTATIONS`].
//!
//! What happens to an image is a function of (seed, epoch, number of the image) and, where images are mixed, of its partner in the batch:
//! neither threads nor interruptions change it.

mod color_jitter;
mod cutmix;
mod hflip;
mod mixup;
mod random_crop;
mod random_erasing;

use crate::dataset::Normalisation;
use sph_autodiff::ops::Mixed;
use sph_tensor::Rng;

/// What is done, and how much of it. The default is nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Augmentation {
    /// Random crop out of the image padded by this many zero-valued pixels (0: none).
    pub crop_pad: usize,
    /// Probability of a horizontal flip.
    pub hflip: f64,
    /// Brightness, contrast and saturation are each multiplied by a factor in 1 ± this (0: none).
    pub color_jitter: f64,
    /// Probability that a rectangle is erased.
    pub erase: f64,
    /// α of mixup (0: none).
    pub mixup: f64,
    /// α of cutmix (0: none).
    pub cutmix: f64,
    /// Probability that an image is mixed, when any mixing is on.
    pub mix_prob: f64,
    /// Probability of cutmix where both are on.
    pub switch_prob: f64,
}

impl Default for Augmentation {
    fn default() -> Self {
        Augmentation {
            crop_pad: 0,
            hflip: 0.0,
            color_jitter: 0.0,
            erase: 0.0,
            mixup: 0.0,
            cutmix: 0.0,
            mix_prob: 1.0,
            switch_prob: 0.5,
        }
    }
}

/// An image on its way into a batch.
#[derive(Debug)]
pub struct Image<'a> {
    /// Height, width, channels.
    pub size: (usize, usize, usize),
    /// H·W·C values on the bytes' own scale.
    pub pixels: &'a mut [f64],
    /// What will be subtracted and divided by.
    pub normalisation: &'a Normalisation,
}

/// What a row does.
#[derive(Debug, Clone, Copy)]
pub enum Apply {
    /// Changes an image by itself.
    Alone(fn(&Augmentation, &mut Rng, &mut Image<'_>)),
    /// Changes an image by means of its partner, whose values are given; returns the partner's share of the label.
    WithPartner(fn(&Augmentation, &mut Rng, &mut Image<'_>, &[f64]) -> f64),
}

/// A row of the table of augmentations.
pub struct AugmentationRow {
    /// Its name, which is that of its random stream: no two begin with the same eight letters.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Whether these settings ask for it.
    pub on: fn(&Augmentation) -> bool,
    /// How it changes an image.
    pub apply: Apply,
}

/// All augmentations, in the order in which they are applied.
pub const AUGMENTATIONS: &[AugmentationRow] = &[
    AugmentationRow {
        name: "random_crop",
        about: "a window out of the padded image",
        on: |a| a.crop_pad > 0,
        apply: Apply::Alone(random_crop::apply),
    },
    AugmentationRow {
        name: "hflip",
        about: "left and right exchanged",
        on: |a| a.hflip > 0.0,
        apply: Apply::Alone(hflip::apply),
    },
    AugmentationRow {
        name: "color_jitter",
        about: "other brightness, contrast and saturation",
        on: |a| a.color_jitter > 0.0,
        apply: Apply::Alone(color_jitter::apply),
    },
    AugmentationRow {
        name: "erasing",
        about: "a rectangle of noise",
        on: |a| a.erase > 0.0,
        apply: Apply::Alone(random_erasing::apply),
    },
    AugmentationRow {
        name: "mixup",
        about: "a mean of two images and of their labels",
        on: |a| a.mixup > 0.0,
        apply: Apply::WithPartner(mixup::apply),
    },
    AugmentationRow {
        name: "cutmix",
        about: "a rectangle out of another image, and its share of the label",
        on: |a| a.cutmix > 0.0,
        apply: Apply::WithPartner(cutmix::apply),
    },
];

/// How an epoch's images are changed.
#[derive(Debug, Clone, Copy)]
pub struct Draws {
    /// The run's seed.
    pub seed: u64,
    /// The epoch, from 0.
    pub epoch: u64,
    /// What is done.
    pub augmentation: Augmentation,
}

impl Draws {
    /// The stream of `name` for image `number`. A stream is called by eight bytes at most: those that names begin with are different.
    fn rng(&self, name: &str, number: usize) -> Rng {
        Rng::new(self.seed, &name[..name.len().min(8)], self.epoch, number as u64)
    }

    /// Changes one image by itself.
    pub fn alone(&self, number: usize, image: &mut Image<'_>) {
        for row in AUGMENTATIONS.iter().filter(|r| (r.on)(&self.augmentation)) {
            if let Apply::Alone(apply) = row.apply {
                apply(&self.augmentation, &mut self.rng(row.name, number), image);
            }
        }
    }

    /// Whether images are mixed.
    pub fn mixes(&self) -> bool {
        self.augmentation.mixup > 0.0 || self.augmentation.cutmix > 0.0
    }

    /// Mixes an image with its partner, and says how its label is: its class, and the other one with its share of at most a half.
    pub fn mix(
        &self,
        number: usize,
        image: &mut Image<'_>,
        partner: &[f64],
        classes: [u32; 2],
    ) -> (u32, Mixed) {
        let (a, mut rng) = (&self.augmentation, self.rng("mix", number));
        let (whether, which) = (rng.uniform() < a.mix_prob, rng.uniform() < a.switch_prob);
        let name = if a.mixup == 0.0 || (a.cutmix > 0.0 && which) { "cutmix" } else { "mixup" };
        let mut share = 0.0;
        for row in AUGMENTATIONS.iter().filter(|r| whether && r.name == name) {
            if let Apply::WithPartner(apply) = row.apply {
                share = apply(a, &mut self.rng(row.name, number), image, partner);
            }
        }
        let [own, other] = classes;
        if share > 0.5 {
            (other, Mixed { class: own, share: 1.0 - share })
        } else {
            (own, Mixed { class: other, share })
        }
    }
}

/// A number from the distribution Beta(α, α), α > 0.
fn beta(rng: &mut Rng, alpha: f64) -> f64 {
    let (x, y) = (gamma(rng, alpha), gamma(rng, alpha));
    // Both are 0 only where α is so small that the distribution sits on 0 and 1.
    if x + y > 0.0 { x / (x + y) } else { f64::from(u8::from(rng.sign() > 0.0)) }
}

/// A number from the distribution Gamma(α, 1) (Marsaglia and Tsang 2000).
fn gamma(rng: &mut Rng, alpha: f64) -> f64 {
    if alpha < 1.0 {
        return gamma(rng, alpha + 1.0) * libm::pow(1.0 - rng.uniform(), 1.0 / alpha);
    }
    let d = alpha - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    loop {
        let x = rng.normal();
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && libm::log(1.0 - rng.uniform()) < 0.5 * x * x + d * (1.0 - v + libm::log(v)) {
            return d * v;
        }
    }
}

/// A rectangle of rows and columns of an image.
fn rectangle(
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
    width: usize,
) -> impl Iterator<Item = usize> {
    rows.flat_map(move |y| columns.clone().map(move |x| y * width + x))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Normalisation {
        Normalisation { mean: vec![100.0; 3], std: vec![50.0; 3] }
    }

    fn draws(seed: u64, epoch: u64, augmentation: Augmentation) -> Draws {
        Draws { seed, epoch, augmentation }
    }

    /// Pixels of a small image, all different.
    fn pixels() -> Vec<f64> {
        (0..4 * 5 * 3).map(|i| 30.0 + f64::from(i)).collect()
    }

    /// What becomes of the image by itself with seed 1.
    fn alone(epoch: u64, number: usize, a: Augmentation) -> Vec<f64> {
        changed(draws(1, epoch, a), number, (4, 5, 3), pixels())
    }

    fn changed(draws: Draws, number: usize, size: (usize, usize, usize), mut pixels: Vec<f64>) -> Vec<f64> {
        let normalisation = plain();
        draws.alone(number, &mut Image { size, pixels: &mut pixels, normalisation: &normalisation });
        pixels
    }

    fn mixed(draws: Draws, number: usize) -> (Vec<f64>, u32, Mixed) {
        let (mut pixels, normalisation) = (vec![0.0; 60], plain());
        let mut image = Image { size: (4, 5, 3), pixels: &mut pixels, normalisation: &normalisation };
        let (class, mixed) = draws.mix(number, &mut image, &[1.0; 60], [7, 9]);
        (pixels, class, mixed)
    }

    #[test]
    fn every_row_changes_images_by_seed_epoch_and_number_alone() {
        let none = Augmentation::default();
        let all = [
            Augmentation { crop_pad: 2, ..none },
            Augmentation { hflip: 0.5, ..none },
            Augmentation { color_jitter: 0.4, ..none },
            Augmentation { erase: 0.5, ..none },
        ];
        assert_eq!(alone(0, 0, none), pixels());
        for a in all {
            assert_eq!(alone(3, 4, a), alone(3, 4, a));
            let count = (0..40).filter(|&n| alone(0, n, a) != pixels()).count();
            assert!(count >= 10, "{a:?}: {count}");
            assert!((0..40).any(|n| alone(0, n, a) != alone(1, n, a)), "{a:?}");
            let seeded = |seed, n| changed(draws(seed, 0, a), n, (4, 5, 3), pixels());
            assert!((0..40).any(|n| seeded(1, n) != seeded(2, n)), "{a:?}");
        }
        for a in [Augmentation { mixup: 1.0, ..none }, Augmentation { cutmix: 1.0, ..none }] {
            let of = |seed, epoch, n| mixed(draws(seed, epoch, a), n).0;
            assert_eq!(of(1, 3, 4), of(1, 3, 4));
            assert!((0..40).any(|n| of(1, 0, n) != of(1, 0, 0)), "{a:?}");
            assert!((0..40).any(|n| of(1, 0, n) != of(2, 0, n)), "{a:?}");
            assert!((0..40).any(|n| of(1, 0, n) != of(1, 1, n)), "{a:?}");
        }
        // One does not move the draws of another.
        let (flip, both) = (all[1], Augmentation { erase: 1e-9, ..all[1] });
        assert!((0..40).all(|n| alone(0, n, flip) == alone(0, n, both)));
        let names: std::collections::BTreeSet<&str> =
            AUGMENTATIONS.iter().map(|r| &r.name[..r.name.len().min(8)]).chain(["mix"]).collect();
        assert_eq!(names.len(), AUGMENTATIONS.len() + 1);
    }

    #[test]
    fn crops_flips_and_erasures_are_what_they_say() {
        let none = Augmentation::default();
        let channel = |p: &[f64]| p.iter().step_by(3).copied().collect::<Vec<f64>>();
        let flipped = alone(0, 0, Augmentation { hflip: 1.0, ..none });
        for (row, before) in flipped.chunks(15).zip(pixels().chunks(15)) {
            let mirrored: Vec<f64> = before.chunks(3).rev().flatten().copied().collect();
            assert_eq!(row, mirrored);
        }
        // Nine windows of an image padded by one.
        let crops: Vec<_> =
            (0..200).map(|n| channel(&alone(0, n, Augmentation { crop_pad: 1, ..none }))).collect();
        let distinct = (0..200).filter(|&i| !crops[..i].contains(&crops[i])).count();
        assert_eq!(distinct, 9);
        assert!(crops.iter().any(|c| c[..5] == [0.0; 5] && c[5..10] == [30.0, 33.0, 36.0, 39.0, 42.0]));
        // Between 2 % and a third of the pixels, all channels of a pixel or none.
        for n in 0..50 {
            let erased = alone(0, n, Augmentation { erase: 1.0, ..none });
            let gone: Vec<bool> = erased.iter().zip(pixels()).map(|(a, b)| *a != b).collect();
            let pixels = gone.chunks(3).filter(|c| c[0]).count();
            assert!(gone.chunks(3).all(|c| c[0] == c[1] && c[1] == c[2]));
            assert!((1..=9).contains(&pixels), "{pixels}");
            // They fill the rectangle around them.
            let gone: Vec<(usize, usize)> =
                gone.chunks(3).enumerate().filter(|(_, c)| c[0]).map(|(p, _)| (p / 5, p % 5)).collect();
            let side = |of: fn(&(usize, usize)) -> usize| {
                gone.iter().map(of).max().unwrap() - gone.iter().map(of).min().unwrap() + 1
            };
            assert_eq!(gone.len(), side(|p| p.0) * side(|p| p.1));
        }
        // What is put there has the mean and the deviation of the images, 100 and 50.
        let erased = |n| alone(0, n, Augmentation { erase: 1.0, ..none });
        let noise: Vec<f64> = (0..400)
            .flat_map(|n| erased(n).into_iter().zip(pixels()).filter(|(a, b)| a != b).map(|(a, _)| a))
            .collect();
        let count = noise.len() as f64;
        let mean = noise.iter().sum::<f64>() / count;
        let deviation = (noise.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt();
        assert!((mean - 100.0).abs() < 5.0 * 50.0 / count.sqrt(), "{mean}");
        assert!((deviation - 50.0).abs() < 5.0 * 50.0 / (2.0 * count).sqrt(), "{deviation}");
        // On grey of one shade contrast and saturation change nothing; brightness is a factor of 1 ± 0.4, and values end at 255.
        let jitter = Augmentation { color_jitter: 0.4, ..none };
        let grey = |n, v: f64| changed(draws(1, 0, jitter), n, (4, 5, 3), vec![v; 60]);
        let factors: Vec<f64> = (0..200).map(|n| grey(n, 100.0)[0] / 100.0).collect();
        assert!((0..200).all(|n| grey(n, 100.0).iter().all(|v| (v - grey(n, 100.0)[0]).abs() < 1e-9)));
        assert!(factors.iter().all(|f| (0.6 - 1e-9..=1.4 + 1e-9).contains(f)), "{factors:?}");
        assert!(factors.iter().any(|f| *f < 0.65) && factors.iter().any(|f| *f > 1.35));
        assert!((0..200).any(|n| grey(n, 250.0)[0] == 255.0));
        // Without colour the luma stands still under saturation; red, green and blue keep their order under all three.
        let colours = |n| changed(draws(1, 0, jitter), n, (1, 1, 3), vec![60.0, 90.0, 120.0]);
        assert!((0..200).all(|n| colours(n).is_sorted()));
        let luma = |p: &[f64]| 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
        // Of one pixel the mean is its own luma: contrast and saturation leave that, brightness multiplies it.
        assert!((0..200).all(|n| (luma(&colours(n)) / luma(&[60.0, 90.0, 120.0]) - 1.0).abs() <= 0.4 + 1e-9));
        let shares = (0..200).map(|n| luma(&colours(n)) / luma(&[60.0, 90.0, 120.0])).collect::<Vec<_>>();
        assert!(
            shares.iter().zip(&factors).all(|(s, f)| (s - f).abs() < 1e-9),
            "the same draws, the same brightness"
        );
    }

    #[test]
    fn labels_are_mixed_as_images_are() {
        let none = Augmentation::default();
        for a in [Augmentation { mixup: 0.4, ..none }, Augmentation { cutmix: 1.0, ..none }] {
            for epoch in 0..200 {
                let (pixels, class, mixed) = mixed(draws(1, epoch, a), 3);
                // The partner's pixels are 1, the image's own are 0.
                let share = pixels.iter().sum::<f64>() / 60.0;
                let of_partner = if class == 9 { 1.0 - mixed.share } else { mixed.share };
                assert!((share - of_partner).abs() < 1e-12, "{share} {of_partner}");
                assert!(mixed.share <= 0.5 && [class, mixed.class] != [7, 7]);
                let binary = pixels.iter().all(|p| *p == 0.0 || *p == 1.0);
                assert!(a.cutmix == 0.0 || binary);
            }
        }
        let both = Augmentation { mixup: 1.0, cutmix: 1.0, mix_prob: 0.8, ..none };
        let kinds: Vec<_> = (0..300).map(|e| mixed(draws(1, e, both), 3).0).collect();
        let whole = kinds.iter().filter(|p| p.iter().all(|p| *p == 0.0)).count();
        let blended = kinds.iter().filter(|p| p.iter().any(|p| *p != 0.0 && *p != 1.0)).count();
        assert!((40..=100).contains(&whole) && (80..=160).contains(&blended), "{whole} {blended}");
    }

    #[test]
    fn beta_has_its_moments() {
        for alpha in [0.2, 1.0, 4.0] {
            let mut rng = Rng::new(5, "beta", 0, 0);
            let n = 20_000;
            let draws: Vec<f64> = (0..n).map(|_| beta(&mut rng, alpha)).collect();
            let mean = draws.iter().sum::<f64>() / n as f64;
            let var = draws.iter().map(|d| (d - 0.5) * (d - 0.5)).sum::<f64>() / n as f64;
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            // Five standard errors; the fourth central moment is at most 1/16.
            assert!((mean - 0.5).abs() < 5.0 * (expected / n as f64).sqrt(), "{alpha}: {mean}");
            assert!(
                (var - expected).abs() < 5.0 * (1.0 / 16.0 / n as f64).sqrt(),
                "{alpha}: {var} {expected}"
            );
        }
    }
}
