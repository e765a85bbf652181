//! Images made to fit a model: enlarged by a whole factor, then padded.

use crate::error::{Error, Result};
use crate::image_set::{ImageSet, Pixels};

/// Images of `size`×`size`: every pixel repeated as often as fits in both directions, the rest padded with zeros on both sides.
///
/// # Errors
/// When the images are larger than that.
pub fn fit(set: &ImageSet, size: usize) -> Result<ImageSet> {
    let (h, w, c) = set.size;
    if h > size || w > size {
        let reason = format!("is less than the images' {h}×{w}; images are enlarged, not cut");
        return Err(Error::setting("image-size", Some(&size.to_string()), reason));
    }
    let images = match &set.images {
        Pixels::Bytes(v) => Pixels::Bytes(enlarge(v, set.size, size)),
        Pixels::Floats(v) => Pixels::Floats(enlarge(v, set.size, size)),
    };
    Ok(ImageSet { size: (size, size, c), images, ..set.clone() })
}

fn enlarge<V: Copy + Default>(from: &[V], (h, w, c): (usize, usize, usize), size: usize) -> Vec<V> {
    let factor = (size / h).min(size / w);
    let (top, left) = ((size - factor * h) / 2, (size - factor * w) / 2);
    let mut images = vec![V::default(); from.len() / (h * w) * size * size];
    for (from, to) in from.chunks_exact(h * w * c).zip(images.chunks_exact_mut(size * size * c)) {
        for y in 0..factor * h {
            for x in 0..factor * w {
                let pixel = (y / factor * w + x / factor) * c;
                let out = ((top + y) * size + left + x) * c;
                to[out..out + c].copy_from_slice(&from[pixel..pixel + c]);
            }
        }
    }
    images
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_repeated_and_the_rest_is_padded() {
        let set = ImageSet::new((1, 2, 1), Pixels::Bytes(vec![3, 7]), vec![0]);
        let out = fit(&set, 4).unwrap();
        assert_eq!(out.images.bytes().unwrap(), [0, 0, 0, 0, 3, 3, 7, 7, 3, 3, 7, 7, 0, 0, 0, 0]);
        assert!(fit(&set, 1).unwrap_err().to_string().contains("`image-size` 1"));
        // Two images, taller than wide, of two channels.
        let values = |v: &[u8]| Pixels::Floats(v.iter().map(|v| f32::from(*v)).collect());
        let set = ImageSet::new((2, 1, 2), values(&[1, 2, 3, 4, 5, 6, 7, 8]), vec![0, 1]);
        let one = |v: [u8; 4]| [0, 0, v[0], v[1], 0, 0, 0, 0, v[2], v[3], 0, 0, 0, 0, 0, 0, 0, 0];
        let out = fit(&set, 3).unwrap();
        assert_eq!(out.images, values(&[one([1, 2, 3, 4]), one([5, 6, 7, 8])].concat()));
    }
}
