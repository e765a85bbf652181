//! The UCI handwritten digits (Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI Machine Learning
//! Repository, CC BY 4.0): 1,797 images of 8×8 with values 0 to 16, the file that scikit-learn ships, embedded as it is.
//!
//! The split is ours, since the file has none: 360 test images, stratified ([`super::stratified`] with purpose "digits").

use super::{DataOptions, Dataset, ImageSet, stratified};
use crate::error::{Error, Result};
use std::io::Read;
use std::path::Path;

static FILE: &[u8] = include_bytes!("../../assets/digits.csv.gz");
const TEST_IMAGES: usize = 360;

pub(super) fn load(options: &DataOptions) -> Result<Dataset> {
    if options.data_dir.is_some() {
        return Err(Error::Config("the data set 'digits' is embedded; leave --data-dir out".into()));
    }
    let damaged = |reason: String| Error::data(Path::new("embedded digits"), reason);
    let mut text = String::new();
    flate2::read::GzDecoder::new(FILE).read_to_string(&mut text).map_err(|e| damaged(e.to_string()))?;
    let mut all = ImageSet { size: (8, 8, 1), images: Vec::new(), labels: Vec::new() };
    for line in text.lines() {
        let values = line.split(',').map(|v| v.trim().parse::<f64>().map(|v| v as u8));
        let mut values =
            values.collect::<std::result::Result<Vec<_>, _>>().map_err(|e| damaged(e.to_string()))?;
        all.labels.extend(values.pop());
        all.images.extend(values);
    }
    let (train, test) = stratified(&all.labels, 10, TEST_IMAGES, "digits");
    Ok(Dataset::new(all.select(&train), all.select(&test), 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_is_the_stated_one() {
        let data = load(&DataOptions::default()).unwrap();
        assert_eq!((data.train.len(), data.test.len(), data.classes), (1437, 360, 10));
        assert_eq!(data.train.images.len(), 1437 * 64);
        assert!(data.train.images.iter().chain(&data.test.images).all(|v| *v <= 16));
        let count = |class| data.test.labels.iter().filter(|&&l| l == class).count();
        assert_eq!((0..10).map(count).collect::<Vec<_>>(), [36, 37, 35, 37, 36, 36, 36, 36, 35, 36]);
    }
}
