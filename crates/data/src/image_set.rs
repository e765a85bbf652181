//! Labelled images in memory, and samples of other kinds.

use crate::answers::{Column, IGNORED, Wanted};
use sph_tensor::Shape;

/// The values of images: bytes where the files have bytes, else 32-bit floats.
#[derive(Debug, Clone, PartialEq)]
pub enum Pixels {
    /// Whole numbers from 0 to 255.
    Bytes(Vec<u8>),
    /// Any finite numbers.
    Floats(Vec<f32>),
}

impl Pixels {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Pixels::Bytes(v) => v.len(),
            Pixels::Floats(v) => v.len(),
        }
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, where they are bytes.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Pixels::Bytes(v) => Some(v),
            Pixels::Floats(_) => None,
        }
    }

    /// What stands for 1 on the scale that torchvision's `ToTensor` makes of values: 255 in bytes; others are as they are.
    pub fn unit(&self) -> f64 {
        if self.bytes().is_some() { 255.0 } else { 1.0 }
    }

    /// All values of `parts`, one behind the other: bytes where all are bytes.
    pub fn concat(parts: Vec<Pixels>) -> Pixels {
        let bytes: Option<Vec<&[u8]>> = parts.iter().map(Pixels::bytes).collect();
        if let Some(bytes) = bytes {
            return Pixels::Bytes(bytes.concat());
        }
        let floats = parts.into_iter().flat_map(|part| match part {
            Pixels::Bytes(v) => v.into_iter().map(f32::from).collect(),
            Pixels::Floats(v) => v,
        });
        Pixels::Floats(floats.collect())
    }

    /// Stretches of `len` values, put together in this order, as numbers.
    pub fn numbers(&self, stretches: &[usize], len: usize) -> Vec<f64> {
        let range = |&i: &usize| i * len..(i + 1) * len;
        match self {
            Pixels::Bytes(v) => stretches.iter().flat_map(|i| &v[range(i)]).map(|v| f64::from(*v)).collect(),
            Pixels::Floats(v) => stretches.iter().flat_map(|i| &v[range(i)]).map(|v| f64::from(*v)).collect(),
        }
    }

    /// Stretches of `len` values, put together in this order.
    pub(crate) fn select(&self, numbers: &[usize], len: usize) -> Pixels {
        fn pick<V: Copy>(from: &[V], numbers: &[usize], len: usize) -> Vec<V> {
            numbers.iter().flat_map(|&i| &from[i * len..(i + 1) * len]).copied().collect()
        }
        match self {
            Pixels::Bytes(v) => Pixels::Bytes(pick(v, numbers, len)),
            Pixels::Floats(v) => Pixels::Floats(pick(v, numbers, len)),
        }
    }

    /// Mean and standard deviation per channel, channels last; 1 for the deviation of a channel that is constant.
    pub(crate) fn moments(&self, channels: usize) -> (Vec<f64>, Vec<f64>) {
        let count = (self.len() / channels).max(1) as f64;
        let (mean, std): (Vec<f64>, Vec<f64>) = match self {
            Pixels::Bytes(v) => {
                let mut histogram = vec![[0u64; 256]; channels];
                v.iter().enumerate().for_each(|(i, v)| histogram[i % channels][*v as usize] += 1);
                let moment = |h: &[u64; 256], f: &dyn Fn(f64) -> f64| -> f64 {
                    h.iter().enumerate().map(|(v, n)| f(v as f64) * *n as f64).sum::<f64>() / count
                };
                let of = |h| {
                    let mean = moment(h, &|v| v);
                    (mean, moment(h, &|v| (v - mean) * (v - mean)).sqrt())
                };
                histogram.iter().map(of).unzip()
            }
            Pixels::Floats(v) => {
                let mean_of = |f: &dyn Fn(usize, f64) -> f64| -> Vec<f64> {
                    let mut sums = vec![0.0; channels];
                    for row in v.chunks_exact(channels) {
                        sums.iter_mut()
                            .zip(row)
                            .enumerate()
                            .for_each(|(c, (s, v))| *s += f(c, f64::from(*v)));
                    }
                    sums.into_iter().map(|s| s / count).collect()
                };
                let mean = mean_of(&|_, v| v);
                let var = mean_of(&|c, v| (v - mean[c]) * (v - mean[c]));
                mean.into_iter().zip(var.into_iter().map(f64::sqrt)).unzip()
            }
        };
        // Rounding of the mean is no deviation.
        let varies = |m: &f64, s: f64| if s > 1e-9 * m.abs() { s } else { 1.0 };
        let std = mean.iter().zip(std).map(|(m, s)| varies(m, s)).collect();
        (mean, std)
    }
}

/// Labelled images, NHWC. Flat features are images of one pixel with a channel per feature.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageSet {
    /// Height, width, channels.
    pub size: (usize, usize, usize),
    /// N·H·W·C values.
    pub images: Pixels,
    /// N class numbers; all 0 where something else is to be answered.
    pub labels: Vec<u32>,
    /// Shape of a sample that is no image: the network takes it as it is. `size` is one pixel with a channel per value then.
    pub as_is: Option<Vec<usize>>,
    /// What the network reads beside the first input, as it is.
    pub more: Vec<Column>,
    /// What is to be answered.
    pub wanted: Wanted,
}

impl ImageSet {
    /// Images of this size with a class each.
    pub fn new(size: (usize, usize, usize), images: Pixels, labels: Vec<u32>) -> Self {
        ImageSet { size, images, labels, as_is: None, more: Vec::new(), wanted: Wanted::Labels }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Its size for people: height, width and channels, `28×28×1`; the shape where a sample is no image.
    pub fn spelled_size(&self) -> String {
        if let Some(shape) = &self.as_is {
            return format!("{:?}", Shape::new(shape));
        }
        let (height, width, channels) = self.size;
        format!("{height}×{width}×{channels}")
    }

    /// What is wrong with these images of `classes` classes, if anything.
    pub(crate) fn fault(&self, classes: usize) -> Option<String> {
        let (n, size) = (self.len(), self.spelled_size());
        // Sizes beyond what memory holds have no number of values.
        let (height, width, channels) = self.size;
        let values = [height, width, channels, n].into_iter().try_fold(1usize, usize::checked_mul);
        if n == 0 {
            return Some("there are none".into());
        }
        if [height, width, channels].contains(&0) {
            return Some(format!("their size is {size}"));
        }
        if values != Some(self.images.len()) {
            let found = self.images.len();
            return Some(format!("there are {found} values for {n} images of {size}"));
        }
        if let Some(i) = self.labels.iter().position(|label| *label as usize >= classes) {
            return Some(format!("image {i} has label {}, and there are {classes} classes", self.labels[i]));
        }
        let not_finite = |values: &Pixels| match values {
            Pixels::Bytes(_) => None,
            Pixels::Floats(v) => v.iter().position(|v| !v.is_finite()),
        };
        if let Some(i) = not_finite(&self.images) {
            return Some(format!("image {} has a value that is not finite", i / self.image_len()));
        }
        let values = match &self.wanted {
            Wanted::Values(column) => Some(column),
            _ => None,
        };
        for Column { name, shape, values } in self.more.iter().chain(values) {
            let entry = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
            let all = entry.and_then(|entry| entry.checked_mul(n));
            if all != Some(values.len()) || values.is_empty() {
                return Some(format!("'{name}' has {} values for {n} of {shape:?}", values.len()));
            }
            if let Some(i) = not_finite(values) {
                return Some(format!("value {i} of '{name}' is not finite"));
            }
        }
        if let Wanted::Classes { shape, classes: found } = &self.wanted {
            let all = shape.iter().try_fold(n, |n, d| n.checked_mul(*d));
            if all != Some(found.len()) || found.is_empty() {
                return Some(format!("there are {} classes for {n} samples of {shape:?}", found.len()));
            }
            let outside = |class: &&u32| **class != IGNORED && **class as usize >= classes;
            if let Some(class) = found.iter().find(outside) {
                return Some(format!("there is a label {class}, and there are {classes} classes"));
            }
        }
        None
    }

    /// Values of one image.
    pub fn image_len(&self) -> usize {
        self.size.0 * self.size.1 * self.size.2
    }

    /// These images and those of `other`, which have the same channels and size.
    pub(crate) fn with(&self, other: &ImageSet) -> ImageSet {
        let images = match (&self.images, &other.images) {
            (Pixels::Bytes(a), Pixels::Bytes(b)) => Pixels::Bytes([&a[..], b].concat()),
            (a, b) => {
                let floats =
                    |p: &Pixels| p.numbers(&[0], p.len()).into_iter().map(|v| v as f32).collect::<Vec<_>>();
                Pixels::Floats([floats(a), floats(b)].concat())
            }
        };
        ImageSet {
            size: self.size,
            images,
            labels: [&self.labels[..], &other.labels].concat(),
            as_is: self.as_is.clone(),
            more: self.more.iter().zip(&other.more).map(|(a, b)| a.with(b)).collect(),
            wanted: self.wanted.with(&other.wanted),
        }
    }

    /// The images with the given numbers, in that order.
    pub fn select(&self, numbers: &[usize]) -> ImageSet {
        ImageSet {
            size: self.size,
            images: self.images.select(numbers, self.image_len()),
            labels: numbers.iter().map(|&i| self.labels[i]).collect(),
            as_is: self.as_is.clone(),
            more: self.more.iter().map(|column| column.select(numbers)).collect(),
            wanted: self.wanted.select(numbers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_floats_have_the_same_moments() {
        let bytes: Vec<u8> = (0..60).map(|i| if i % 2 == 0 { 7 } else { (i * i) as u8 }).collect();
        let floats = bytes.iter().map(|v| f32::from(*v)).collect();
        let (mean, std) = Pixels::Bytes(bytes).moments(2);
        let other = Pixels::Floats(floats).moments(2);
        // A constant channel is not blown up.
        assert_eq!((mean[0], std[0]), (7.0, 1.0));
        for (a, b) in mean.iter().chain(&std).zip(other.0.iter().chain(&other.1)) {
            assert!((a - b).abs() < 1e-9 * a, "{a} {b}");
        }
    }
}
