//! What torchvision does to a picture before a network sees it: `Resize`, then `CenterCrop`.
//!
//! Resizing is Pillow's, over all pixels that a new one covers (antialiasing), to a unit of 255.

use crate::error::{Error, Result};
use crate::formats::image_file::{Decoded, MAX_PIXELS};
use crate::image_set::Pixels;
use crate::interpolation::Interpolation;
use crate::options::DataOptions;
use fast_image_resize::images::TypedImage;
use fast_image_resize::pixels::{F32, U8};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};

/// How a picture gets the size that a network takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preprocessing {
    /// It keeps its own.
    None,
    /// The square in the middle, resized to this side.
    Square(usize),
    /// torchvision's transforms, those that there are.
    Torchvision {
        /// `Resize`: the length of the shorter side.
        resize: Option<(usize, Interpolation)>,
        /// `CenterCrop`: the side of the square in the middle; black is added where the picture is smaller.
        crop: Option<usize>,
    },
}

/// Height and width.
type Size = (usize, usize);

impl Preprocessing {
    /// What the settings say.
    ///
    /// # Errors
    /// When they do not fit each other.
    pub fn of(options: &DataOptions) -> Result<Self> {
        let refuse = |setting, reason: &str| Err(Error::setting(setting, None, reason));
        let DataOptions { image_size, resize, crop, interpolation, .. } = *options;
        if interpolation.is_some() && resize.is_none() {
            return refuse("interpolation", "needs `resize`");
        }
        match (image_size, resize, crop) {
            (None, None, None) => Ok(Preprocessing::None),
            (Some(side), None, None) => Ok(Preprocessing::Square(side)),
            (Some(_), _, _) => {
                refuse("image-size", "cuts and resizes by itself; leave it out beside `resize` and `crop`")
            }
            (None, resize, crop) => {
                let interpolation = interpolation.unwrap_or(Interpolation::Bilinear);
                Ok(Preprocessing::Torchvision { resize: resize.map(|side| (side, interpolation)), crop })
            }
        }
    }

    /// The side of the squares that come out, where they are squares.
    pub fn side(self) -> Option<usize> {
        match self {
            Preprocessing::None => None,
            Preprocessing::Square(side) => Some(side),
            Preprocessing::Torchvision { crop, .. } => crop,
        }
    }

    /// Size and values (NHWC) of a picture that was given its size; it has 1 or 3 channels. A picture of more than 8 bits keeps them.
    ///
    /// # Errors
    /// For another number of channels, and for a picture that would become too large.
    pub fn apply(self, picture: Decoded, channels: usize) -> std::result::Result<(Size, Pixels), String> {
        let (resize, crop) = match self {
            Preprocessing::None => (None, None),
            Preprocessing::Square(side) => {
                return Ok(((side, side), picture.square(side).into_pixels(channels)?));
            }
            Preprocessing::Torchvision { resize, crop } => (resize, crop),
        };
        let (mut size, mut pixels) = (picture.size(), picture.into_pixels(channels)?);
        if let Some((side, mode)) = resize {
            (size, pixels) = resized(size, channels, pixels, side, mode)?;
        }
        if let Some(side) = crop {
            pixels = match pixels {
                Pixels::Bytes(v) => Pixels::Bytes(center_crop(size, channels, &v, side)),
                Pixels::Floats(v) => Pixels::Floats(center_crop(size, channels, &v, side)),
            };
            size = (side, side);
        }
        Ok((size, pixels))
    }
}

/// The shorter side becomes `side`, the longer one side·long/short, rounded down.
fn resized(
    (h, w): Size,
    channels: usize,
    pixels: Pixels,
    side: usize,
    mode: Interpolation,
) -> std::result::Result<(Size, Pixels), String> {
    let short = h.min(w);
    let (new_h, new_w) = (side * h / short, side * w / short);
    if (new_h, new_w) == (h, w) {
        return Ok(((h, w), pixels));
    }
    if new_h.max(h) as u64 * new_w as u64 > MAX_PIXELS {
        return Err(format!(
            "{h}×{w} pixels, resized {new_h}×{new_w}, are more than {MAX_PIXELS}, the limit of this program"
        ));
    }
    let (from, to) = ((h, w), (new_h, new_w));
    let pixels = match pixels {
        Pixels::Bytes(v) => Pixels::Bytes(by_channel(channels, &v, |v| {
            let plane = plane(v.iter().map(|v| U8::new(*v)).collect(), from, to, mode)?;
            Ok(plane.iter().map(|p| p.0).collect())
        })?),
        Pixels::Floats(v) => Pixels::Floats(by_channel(channels, &v, |v| {
            let plane = plane(v.iter().map(|v| F32::new(*v)).collect(), from, to, mode)?;
            // A cubic leaves the scale where it overshoots.
            Ok(plane.iter().map(|p| p.0.clamp(0.0, 255.0)).collect())
        })?),
    };
    Ok((to, pixels))
}

/// What `f` makes of each channel of interleaved values, interleaved. One kind of pixels to resize is quick to build, and channels do not mix.
fn by_channel<T: Copy + Default>(
    channels: usize,
    values: &[T],
    f: impl Fn(&[T]) -> std::result::Result<Vec<T>, String>,
) -> std::result::Result<Vec<T>, String> {
    let mut out = Vec::new();
    for c in 0..channels {
        let done = f(&values.iter().skip(c).step_by(channels).copied().collect::<Vec<T>>())?;
        out.resize(done.len() * channels, T::default());
        done.into_iter().enumerate().for_each(|(i, v)| out[i * channels + c] = v);
    }
    Ok(out)
}

/// How the library calls a mode.
fn algorithm(mode: Interpolation) -> ResizeAlg {
    match mode {
        Interpolation::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
        Interpolation::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
        Interpolation::Hamming => ResizeAlg::Convolution(FilterType::Hamming),
        Interpolation::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
    }
}

/// One channel, resized.
fn plane<P: PixelTrait>(
    values: Vec<P>,
    (h, w): Size,
    (new_h, new_w): Size,
    mode: Interpolation,
) -> std::result::Result<Vec<P>, String> {
    let options = ResizeOptions::new().resize_alg(algorithm(mode));
    let from = TypedImage::from_pixels(w as u32, h as u32, values).map_err(|e| e.to_string())?;
    // Rows, then columns: what lies between is rounded to bytes, and Pillow takes them in this order.
    let (mut rows, mut to) =
        (TypedImage::<P>::new(new_w as u32, h as u32), TypedImage::<P>::new(new_w as u32, new_h as u32));
    let mut resizer = Resizer::new();
    resizer.resize_typed(&from, &mut rows, &options).map_err(|e| e.to_string())?;
    resizer.resize_typed(&rows, &mut to, &options).map_err(|e| e.to_string())?;
    Ok(to.pixels().to_vec())
}

/// The square in the middle, black where the picture has no pixels.
fn center_crop<T: Copy + Default>((h, w): Size, channels: usize, values: &[T], side: usize) -> Vec<T> {
    let (top, left) = (first(h, side), first(w, side));
    let mut out = vec![T::default(); side * side * channels];
    for (y, row) in out.chunks_exact_mut(side * channels).enumerate() {
        let Some(from) = usize::try_from(top + y as i64).ok().filter(|y| *y < h) else { continue };
        let (skipped, start) = ((-left).max(0) as usize, left.max(0) as usize);
        let len = side.min(w) * channels;
        let at = (from * w + start) * channels;
        row[skipped * channels..][..len].copy_from_slice(&values[at..at + len]);
    }
    out
}

/// Where a stretch of `side` begins in one of `length`: in its middle, by Python's `round` (halves to even), or so far before it that it is
/// in the middle of the stretch.
fn first(length: usize, side: usize) -> i64 {
    match length.checked_sub(side) {
        Some(left) if left % 4 == 3 => left as i64 / 2 + 1,
        Some(left) => left as i64 / 2,
        None => -((side - length) as i64 / 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::image_file::{decode, tests::file};
    use image::ImageFormat;

    /// A picture of `h`×`w` pixels, none like its neighbours.
    fn picture(h: u32, w: u32) -> Decoded {
        let level = |x: u32, y: u32, c: u32| ((x * 37 + y * 101 + c * 53 + x * y) % 256) as u8;
        decode(&file(w, h, ImageFormat::Png, |x, y| [0, 1, 2].map(|c| level(x, y, c))), true).unwrap()
    }

    fn of(options: DataOptions) -> Preprocessing {
        Preprocessing::of(&options).unwrap()
    }

    #[test]
    fn the_middle_is_where_torchvision_has_it() {
        // int(round((length - side) / 2.0)) in Python.
        assert_eq!([5, 6, 7, 8, 9].map(|length| first(length, 4)), [0, 1, 2, 2, 2]);
        // Padding of (side - length) // 2 in front.
        assert_eq!([1, 2, 3].map(|length| first(length, 4)), [-1, -1, 0]);
        let crop = of(DataOptions { crop: Some(4), ..DataOptions::default() });
        let (size, pixels) = crop.apply(picture(3, 7), 3).unwrap();
        let bytes = pixels.bytes().unwrap();
        assert_eq!((size, bytes.len()), ((4, 4), 48));
        let whole = picture(3, 7).into_pixels(3).unwrap();
        let whole = whole.bytes().unwrap();
        // The row is padded behind; columns begin at 2.
        assert_eq!(&bytes[..12], &whole[6..18]);
        assert_eq!(bytes[36..], [0; 12]);
    }

    #[test]
    fn settings_of_two_ways_are_refused() {
        let e = |options: DataOptions| Preprocessing::of(&options).unwrap_err().to_string();
        let default = DataOptions::default;
        let e1 = e(DataOptions { image_size: Some(4), resize: Some(4), ..default() });
        assert!(e1.contains("`image-size`") && e1.contains("`resize`"), "{e1}");
        let e2 = e(DataOptions { crop: Some(4), interpolation: Some(Interpolation::Hamming), ..default() });
        assert!(e2.contains("`interpolation` needs `resize`"), "{e2}");
        let wide = of(DataOptions { resize: Some(1024), ..default() }).apply(picture(1, 60_000), 3);
        assert!(wide.unwrap_err().contains("1×60000"));
    }
}
