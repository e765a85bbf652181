//! The UCI handwritten digits (Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI Machine Learning
//! Repository, CC BY 4.0): 1,797 images of 8×8 with values 0 to 16, the file that scikit-learn ships, embedded as it is.
//!
//! The split is ours, since the file has none: 360 test images, stratified (stratified, with purpose "digits").

use super::{numbered, stratified};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::image_set::{ImageSet, Pixels};
use crate::options::DataOptions;
use std::io::Read;
use std::path::Path;

static FILE: &[u8] = include_bytes!("../../assets/digits.csv.gz");
const TEST_IMAGES: usize = 360;

pub(super) fn load(_: &DataOptions) -> Result<Dataset> {
    let damaged = |reason: String| Error::file(Path::new("embedded digits"), reason);
    let mut text = String::new();
    flate2::read::GzDecoder::new(FILE).read_to_string(&mut text).map_err(|e| damaged(e.to_string()))?;
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let values = line.split(',').map(|v| v.trim().parse::<f64>().map(|v| v as u8));
        let mut values =
            values.collect::<std::result::Result<Vec<_>, _>>().map_err(|e| damaged(e.to_string()))?;
        labels.extend(values.pop().map(u32::from));
        images.extend(values);
    }
    let all = ImageSet::new((8, 8, 1), Pixels::Bytes(images), labels);
    let (train, test) = stratified(&all.labels, 10, TEST_IMAGES, "digits");
    Ok(Dataset::new(all.select(&train), all.select(&test), numbered(10))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_is_the_stated_one() {
        let data = load(&DataOptions::default()).unwrap();
        assert_eq!((data.train.len(), data.test.len(), data.classes()), (1437, 360, 10));
        assert_eq!(data.train.images.len(), 1437 * 64);
        let bytes = [&data.train, &data.test].map(|s| s.images.bytes().unwrap());
        assert!(bytes.concat().iter().all(|v| *v <= 16));
        let count = |class| data.test.labels.iter().filter(|&&l| l == class).count();
        assert_eq!((0..10).map(count).collect::<Vec<_>>(), [36, 37, 35, 37, 36, 36, 36, 36, 35, 36]);
        // Which images are which: what is published was measured on these. Runs hold this number.
        assert_eq!(data.crc32(), 2_795_019_623);
    }
}
