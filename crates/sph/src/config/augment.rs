//! Settings of the random changes of training images.

use super::values::{not_negative, probability};
use crate::error::{Error, Result};
use clap::Args;
use serde::Serialize;
use sph_data::augment::Augmentation;

/// Random changes of training images, by seed, epoch and image.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AugmentArgs {
    /// Random crop of training images padded by this many pixels.
    #[arg(long, default_value_t = 0, value_name = "PIXELS", value_parser = clap::value_parser!(u8).range(0..=64))]
    pub random_crop: u8,
    /// Probability of a horizontal flip of training images.
    #[arg(long, default_value_t = 0.0, value_parser = probability)]
    pub hflip: f64,
    /// Brightness, contrast and saturation times a random factor in 1 ± this.
    #[arg(long, default_value_t = 0.0, value_parser = not_negative, value_name = "STRENGTH")]
    pub color_jitter: f64,
    /// Probability that a random rectangle is replaced by noise (random erasing).
    #[arg(long, default_value_t = 0.0, value_parser = probability)]
    pub reprob: f64,
    /// Mixup: images and labels are averaged in pairs, with a weight from Beta(ALPHA, ALPHA); 0 for none.
    #[arg(long, default_value_t = 0.0, value_parser = not_negative, value_name = "ALPHA")]
    pub mixup: f64,
    /// CutMix: a rectangle comes from another image, with its share of the label; 0 for none.
    #[arg(long, default_value_t = 0.0, value_parser = not_negative, value_name = "ALPHA")]
    pub cutmix: f64,
    /// Probability that an image is mixed [default: 1].
    #[arg(long, value_parser = probability)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixup_prob: Option<f64>,
    /// Probability of cutmix instead of mixup, where both are on [default: 0.5].
    #[arg(long, value_parser = probability)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixup_switch_prob: Option<f64>,
}

impl AugmentArgs {
    /// What is done to training images.
    ///
    /// # Errors
    /// For settings of a mixing that was not asked for.
    pub fn build(&self) -> Result<Augmentation> {
        let (mixup, cutmix) = (self.mixup > 0.0, self.cutmix > 0.0);
        if self.mixup_prob.is_some() && !(mixup || cutmix) {
            return Err(Error::needs("mixup-prob", "--mixup or --cutmix"));
        }
        if self.mixup_switch_prob.is_some() && !(mixup && cutmix) {
            return Err(Error::needs("mixup-switch-prob", "both --mixup and --cutmix"));
        }
        let d = Augmentation::default();
        Ok(Augmentation {
            crop_pad: self.random_crop.into(),
            hflip: self.hflip,
            color_jitter: self.color_jitter,
            erase: self.reprob,
            mixup: self.mixup,
            cutmix: self.cutmix,
            mix_prob: self.mixup_prob.unwrap_or(d.mix_prob),
            switch_prob: self.mixup_switch_prob.unwrap_or(d.switch_prob),
        })
    }
}
