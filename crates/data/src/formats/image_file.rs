//! JPEG and PNG files.

use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use std::io::Cursor;

/// Images of more pixels are refused before they are decoded: 50 megapixels.
pub const MAX_PIXELS: u64 = 50_000_000;

/// Decoders may take this much memory: 16 bytes a pixel.
const MAX_ALLOC: u64 = 16 * MAX_PIXELS;

/// An image of bytes, [height, width, channels], as its file holds it.
#[derive(Debug, Clone)]
pub struct Decoded(DynamicImage);

/// Decodes a JPEG or PNG file, whichever its bytes say it is.
///
/// # Errors
/// When it is neither, is damaged, or has more than [`MAX_PIXELS`].
pub fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let open = || {
        let mut reader =
            ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
        if !matches!(reader.format(), Some(ImageFormat::Jpeg | ImageFormat::Png)) {
            return Err("neither a JPEG nor a PNG file".to_string());
        }
        let mut limits = Limits::default();
        limits.max_alloc = Some(MAX_ALLOC);
        reader.limits(limits);
        Ok(reader)
    };
    let (w, h) = open()?.into_dimensions().map_err(|e| reason(&e))?;
    if w == 0 || h == 0 {
        return Err(format!("an image of {h}×{w} pixels"));
    }
    if u64::from(w) * u64::from(h) > MAX_PIXELS {
        return Err(format!("{h}×{w} pixels are more than {MAX_PIXELS}, the limit of this program"));
    }
    open()?.decode().map(Decoded).map_err(|e| reason(&e))
}

fn reason(e: &image::ImageError) -> String {
    format!("cannot be decoded: {e}")
}

impl Decoded {
    /// Height and width.
    pub fn size(&self) -> (usize, usize) {
        (self.0.height() as usize, self.0.width() as usize)
    }

    /// The square in the middle, resized to `side`×`side` (bilinear, over all pixels that a new one covers).
    #[must_use]
    pub fn square(self, side: usize) -> Self {
        let (w, h) = (self.0.width(), self.0.height());
        let short = w.min(h);
        // Cut first: resizing a long strip whole would need memory for what is cut off.
        let cut = self.0.crop_imm((w - short) / 2, (h - short) / 2, short, short);
        let side = side as u32;
        if short == side {
            return Decoded(cut);
        }
        Decoded(cut.resize_exact(side, side, image::imageops::FilterType::Triangle))
    }

    /// Its bytes in red, green and blue, or their luma for one channel; transparency and colour profiles are left out.
    ///
    /// # Errors
    /// For another number of channels.
    pub fn into_bytes(self, channels: usize) -> Result<Vec<u8>, String> {
        match channels {
            1 => Ok(self.0.into_luma8().into_raw()),
            3 => Ok(self.0.into_rgb8().into_raw()),
            n => Err(format!("image files have 1 or 3 channels, not {n}")),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use image::RgbImage;

    /// A picture of `w`×`h` pixels as a file.
    pub fn file(w: u32, h: u32, format: ImageFormat, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Vec<u8> {
        let picture = RgbImage::from_fn(w, h, |x, y| image::Rgb(pixel(x, y)));
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn the_middle_is_cut_and_resized() {
        let halves = |x: u32, _: u32| if x < 12 { [0; 3] } else { [200, 100, 40] };
        let png = decode(&file(24, 8, ImageFormat::Png, halves)).unwrap();
        assert_eq!(png.size(), (8, 24));
        let four = png.clone().square(4).into_bytes(3).unwrap();
        assert_eq!(four.len(), 4 * 4 * 3);
        assert_eq!((&four[..3], &four[9..12]), (&[0, 0, 0][..], &[200, 100, 40][..]));
        // The middle of 24 columns is columns 8 to 15, as they are.
        let eight = png.square(8).into_bytes(3).unwrap();
        assert_eq!((&eight[9..12], &eight[12..15]), (&[0, 0, 0][..], &[200, 100, 40][..]));
        let jpeg = decode(&file(9, 7, ImageFormat::Jpeg, |_, _| [120; 3])).unwrap();
        assert!(jpeg.into_bytes(1).unwrap().iter().all(|v| v.abs_diff(120) < 3));
    }

    #[test]
    fn large_and_damaged_images_are_refused() {
        let mut png = file(4, 4, ImageFormat::Png, |_, _| [0; 3]);
        assert!(decode(&png[..40]).unwrap_err().contains("cannot be decoded"));
        assert!(decode(b"GIF89a").unwrap_err().contains("neither"));
        // A header that says 8000×8000, with its checksum made right.
        png[16..24].copy_from_slice(&[0, 0, 0x1f, 0x40, 0, 0, 0x1f, 0x40]);
        let crc = crc32fast::hash(&png[12..29]).to_be_bytes();
        png[29..33].copy_from_slice(&crc);
        assert!(decode(&png).unwrap_err().contains("8000×8000 pixels are more than 50000000"));
    }
}
