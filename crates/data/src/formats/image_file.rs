//! Pictures: JPEG, PNG, BMP, WebP, TIFF and GIF files, told apart by their content.

use crate::image_set::Pixels;
use image::codecs::{gif::GifDecoder, png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{AnimationDecoder, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::Cursor;
use std::path::Path;

/// Images of more pixels are refused before they are decoded: 50 megapixels.
pub const MAX_PIXELS: u64 = 50_000_000;

/// Decoders may take this much memory: 16 bytes a pixel.
const MAX_ALLOC: u64 = 16 * MAX_PIXELS;

/// What is read, for messages.
pub const KINDS: &str = "JPEG, PNG, BMP, WebP, TIFF or GIF";

/// The endings that pictures of these kinds have.
pub const ENDINGS: [&str; 10] = ["jpg", "jpeg", "jpe", "jfif", "png", "bmp", "webp", "tif", "tiff", "gif"];

/// So many bytes at a file's beginning are enough for [`is_picture`].
pub const HEAD: u64 = 32;

/// Whether a file is called like a picture.
pub fn has_ending(path: &Path) -> bool {
    path.extension().is_some_and(|e| ENDINGS.iter().any(|known| e.eq_ignore_ascii_case(known)))
}

/// Whether a file that begins with `head` is a picture, whatever it is called. TIFF files are not found in this way: cameras' raw files,
/// whose first page is a small preview, begin alike.
pub fn is_picture(head: &[u8]) -> bool {
    match format(head) {
        // Two letters are no sign by themselves; the size of the second header is.
        Some(ImageFormat::Bmp) => {
            matches!(head.get(14..18), Some([12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
        }
        Some(format) => format != ImageFormat::Tiff,
        None => false,
    }
}

/// The format of a file that begins with these bytes, where it is one that is read.
fn format(bytes: &[u8]) -> Option<ImageFormat> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    image::guess_format(bytes).ok().filter(|f| matches!(f, Jpeg | Png | Bmp | WebP | Tiff | Gif))
}

/// What bytes are that no picture begins with.
fn other(bytes: &[u8]) -> String {
    const BEGINNINGS: [(&[u8], &str); 9] = [
        (
            b"version https://git-lfs",
            "a pointer of Git LFS, not the picture itself; fetch it with 'git lfs pull'",
        ),
        (b"<!doctype html", "an HTML page, not a picture"),
        (b"<html", "an HTML page, not a picture"),
        (b"<svg", "an SVG drawing, which is not read; draw it as PNG"),
        (b"<?xml", "an XML or SVG file, not a picture that is read; draw it as PNG"),
        (b"%pdf", "a PDF file, not a picture"),
        (b"pk\x03\x04", "a zip file, not a picture"),
        (b"\x1f\x8b", "a gzip file, not a picture"),
        (b"\x93numpy", "a NumPy array, not a picture"),
    ];
    if bytes.is_empty() {
        return "an empty file".into();
    }
    let begin = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let begins = |with: &[u8]| begin.get(..with.len()).is_some_and(|b| b.eq_ignore_ascii_case(with));
    if let Some((_, what)) = BEGINNINGS.iter().find(|(with, _)| begins(with)) {
        return (*what).into();
    }
    let kind = match bytes.get(4..12) {
        Some(brand) if brand.starts_with(b"ftyphe") || brand == b"ftypmif1" => Some("HEIC".to_string()),
        _ => image::guess_format(bytes).ok().map(|f| f.extensions_str()[0].to_ascii_uppercase()),
    };
    match kind {
        Some(kind) => format!("a picture of the kind {kind}, which is not read; convert it to JPEG or PNG"),
        None => format!("not a picture ({KINDS})"),
    }
}

/// Whether a JPEG file goes on to its end: a marker behind the data of its last scan. Decoders go on without it, in grey.
fn reaches_end(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        // A marker is 0xff (any number of them) and a byte that is neither 0 (0xff among the data) nor 0xff.
        let Some(found) = bytes.get(at..).and_then(|rest| rest.iter().position(|b| *b == 0xff)) else {
            return false;
        };
        at += found + 1;
        match bytes.get(at) {
            None => return false,
            Some(0xd9) => return true,
            // Markers without a segment, and 0xff itself, which the next marker may begin with.
            Some(0xff) => {}
            Some(0 | 0x01 | 0xd0..=0xd8) => at += 1,
            Some(_) => {
                let Some(&[a, b]) = bytes.get(at + 1..at + 3) else { return false };
                at += 1 + usize::from(u16::from_be_bytes([a, b]));
            }
        }
    }
}

/// Whether a file holds more pictures than the first: frames of an animation, or pages.
fn holds_several(bytes: &[u8], format: ImageFormat) -> bool {
    let reader = Cursor::new(bytes);
    match format {
        ImageFormat::Gif => GifDecoder::new(reader).is_ok_and(|mut d| {
            let limited = d.set_limits(limits()).is_ok();
            limited && matches!(d.into_frames().nth(1), Some(Ok(_)))
        }),
        ImageFormat::Png => PngDecoder::new(reader).is_ok_and(|d| d.is_apng().unwrap_or(false)),
        ImageFormat::WebP => WebPDecoder::new(reader).is_ok_and(|d| d.has_animation()),
        ImageFormat::Tiff => tiff::decoder::Decoder::new(reader).is_ok_and(|d| d.more_images()),
        _ => false,
    }
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOC);
    limits
}

/// A picture, as its file holds it or as people see it.
#[derive(Debug, Clone)]
pub struct Decoded {
    image: DynamicImage,
    /// Whether the file holds others behind it: frames of an animation, or pages.
    pub first_of_several: bool,
}

/// Decodes a picture, of whichever kind its bytes say it is. With `exif` it is turned as its EXIF orientation says; TIFF's own orientation is
/// always followed.
///
/// # Errors
/// When it is of no kind that is read, is damaged or cut off, or has more than [`MAX_PIXELS`].
pub fn decode(bytes: &[u8], exif: bool) -> Result<Decoded, String> {
    let format = format(bytes).ok_or_else(|| other(bytes))?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits());
    let mut decoder = reader.into_decoder().map_err(|e| reason(&e))?;
    let (w, h) = decoder.dimensions();
    if w == 0 || h == 0 {
        return Err(format!("an image of {h}×{w} pixels"));
    }
    if u64::from(w) * u64::from(h) > MAX_PIXELS {
        return Err(format!("{h}×{w} pixels are more than {MAX_PIXELS}, the limit of this program"));
    }
    if format == ImageFormat::Jpeg && !reaches_end(bytes) {
        return Err("is cut off: the end of the JPEG file is missing".into());
    }
    // What cannot be understood there is no orientation.
    let turned = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(|e| reason(&e))?;
    if exif || format == ImageFormat::Tiff {
        image.apply_orientation(turned);
    }
    Ok(Decoded { image, first_of_several: holds_several(bytes, format) })
}

fn reason(e: &image::ImageError) -> String {
    format!("cannot be decoded: {e}")
}

impl Decoded {
    /// A picture of these bytes: 1, 3 or 4 channels (the last is transparency) in the order height, width, channels. `None` for other numbers of channels or
    /// bytes.
    pub fn from_bytes(bytes: Vec<u8>, (height, width, channels): (usize, usize, usize)) -> Option<Self> {
        let (w, h) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
        let image = match channels {
            1 => DynamicImage::ImageLuma8(image::GrayImage::from_raw(w, h, bytes)?),
            3 => DynamicImage::ImageRgb8(image::RgbImage::from_raw(w, h, bytes)?),
            4 => DynamicImage::ImageRgba8(image::RgbaImage::from_raw(w, h, bytes)?),
            _ => return None,
        };
        Some(Decoded { image, first_of_several: false })
    }

    /// Height and width.
    pub fn size(&self) -> (usize, usize) {
        (self.image.height() as usize, self.image.width() as usize)
    }

    /// Whether its values have more than 8 bits.
    pub fn is_deep(&self) -> bool {
        let color = self.image.color();
        color.bytes_per_pixel() > color.channel_count()
    }

    /// The square in the middle, resized to `side`×`side` (bilinear, over all pixels that a new one covers).
    #[must_use]
    pub fn square(mut self, side: usize) -> Self {
        let (w, h) = (self.image.width(), self.image.height());
        let short = w.min(h);
        // Cut first: resizing a long strip whole would need memory for what is cut off.
        self.image = self.image.crop_imm((w - short) / 2, (h - short) / 2, short, short);
        let side = side as u32;
        if short != side {
            self.image = self.image.resize_exact(side, side, image::imageops::FilterType::Triangle);
        }
        self
    }

    /// Its values in red, green and blue, or their luma for one channel: bytes, or floats from 0 to 255 where it [is deep](Self::is_deep), so
    /// that both have one scale. Transparency and colour profiles are left out.
    ///
    /// # Errors
    /// For another number of channels.
    pub fn into_pixels(self, channels: usize) -> Result<Pixels, String> {
        // 65535 is 257 · 255.
        let scaled = |v: Vec<u16>| Pixels::Floats(v.into_iter().map(|v| f32::from(v) / 257.0).collect());
        let grey = !self.image.color().has_color();
        match (channels, self.is_deep()) {
            (1, false) if grey => Ok(Pixels::Bytes(self.image.into_luma8().into_raw())),
            (1, true) if grey => Ok(scaled(self.image.into_luma16().into_raw())),
            (1, false) => Ok(Pixels::Bytes(luma(&self.image.into_rgb8()).map(|v| v as u8).collect())),
            (1, true) => Ok(scaled(luma(&self.image.into_rgb16()).map(|v| v as u16).collect())),
            (3, false) => Ok(Pixels::Bytes(self.image.into_rgb8().into_raw())),
            (3, true) => Ok(scaled(self.image.into_rgb16().into_raw())),
            (n, _) => Err(format!("image files have 1 or 3 channels, not {n}")),
        }
    }
}

/// The luma of red, green and blue, with ITU-R 601's weights in 65536ths, as Pillow's `convert("L")` has it.
fn luma<V: Copy + Into<u32>>(rgb: &[V]) -> impl Iterator<Item = u32> {
    let weighted = |[r, g, b]: &[V; 3]| 19595 * (*r).into() + 38470 * (*g).into() + 7471 * (*b).into();
    rgb.as_chunks().0.iter().map(move |pixel| (weighted(pixel) + 0x8000) >> 16)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use image::RgbImage;

    fn written(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    /// A picture of `w`×`h` pixels as a file.
    pub fn file(w: u32, h: u32, format: ImageFormat, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Vec<u8> {
        written(&RgbImage::from_fn(w, h, |x, y| image::Rgb(pixel(x, y))).into(), format)
    }

    fn values(decoded: Decoded, channels: usize) -> Vec<u8> {
        decoded.into_pixels(channels).unwrap().bytes().unwrap().to_vec()
    }

    #[test]
    fn the_middle_is_cut_and_resized() {
        let halves = |x: u32, _: u32| if x < 12 { [0; 3] } else { [200, 100, 40] };
        let png = decode(&file(24, 8, ImageFormat::Png, halves), true).unwrap();
        assert_eq!(png.size(), (8, 24));
        let four = values(png.clone().square(4), 3);
        assert_eq!(four.len(), 4 * 4 * 3);
        assert_eq!((&four[..3], &four[9..12]), (&[0, 0, 0][..], &[200, 100, 40][..]));
        // The middle of 24 columns is columns 8 to 15, as they are.
        let eight = values(png.square(8), 3);
        assert_eq!((&eight[9..12], &eight[12..15]), (&[0, 0, 0][..], &[200, 100, 40][..]));
        let jpeg = decode(&file(9, 7, ImageFormat::Jpeg, |_, _| [120; 3]), true).unwrap();
        assert!(values(jpeg, 1).iter().all(|v| v.abs_diff(120) < 3));
        // Pillow's convert("L") of this colour.
        let orange = decode(&file(2, 1, ImageFormat::Png, |_, _| [200, 100, 40]), true).unwrap();
        assert_eq!(values(orange, 1), [123, 123]);
    }

    #[test]
    fn large_and_damaged_images_are_refused() {
        let mut png = file(4, 4, ImageFormat::Png, |_, _| [0; 3]);
        assert!(decode(&png[..40], true).unwrap_err().contains("cannot be decoded"));
        // A header that says 8000×8000, with its checksum made right.
        png[16..24].copy_from_slice(&[0, 0, 0x1f, 0x40, 0, 0, 0x1f, 0x40]);
        let crc = crc32fast::hash(&png[12..29]).to_be_bytes();
        png[29..33].copy_from_slice(&crc);
        assert!(decode(&png, true).unwrap_err().contains("8000×8000 pixels are more than 50000000"));
    }

    #[test]
    fn pictures_that_are_cut_off_are_refused() {
        use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
        let noise = |x: u32, y: u32| [(x * 91 + y * 37) as u8, (x * y * 53) as u8, (x * 7 + y * 113) as u8];
        for format in [Bmp, Gif, Jpeg, Png, Tiff, WebP] {
            let whole = file(40, 30, format, noise);
            assert_eq!(decode(&whole, true).unwrap().size(), (30, 40), "{format:?}");
            for percent in [1, 10, 50, 90] {
                let cut = &whole[..whole.len() * percent / 100];
                assert!(decode(cut, true).is_err(), "{format:?} at {percent} %");
            }
        }
        // Pillow wants the end marker, too, and goes on when data between is missing.
        let whole = file(40, 30, Jpeg, noise);
        let e = decode(&whole[..whole.len() - 2], true).unwrap_err();
        assert!(e.contains("cut off"), "{e}");
        let holed = [&whole[..whole.len() - 100], &whole[whole.len() - 2..]].concat();
        assert_eq!(decode(&holed, true).unwrap().size(), (30, 40));
        // What stands behind the end, and 0xff before a marker, are no matter.
        let padded = [&whole[..whole.len() - 2], &[0xff, 0xff, 0xd9, 1, 2, 3]].concat();
        assert_eq!(decode(&padded, true).unwrap().size(), (30, 40));
    }

    /// A JPEG file with this orientation in its EXIF segment.
    fn turned(jpeg: &[u8], orientation: u8) -> Vec<u8> {
        let tiff = [b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", &[orientation][..], &[0; 6]].concat();
        let segment = [b"Exif\0\0", &tiff[..]].concat();
        let length = (segment.len() as u16 + 2).to_be_bytes();
        [&jpeg[..2], &[0xff, 0xe1], &length, &segment, &jpeg[2..]].concat()
    }

    #[test]
    fn the_orientation_is_followed() {
        // Bright at the top as it is seen; the numbers are those of the EXIF standard: 6 is to be turned clockwise, 8 against it.
        let bright = |side: fn(u32, u32) -> bool| move |x, y| if side(x, y) { [250; 3] } else { [5; 3] };
        let (left, right) = (bright(|x, _| x < 8), bright(|x, _| x >= 8));
        for (jpeg, orientation) in
            [(file(16, 24, ImageFormat::Jpeg, left), 6), (file(16, 24, ImageFormat::Jpeg, right), 8)]
        {
            let jpeg = turned(&jpeg, orientation);
            let seen = decode(&jpeg, true).unwrap();
            assert_eq!(seen.size(), (16, 24), "{orientation}");
            let seen = values(seen, 1);
            assert!(
                seen[..24].iter().all(|v| *v > 240) && seen[15 * 24..].iter().all(|v| *v < 15),
                "{orientation}"
            );
            assert_eq!(decode(&jpeg, false).unwrap().size(), (24, 16));
        }
    }

    #[test]
    fn sixteen_bits_have_the_scale_of_eight() {
        let deep = image::ImageBuffer::from_fn(3, 1, |x, _| image::Luma([[0u16, 300, 65535][x as usize]]));
        for format in [ImageFormat::Png, ImageFormat::Tiff] {
            let decoded = decode(&written(&deep.clone().into(), format), true).unwrap();
            assert!(decoded.is_deep());
            let expected: Vec<f32> =
                [0.0, 300.0 / 65535.0 * 255.0, 255.0].iter().map(|v: &f64| *v as f32).collect();
            assert_eq!(decoded.clone().into_pixels(1).unwrap(), Pixels::Floats(expected.clone()));
            let three = expected.iter().flat_map(|v| [*v; 3]).collect();
            assert_eq!(decoded.into_pixels(3).unwrap(), Pixels::Floats(three));
        }
    }

    #[test]
    fn what_is_no_picture_is_called_what_it_is() {
        let known = [
            ("", "an empty file"),
            ("\n<!DOCTYPE html><p>not found", "an HTML page"),
            ("version https://git-lfs.github.com/spec/v1", "git lfs pull"),
            ("\0\0\0\x18ftypheic\0\0\0\0", "of the kind HEIC"),
            ("P6 1 1 255 abc", "of the kind PBM"),
            ("# settings", "not a picture (JPEG, PNG"),
        ];
        for (bytes, said) in known {
            let e = decode(bytes.as_bytes(), true).unwrap_err();
            assert!(e.contains(said), "{e}");
        }
        assert!(!is_picture(b"BMW and other cars, a text, which begins like a picture"));
        assert!(is_picture(&file(1, 1, ImageFormat::Bmp, |_, _| [0; 3])[..32]));
    }
}
