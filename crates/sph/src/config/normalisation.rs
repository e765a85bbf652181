//! Settings of the normalisation of images.

use crate::error::{Error, Result};
use clap::Args;
use serde::Serialize;
use sph_data::{ImageSet, Normalisation};

/// A number per channel, or one for all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PerChannel(Vec<f64>);

/// What images are normalized by, in the place of what the file or the training images say.
#[derive(Args, Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NormalisationArgs {
    /// Mean that images are normalized by, per channel or one for all, on torchvision's scale: bytes divided by 255, other values as they
    /// are [default: that of the network's file, or of the training images].
    #[arg(long, value_parser = means, value_name = "R,G,B", allow_hyphen_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<PerChannel>,
    /// Standard deviation to go with --mean.
    #[arg(long, value_parser = deviations, value_name = "R,G,B", allow_hyphen_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<PerChannel>,
}

fn per_channel(text: &str, valid: fn(f64) -> bool, what: &str) -> std::result::Result<PerChannel, String> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    let numbers = numbers.filter(|all| all.iter().all(|v| v.is_finite() && valid(*v)));
    numbers.map(PerChannel).ok_or_else(|| format!("must be {what} with commas between them, one per channel"))
}

fn means(text: &str) -> std::result::Result<PerChannel, String> {
    per_channel(text, |_| true, "numbers")
}

fn deviations(text: &str) -> std::result::Result<PerChannel, String> {
    per_channel(text, |v| v > 0.0, "numbers greater than 0")
}

impl NormalisationArgs {
    /// The numbers for the images of `set`, as [`NormalisationArgs::given`].
    ///
    /// # Errors
    /// As there, and when the samples are no images.
    pub fn given_for(&self, set: &ImageSet) -> Result<Option<Normalisation>> {
        let given = self.given(set.size.2)?;
        match given.is_some() && set.as_is.is_some() {
            false => Ok(given),
            true => {
                let reason = "is of images; the network takes its inputs as they are; leave it out";
                Err(Error::flag("mean", None, reason))
            }
        }
    }

    /// The numbers for so many channels, on torchvision's scale; `None` where none are given.
    ///
    /// # Errors
    /// When one of the two is given alone, or for another number of channels.
    pub fn given(&self, channels: usize) -> Result<Option<Normalisation>> {
        let (mean, std) = match (&self.mean, &self.std) {
            (None, None) => return Ok(None),
            (Some(mean), Some(std)) => (mean, std),
            (Some(_), None) => return Err(Error::needs("mean", "--std")),
            (None, Some(_)) => return Err(Error::needs("std", "--mean")),
        };
        let of = |flag: &str, PerChannel(values): &PerChannel| match values[..] {
            [one] => Ok(vec![one; channels]),
            _ if values.len() == channels => Ok(values.clone()),
            _ => {
                let reason = format!("has {} numbers; the images have {channels} channels", values.len());
                Err(Error::flag(flag, None, reason))
            }
        };
        Ok(Some(Normalisation { mean: of("mean", mean)?, std: of("std", std)? }))
    }
}
