//! Compressed as JPEG and read back, without chroma subsampling. Images of other than 1 or 3 channels are compressed channel by channel.

use super::Picture;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat, load_from_memory_with_format};
use sph_tensor::Rng;

const QUALITY: [u8; 5] = [80, 65, 58, 50, 40];

pub(super) fn apply(picture: &mut Picture, severity: usize, _rng: &mut Rng) {
    let (h, w, c) = picture.size;
    if c == 1 || c == 3 {
        let bytes = compress(&picture.values, (h, w, c), QUALITY[severity]);
        picture.values = bytes.into_iter().map(|v| f64::from(v) / 255.0).collect();
        return;
    }
    for i in 0..c {
        let channel: Vec<f64> = picture.values.iter().skip(i).step_by(c).copied().collect();
        let bytes = compress(&channel, (h, w, 1), QUALITY[severity]);
        let to = picture.values.iter_mut().skip(i).step_by(c);
        to.zip(bytes).for_each(|(v, b)| *v = f64::from(b) / 255.0);
    }
}

/// The bytes that come back.
fn compress(values: &[f64], (h, w, c): (usize, usize, usize), quality: u8) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().map(|v| libm::round(255.0 * v.clamp(0.0, 1.0)) as u8).collect();
    let kind = if c == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let mut file = Vec::new();
    let encoded = JpegEncoder::new_with_quality(&mut file, quality).encode(&bytes, w as u32, h as u32, kind);
    // A file in memory, of a size that JPEG has (`super::Range::of` sees to it): it cannot fail.
    let decoded = encoded.and_then(|()| load_from_memory_with_format(&file, ImageFormat::Jpeg));
    let decoded = decoded.expect("a JPEG file in memory");
    if c == 1 { decoded.into_luma8().into_raw() } else { decoded.into_rgb8().into_raw() }
}
