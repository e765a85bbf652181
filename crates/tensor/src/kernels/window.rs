//! Sliding windows over NHWC images: gathering patches into rows, scattering them back.

use crate::Element;

/// Geometry of a sliding window over NHWC images: `n` images of `h`×`w`×`c`, window `kh`×`kw`; what pairs hold is for the height, then the
/// width.
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
    /// Steps of the window, at least 1.
    pub stride: [usize; 2],
    /// Zeros added on both sides.
    pub pad: [usize; 2],
    /// Zeros added below, and to the right, beyond those: where the last step of a window may lead over the edge.
    pub extra: [usize; 2],
    /// Distances of the window's taps, at least 1.
    pub dilation: [usize; 2],
}

impl Window {
    /// The window at one stride and one padding for both axes, its taps side by side.
    pub fn square([n, h, w, c]: [usize; 4], [kh, kw]: [usize; 2], stride: usize, pad: usize) -> Self {
        let (stride, pad) = ([stride; 2], [pad; 2]);
        Window { n, h, w, c, kh, kw, stride, pad, extra: [0; 2], dilation: [1; 2] }
    }

    /// Extent of the input, and of the window, along an axis.
    fn axis(&self, axis: usize) -> (usize, usize) {
        ([self.h, self.w][axis], [self.kh, self.kw][axis])
    }

    /// Extent of the input with its padding, and of the window with its gaps, along an axis.
    fn spans(&self, axis: usize) -> (usize, usize) {
        let (extent, kernel) = self.axis(axis);
        (extent + 2 * self.pad[axis] + self.extra[axis], self.dilation[axis] * (kernel - 1) + 1)
    }

    fn output(&self, axis: usize) -> usize {
        let (padded, window) = self.spans(axis);
        (padded - window) / self.stride[axis] + 1
    }

    /// Output height: ⌊(h + 2·pad + extra − dilation·(kh − 1) − 1)/stride⌋ + 1.
    pub fn oh(&self) -> usize {
        self.output(0)
    }

    /// Output width: ⌊(w + 2·pad + extra − dilation·(kw − 1) − 1)/stride⌋ + 1.
    pub fn ow(&self) -> usize {
        self.output(1)
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
        let fits = |axis: usize| {
            let (padded, window) = self.spans(axis);
            padded >= window && self.stride[axis] > 0 && self.dilation[axis] > 0
        };
        self.kh > 0 && self.kw > 0 && fits(0) && fits(1)
    }

    /// Splits a position into (image, output row, output column).
    pub fn locate(&self, position: usize) -> (usize, usize, usize) {
        let (oh, ow) = (self.oh(), self.ow());
        (position / (oh * ow), position / ow % oh, position % ow)
    }

    /// The taps of output coordinate `out` of an axis (0 the height, 1 the width) that fall inside the image: (first tap, its input coordinate,
    /// how many). Neighbouring ones are `dilation` apart.
    pub fn taps(&self, axis: usize, out: usize) -> (usize, usize, usize) {
        let ((extent, kernel), pad, dilation) = (self.axis(axis), self.pad[axis], self.dilation[axis]);
        let start = out * self.stride[axis];
        // A division for every window would be felt.
        let steps = |pixels: usize| if dilation == 1 { pixels } else { pixels.div_ceil(dilation) };
        let first = steps(pad.saturating_sub(start));
        let end = steps((extent + pad).saturating_sub(start)).min(kernel);
        // A window that lies in the padding alone has no taps.
        if first < end { (first, start + first * dilation - pad, end - first) } else { (0, 0, 0) }
    }
}

/// Writes the patches of positions `first ..` into the rows of `cols` (`kh·kw·c` elements each, zero where padded).
pub fn gather<T: Element>(g: &Window, x: &[T], first: usize, cols: &mut [T]) {
    let (row, line) = (g.kw * g.c, g.w * g.c);
    for (i, patch) in cols.chunks_exact_mut(g.patch()).enumerate() {
        let (n, oy, ox) = g.locate(first + i);
        let (ky0, y0, rows) = g.taps(0, oy);
        let (kx0, x0, width) = g.taps(1, ox);
        if rows < g.kh || width < g.kw {
            patch.fill(T::ZERO);
        }
        for r in 0..rows {
            let from = n * g.image() + (y0 + r * g.dilation[0]) * line + x0 * g.c;
            let to = &mut patch[(ky0 + r) * row + kx0 * g.c..][..width * g.c];
            if g.dilation[1] == 1 {
                to.copy_from_slice(&x[from..][..width * g.c]);
            } else {
                for (to, x) in to.chunks_exact_mut(g.c).zip(x[from..].chunks(g.dilation[1] * g.c)) {
                    to.copy_from_slice(&x[..g.c]);
                }
            }
        }
    }
}

/// Adds the rows of `cols`, patches of positions `first ..`, to where they were gathered from. `x` starts at image
/// `image0`.
pub fn scatter_add<T: Element>(g: &Window, x: &mut [T], image0: usize, first: usize, cols: &[T]) {
    let (row, line) = (g.kw * g.c, g.w * g.c);
    for (i, patch) in cols.chunks_exact(g.patch()).enumerate() {
        let (n, oy, ox) = g.locate(first + i);
        let (ky0, y0, rows) = g.taps(0, oy);
        let (kx0, x0, width) = g.taps(1, ox);
        for r in 0..rows {
            let to = (n - image0) * g.image() + (y0 + r * g.dilation[0]) * line + x0 * g.c;
            let from = &patch[(ky0 + r) * row + kx0 * g.c..][..width * g.c];
            if g.dilation[1] == 1 {
                x[to..][..width * g.c].iter_mut().zip(from).for_each(|(x, p)| *x += *p);
            } else {
                for (from, x) in from.chunks_exact(g.c).zip(x[to..].chunks_mut(g.dilation[1] * g.c)) {
                    x.iter_mut().zip(from).for_each(|(x, p)| *x += *p);
                }
            }
        }
    }
}
