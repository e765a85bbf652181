//! Sliding windows over NHWC images: gathering patches into rows, scattering them back.

use crate::Element;

/// Geometry of a sliding window over NHWC images: `n` images of `h`×`w`×`c`, window `kh`×`kw`, one stride and
/// one zero padding for both axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Images.
    pub n: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Input channels.
    pub c: usize,
    /// Window height.
    pub kh: usize,
    /// Window width.
    pub kw: usize,
    /// Step of the window, at least 1.
    pub stride: usize,
    /// Zeros added on every side.
    pub pad: usize,
}

impl Window {
    /// Output height: ⌊(h + 2·pad − kh)/stride⌋ + 1.
    pub fn oh(&self) -> usize {
        (self.h + 2 * self.pad - self.kh) / self.stride + 1
    }

    /// Output width: ⌊(w + 2·pad − kw)/stride⌋ + 1.
    pub fn ow(&self) -> usize {
        (self.w + 2 * self.pad - self.kw) / self.stride + 1
    }

    /// Output positions over all images.
    pub fn positions(&self) -> usize {
        self.n * self.oh() * self.ow()
    }

    /// Elements of one patch.
    pub fn patch(&self) -> usize {
        self.kh * self.kw * self.c
    }

    /// Elements of one image.
    pub fn image(&self) -> usize {
        self.h * self.w * self.c
    }

    /// True when the window fits the padded image at least once.
    pub fn fits(&self) -> bool {
        self.stride > 0
            && self.kh > 0
            && self.kw > 0
            && self.h + 2 * self.pad >= self.kh
            && self.w + 2 * self.pad >= self.kw
    }

    /// Splits a position into (image, output row, output column).
    pub fn locate(&self, position: usize) -> (usize, usize, usize) {
        let (oh, ow) = (self.oh(), self.ow());
        (position / (oh * ow), position / ow % oh, position % ow)
    }

    /// The taps of an output coordinate that fall inside an axis of `extent` elements: (first tap, its input
    /// coordinate, how many).
    pub fn taps(&self, out: usize, extent: usize, kernel: usize) -> (usize, usize, usize) {
        let start = out * self.stride;
        let first = self.pad.saturating_sub(start);
        let end = (extent + self.pad).saturating_sub(start).min(kernel);
        // A window that lies in the padding alone has no taps.
        if first < end { (first, start + first - self.pad, end - first) } else { (0, 0, 0) }
    }
}

/// Writes the patches of positions `first ..` into the rows of `cols` (`kh·kw·c` elements each, zero where padded).
pub fn gather<T: Element>(g: &Window, x: &[T], first: usize, cols: &mut [T]) {
    let (row, line) = (g.kw * g.c, g.w * g.c);
    for (i, patch) in cols.chunks_exact_mut(g.patch()).enumerate() {
        let (n, oy, ox) = g.locate(first + i);
        let (ky0, y0, rows) = g.taps(oy, g.h, g.kh);
        let (kx0, x0, width) = g.taps(ox, g.w, g.kw);
        if rows < g.kh || width < g.kw {
            patch.fill(T::ZERO);
        }
        for r in 0..rows {
            let from = n * g.image() + (y0 + r) * line + x0 * g.c;
            patch[(ky0 + r) * row + kx0 * g.c..][..width * g.c].copy_from_slice(&x[from..][..width * g.c]);
        }
    }
}

/// Adds the rows of `cols`, patches of positions `first ..`, to where they were gathered from. `x` starts at image
/// `image0`.
pub fn scatter_add<T: Element>(g: &Window, x: &mut [T], image0: usize, first: usize, cols: &[T]) {
    let (row, line) = (g.kw * g.c, g.w * g.c);
    for (i, patch) in cols.chunks_exact(g.patch()).enumerate() {
        let (n, oy, ox) = g.locate(first + i);
        let (ky0, y0, rows) = g.taps(oy, g.h, g.kh);
        let (kx0, x0, width) = g.taps(ox, g.w, g.kw);
        for r in 0..rows {
            let to = (n - image0) * g.image() + (y0 + r) * line + x0 * g.c;
            let from = (ky0 + r) * row + kx0 * g.c;
            x[to..][..width * g.c].iter_mut().zip(&patch[from..][..width * g.c]).for_each(|(x, p)| *x += *p);
        }
    }
}
