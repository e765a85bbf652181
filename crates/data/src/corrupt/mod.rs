//! Corruptions of images, one file each, and their table: the families of Hendrycks and Dietterich ("Benchmarking Neural Network Robustness to
//! Common Corruptions and Perturbations", ICLR 2019) that need no pictures of their own, and `invert`. A new one is a file here and
//! a row of [`CORRUPTIONS`].
//!
//! Constants are those of CIFAR-10-C, per severity; lengths, which are pixels of 32×32 images there, grow with the image.
//! What is done to an image is a function of (seed, corruption, number of the image); severities share their random numbers.

mod brightness;
mod contrast;
mod defocus_blur;
mod elastic;
mod filter;
mod fog;
mod gaussian_blur;
mod gaussian_noise;
mod glass_blur;
mod impulse_noise;
mod invert;
mod jpeg;
mod motion_blur;
mod pixelate;
mod shot_noise;
mod speckle_noise;
mod zoom_blur;

use crate::error::{Error, Result};
use crate::image_set::{ImageSet, Pixels};
use serde::{Serialize, Serializer};
use sph_tensor::{Rng, by_samples};
use std::fmt;
use std::str::FromStr;

/// An image under work.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Height, width, channels.
    pub size: (usize, usize, usize),
    /// Values from 0 to 1, [height, width, channels]; cut to that range when a corruption is done.
    pub values: Vec<f64>,
}

impl Picture {
    /// Its shorter side over 32: what lengths are multiplied by.
    fn scale(&self) -> f64 {
        self.size.0.min(self.size.1) as f64 / 32.0
    }

    /// Every value by itself.
    fn map(&mut self, mut f: impl FnMut(f64) -> f64) {
        self.values.iter_mut().for_each(|v| *v = f(*v));
    }
}

/// A row of the table of corruptions.
#[derive(Debug)]
pub struct CorruptionRow {
    /// The name users give, that of its file.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Does it with a severity from 0 (severity 1) to 4 (severity 5) and the image's own random stream.
    pub apply: fn(&mut Picture, usize, &mut Rng),
}

/// Severities are numbered from 1 to this.
pub const SEVERITIES: usize = 5;

/// All corruptions.
pub const CORRUPTIONS: &[CorruptionRow] = &[
    CorruptionRow { name: "gaussian_noise", about: "normal noise", apply: gaussian_noise::apply },
    CorruptionRow { name: "shot_noise", about: "photons counted: Poisson noise", apply: shot_noise::apply },
    CorruptionRow { name: "impulse_noise", about: "salt and pepper", apply: impulse_noise::apply },
    CorruptionRow {
        name: "speckle_noise",
        about: "normal noise in proportion to the value",
        apply: speckle_noise::apply,
    },
    CorruptionRow { name: "gaussian_blur", about: "blur by a normal kernel", apply: gaussian_blur::apply },
    CorruptionRow { name: "defocus_blur", about: "blur by a disk", apply: defocus_blur::apply },
    CorruptionRow { name: "glass_blur", about: "pixels swapped nearby", apply: glass_blur::apply },
    CorruptionRow { name: "motion_blur", about: "blur along a line", apply: motion_blur::apply },
    CorruptionRow { name: "zoom_blur", about: "enlarged images averaged", apply: zoom_blur::apply },
    CorruptionRow { name: "fog", about: "a plasma fractal laid over", apply: fog::apply },
    CorruptionRow { name: "brightness", about: "brighter", apply: brightness::apply },
    CorruptionRow { name: "contrast", about: "nearer to the mean", apply: contrast::apply },
    CorruptionRow { name: "elastic", about: "stretched and bent", apply: elastic::apply },
    CorruptionRow { name: "pixelate", about: "made small and large again", apply: pixelate::apply },
    CorruptionRow { name: "jpeg", about: "compressed as JPEG", apply: jpeg::apply },
    CorruptionRow { name: "invert", about: "blended toward its negative", apply: invert::apply },
];

/// A corruption with its severity, as users write it: `fog:3`.
///
/// ```
/// use sph_data::corrupt::Corruption;
/// let fog: Corruption = "fog:3".parse().unwrap();
/// assert_eq!((fog.row.name, fog.severity), ("fog", 3));
/// assert!("fog:6".parse::<Corruption>().unwrap_err().contains("1 to 5"));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Corruption {
    /// Which one.
    pub row: &'static CorruptionRow,
    /// From 1 to 5.
    pub severity: usize,
}

impl PartialEq for Corruption {
    fn eq(&self, other: &Self) -> bool {
        (self.row.name, self.severity) == (other.row.name, other.severity)
    }
}

impl FromStr for Corruption {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (name, severity) = text.split_once(':').ok_or("must be NAME:SEVERITY, such as fog:3")?;
        let row = CORRUPTIONS.iter().find(|c| c.name == name).ok_or_else(|| {
            let names: Vec<&str> = CORRUPTIONS.iter().map(|c| c.name).collect();
            format!("there is no corruption '{name}'; there are {}", names.join(", "))
        })?;
        match severity.parse() {
            Ok(severity @ 1..=SEVERITIES) => Ok(Corruption { row, severity }),
            _ => Err(format!("severity '{severity}' must be a whole number from 1 to {SEVERITIES}")),
        }
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.row.name, self.severity)
    }
}

impl Serialize for Corruption {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// The longest side of an image, JPEG's own bound.
const LARGEST: usize = 65_535;

/// Black and white of a data set: the least and the largest of its values and 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// What becomes 0.
    pub black: f64,
    /// What becomes 1.
    pub white: f64,
}

impl Range {
    /// That of these images, by convention the training images.
    ///
    /// # Errors
    /// When they are no images (fewer than two pixels a side), are larger than JPEG takes, or all values are 0.
    pub fn of(set: &ImageSet) -> Result<Self> {
        let (h, w, _) = set.size;
        if h < 2 || w < 2 {
            return Err(Error::Images(format!("corruptions are for images; these have {h}×{w} pixels")));
        }
        if h.max(w) > LARGEST {
            return Err(Error::Images(format!(
                "images of {h}×{w} pixels are more than corruptions take, {LARGEST} a side"
            )));
        }
        let (black, white) = match &set.images {
            Pixels::Bytes(v) => (0.0, f64::from(v.iter().copied().max().unwrap_or(0))),
            Pixels::Floats(v) => {
                let fold = |f: fn(f32, f32) -> f32| f64::from(v.iter().copied().fold(0.0, f));
                (fold(f32::min), fold(f32::max))
            }
        };
        match white > black {
            true => Ok(Range { black, white }),
            false => Err(Error::Images("the images have no value that is greater than 0".into())),
        }
    }
}

/// Corruption of a data set's images.
#[derive(Debug, Clone, Copy)]
pub struct Corruptor {
    /// Which corruption.
    pub corruption: Corruption,
    /// Black and white.
    pub range: Range,
    /// Seed of the random numbers.
    pub seed: u64,
}

impl Corruptor {
    /// Image number `index` of `set`, corrupted; `number` is its number in the whole data set, which its random numbers depend on.
    pub fn picture(&self, set: &ImageSet, index: usize, number: u64) -> Picture {
        let Range { black, white } = self.range;
        let mut picture = Picture { size: set.size, values: set.images.numbers(&[index], set.image_len()) };
        picture.map(|v| (v - black) / (white - black));
        let row = self.corruption.row;
        let name = crc32fast::hash(row.name.as_bytes());
        let mut rng = Rng::new(self.seed, "corrupt", number, name.into());
        (row.apply)(&mut picture, self.corruption.severity - 1, &mut rng);
        picture.map(|v| v.clamp(0.0, 1.0));
        picture
    }

    /// The images of `set` with these numbers, corrupted; `first` images of the data set stand before `set`.
    ///
    /// On all threads, with the same bits on any number of them.
    pub fn images(&self, set: &ImageSet, numbers: &[usize], first: usize) -> ImageSet {
        let Range { black, white } = self.range;
        let value = move |v: f64| black + v * (white - black);
        let work = numbers.len() * set.image_len() * 64;
        let pictures = by_samples::<f32, _>(None, numbers.len(), work, |run, _| {
            let one = |&i: &usize| self.picture(set, i, (first + i) as u64).values;
            numbers[run].iter().map(one).collect::<Vec<_>>()
        });
        let values = pictures.iter().flatten().flatten().map(|v| value(*v));
        ImageSet::new(
            set.size,
            match &set.images {
                Pixels::Bytes(_) => Pixels::Bytes(values.map(|v| libm::round(v) as u8).collect()),
                Pixels::Floats(_) => Pixels::Floats(values.map(|v| v as f32).collect()),
            },
            numbers.iter().map(|&i| set.labels[i]).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn photo(size: (usize, usize, usize), floats: bool) -> ImageSet {
        let (h, w, c) = size;
        let value = |i: usize| {
            let (n, y, x, c) = (i / (h * w * c), i / (w * c) % h, i / c % w, i % c);
            // A ramp, an edge and a texture.
            (6 * x + 40 * c + 10 * n + if y > h / 3 { 60 } else { 0 } + 25 * ((x / 2 + y / 3) % 2)).min(255)
                as u8
        };
        let bytes: Vec<u8> = (0..4 * h * w * c).map(value).collect();
        let images = match floats {
            false => Pixels::Bytes(bytes),
            true => Pixels::Floats(bytes.iter().map(|v| f32::from(*v) / 255.0).collect()),
        };
        ImageSet::new(size, images, vec![0, 1, 2, 3])
    }

    fn corruptor(set: &ImageSet, row: &'static CorruptionRow, severity: usize, seed: u64) -> Corruptor {
        let range = Range::of(set).unwrap();
        Corruptor { corruption: Corruption { row, severity }, range, seed }
    }

    /// Root mean square change of the images.
    fn change(a: &ImageSet, b: &ImageSet) -> f64 {
        let all: Vec<usize> = (0..a.len()).collect();
        let [a, b] = [a, b].map(|s| s.images.numbers(&all, s.image_len()));
        let squares: f64 = a.iter().zip(&b).map(|(a, b)| (a - b) * (a - b)).sum();
        (squares / a.len() as f64).sqrt()
    }

    #[test]
    fn every_corruption_changes_images_and_more_so_with_severity() {
        for size in [(28, 28, 1), (24, 36, 3)] {
            let set = photo(size, false);
            for row in CORRUPTIONS {
                let corrupted = |s| corruptor(&set, row, s, 1).images(&set, &[0, 1, 2, 3], 0);
                let by_severity: Vec<f64> = (1..=SEVERITIES).map(|s| change(&set, &corrupted(s))).collect();
                // Each has its own constants; blurs by 0.05 and by 0.25 of a pixel are the same in bytes.
                for s in 2..=SEVERITIES {
                    let same = (row.name, s) == ("glass_blur", 2);
                    assert!(same || corrupted(s) != corrupted(s - 1), "{} {s}", row.name);
                }
                // The least blur of so small an image may be none.
                assert!(by_severity[1] > 0.5, "{} {by_severity:?}", row.name);
                // Their severities differ in kind more than in size.
                let grows =
                    by_severity[4] > 1.2 * by_severity[0] || ["elastic", "glass_blur"].contains(&row.name);
                assert!(grows && by_severity.iter().all(|c| *c < 200.0), "{} {by_severity:?}", row.name);
            }
        }
    }

    /// What becomes of an image depends on seed, corruption and number alone: not on its neighbours, nor on the pixels' type.
    #[test]
    fn an_image_is_corrupted_by_its_number() {
        for row in CORRUPTIONS {
            let (set, floats) = (photo((20, 20, 3), false), photo((20, 20, 3), true));
            let make = |seed| corruptor(&set, row, 3, seed);
            let all = make(1).images(&set, &[0, 1, 2, 3], 10);
            assert_eq!(make(1).images(&set, &[3, 1], 10), all.select(&[3, 1]), "{}", row.name);
            let other = make(2).images(&set, &[0, 1, 2, 3], 10);
            let shifted = make(1).images(&set, &[0, 1, 2, 3], 11);
            let random =
                !["gaussian_blur", "defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate"]
                    .iter()
                    .chain(&["jpeg", "invert"])
                    .any(|n| *n == row.name);
            assert_eq!((other != all, shifted != all), (random, random), "{}", row.name);
            let same = corruptor(&floats, row, 3, 1).images(&floats, &[0, 1, 2, 3], 10);
            if let Pixels::Floats(v) = &same.images {
                assert!(v.iter().all(|v| (0.0..=1.0).contains(v)), "{}", row.name);
            }
            let scaled = Pixels::Bytes(match same.images {
                Pixels::Floats(v) => v.iter().map(|v| libm::round(f64::from(*v) * 255.0) as u8).collect(),
                Pixels::Bytes(_) => unreachable!("floats stay floats"),
            });
            assert!(change(&ImageSet { images: scaled, ..all.clone() }, &all) < 0.5, "{}", row.name);
        }
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let flat = ImageSet::new((1, 1, 4), Pixels::Floats(vec![1.0; 4]), vec![0]);
        assert!(Range::of(&flat).unwrap_err().to_string().contains("1×1 pixels"));
        let black = ImageSet::new((2, 2, 1), Pixels::Bytes(vec![0; 4]), vec![0]);
        assert!(Range::of(&black).is_err());
        assert!("rain:1".parse::<Corruption>().unwrap_err().contains("gaussian_noise, shot_noise"));
    }
}
