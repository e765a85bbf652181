//! Images copied into zero-padded scratch, a few at a time; and sums of partial results.

use crate::Element;

/// Images copied into zero-padded scratch together.
pub(super) struct Padded {
    /// Height, width and channels of an image.
    pub(super) from: [usize; 3],
    /// Zeros above and to the left.
    pub(super) before: [usize; 2],
    /// Height and width with padding on all sides.
    pub(super) to: [usize; 2],
    /// How many.
    pub(super) images: usize,
}

impl Padded {
    /// Padding in front of images of `from`, and enough behind them for `to` (or more) rows and columns.
    pub(super) fn new(from: [usize; 3], before: [usize; 2], to: [usize; 2], images: usize) -> Self {
        let to = std::array::from_fn(|a| to[a].max(before[a] + from[a]));
        Padded { from, before, to, images }
    }

    /// How many images to take at a time when one makes `pixels` outputs: small maps several at a time, so that a block of
    /// weights is used for about 256 pixels once it is in cache, within a quarter of a megabyte of scratch and with at least
    /// `parts` groups where there are images enough.
    pub(super) fn group(n: usize, pixels: usize, image: usize, parts: usize) -> usize {
        let space = (1 << 16) / image.max(1);
        (256 / pixels.max(1)).min(space).min(n.div_ceil(parts)).max(1)
    }

    pub(super) fn is_copy(&self) -> bool {
        self.to != [self.from[0], self.from[1]]
    }

    pub(super) fn line(&self) -> usize {
        self.to[1] * self.from[2]
    }

    pub(super) fn image(&self) -> usize {
        self.to[0] * self.line()
    }

    pub(super) fn scratch(&self) -> usize {
        if self.is_copy() { self.images * self.image() } else { 0 }
    }

    /// Images `first ..` padded into `scratch`; without padding, the images where they are.
    pub(super) fn fill<'a, T: Element>(
        &self,
        x: &'a [T],
        first: usize,
        count: usize,
        scratch: &'a mut [T],
    ) -> &'a [T] {
        let [h, w, c] = self.from;
        let size = h * w * c;
        let x = &x[first * size..(first + count) * size];
        if !self.is_copy() {
            return x;
        }
        let (line, padded_line) = (w * c, self.line());
        let (above, left) = (self.before[0] * padded_line, self.before[1] * c);
        for (image, out) in x.chunks_exact(size).zip(scratch.chunks_exact_mut(self.image())) {
            out[..above].fill(T::ZERO);
            out[above + h * padded_line..].fill(T::ZERO);
            let rows = out[above..].chunks_exact_mut(padded_line);
            for (row, out) in image.chunks_exact(line).zip(rows) {
                out[..left].fill(T::ZERO);
                out[left..left + line].copy_from_slice(row);
                out[left + line..].fill(T::ZERO);
            }
        }
        &scratch[..count * self.image()]
    }
}

/// Adds `parts` arrays of `size` elements, laid end to end, into the first, in order.
pub(super) fn sum_parts<T: Element>(partial: &mut [T], size: usize) -> &mut [T] {
    let work = partial.len();
    let (total, rest) = partial.split_at_mut(size);
    crate::parallel::for_chunks_of_work(total, 1 << 12, work, |i, total| {
        for part in rest.chunks_exact(size) {
            crate::kernels::map::add_serial(total, &part[i << 12..][..total.len()]);
        }
    });
    total
}
