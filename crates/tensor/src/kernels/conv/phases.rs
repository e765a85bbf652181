//! What a convolution and its adjoint in the data compute: results at every position of the phases' product.
//!
//! Both are the same loop. At strides s and t the adjoint splits into s·t phases, one for each pair of remainders of an input pixel's
//! coordinates: each is a convolution of ȳ at stride 1 with every s-th and t-th tap, flipped.

use super::Conv;
use super::padded::Padded;
use crate::parallel::for_chunks_with_scratch;
use crate::{Array, Element, Pool, Shape};

/// Along one axis: results `to`, `to + step`, … (`count` of them) that see the source through the same taps. The first reads
/// `taps.len()` elements of the padded source from `from` on, in the order of `taps`.
pub(super) struct Phase {
    pub to: usize,
    pub count: usize,
    pub from: usize,
    pub taps: Vec<usize>,
}

/// The phases of the adjoint along an axis of `extent` inputs; and the zeros needed in front of ȳ, and all that is read of it.
pub(super) fn adjoint_phases(
    extent: usize,
    kernel: usize,
    stride: usize,
    pad: usize,
) -> (Vec<Phase>, usize, usize) {
    // Input i = stride·q + to takes tap stride·j + r from output q + shift − j.
    let with_shift = |to: usize| {
        let (r, shift) = ((to + pad) % stride, (to + pad) / stride);
        let taps: Vec<usize> = (r..kernel).step_by(stride).rev().collect();
        (to, shift, taps)
    };
    let all = (0..stride.min(extent)).map(with_shift);
    let before = all.clone().map(|(_, shift, taps)| taps.len().saturating_sub(shift + 1)).max().unwrap_or(0);
    let phases: Vec<Phase> = all
        .map(|(to, shift, taps)| Phase {
            to,
            count: (extent - to).div_ceil(stride),
            from: (before + shift + 1).saturating_sub(taps.len()),
            taps,
        })
        .collect();
    let read = phases.iter().map(|p| p.from + p.count - 1 + p.taps.len()).max().unwrap_or(0);
    (phases, before, read)
}

/// Which pixels of a padded source make which results.
pub(super) struct Plan {
    pub padded: Padded,
    /// Channels of the source and of the results.
    pub channels: [usize; 2],
    /// Steps of the windows over the padded source.
    pub stride: [usize; 2],
    /// Height and width of a result, and the steps from one result of a phase to the next.
    pub result: [usize; 2],
    pub step: [usize; 2],
    pub rows: Vec<Phase>,
    pub cols: Vec<Phase>,
    /// Taps in a line of the whole window.
    pub kw: usize,
    pub multiply_adds: usize,
}

impl Plan {
    /// y of x.
    pub(super) fn forward(conv: &Conv) -> Self {
        let g = &conv.window;
        let all =
            |count: usize, kernel: usize| vec![Phase { to: 0, count, from: 0, taps: (0..kernel).collect() }];
        Plan {
            padded: inputs(conv, 16),
            channels: [g.c, conv.out],
            stride: g.stride,
            result: [g.oh(), g.ow()],
            step: [1; 2],
            rows: all(g.oh(), g.kh),
            cols: all(g.ow(), g.kw),
            kw: g.kw,
            multiply_adds: conv.multiply_adds(),
        }
    }

    /// x̄ of ȳ.
    pub(super) fn backward_data(conv: &Conv) -> Self {
        let g = &conv.window;
        let (rows, above, height) = adjoint_phases(g.h, g.kh, g.stride[0], g.pad[0]);
        let (cols, left, width) = adjoint_phases(g.w, g.kw, g.stride[1], g.pad[1]);
        let images = Padded::group(g.n, g.h * g.w, height * width * conv.out, 16);
        Plan {
            padded: Padded::new([g.oh(), g.ow(), conv.out], [above, left], [height, width], images),
            channels: [conv.out, g.c],
            stride: [1; 2],
            result: [g.h, g.w],
            step: g.stride,
            rows,
            cols,
            kw: g.kw,
            multiply_adds: conv.multiply_adds(),
        }
    }

    /// Elements of a result.
    fn image(&self) -> usize {
        self.result[0] * self.result[1] * self.channels[1]
    }

    /// All pairs of phases.
    fn pairs(&self) -> impl Iterator<Item = (&Phase, &Phase)> {
        self.rows.iter().flat_map(|p| self.cols.iter().map(move |q| (p, q)))
    }

    /// Computes all results `y` of `x`, a few images at a time. `pack` writes the weights of some taps, `per_tap` elements for each;
    /// `phase` computes the results of a pair of phases for a number of padded images, with the weights of its taps.
    pub(super) fn compute<T: Element>(
        &self,
        (x, y): (&[T], &mut [T]),
        per_tap: usize,
        pool: &Pool<T>,
        pack: impl Fn(&[usize], &mut [T]),
        phase: impl Fn(&Plan, (&Phase, &Phase), usize, &[T], &[T], &mut [T]) + Sync,
    ) {
        let size = |(p, q): (&Phase, &Phase)| p.taps.len() * q.taps.len() * per_tap;
        let mut packed = Array::stale(pool, Shape::new(&[self.pairs().map(size).sum()]));
        let mut rest = packed.make_mut();
        for (p, q) in self.pairs() {
            let (part, after) = rest.split_at_mut(size((p, q)));
            rest = after;
            let taps: Vec<usize> =
                p.taps.iter().flat_map(|ky| q.taps.iter().map(move |kx| ky * self.kw + kx)).collect();
            if !taps.is_empty() {
                pack(&taps, part);
            }
        }
        let (packed, padded, image) = (packed.as_slice(), &self.padded, self.image());
        assert_eq!(y.len() / image.max(1) * padded.from.iter().product::<usize>(), x.len());
        let (part, scratch) = (padded.images * image, padded.scratch());
        for_chunks_with_scratch(y, part, self.multiply_adds, pool, scratch, |part, y, scratch| {
            let images = y.len() / image;
            let x = padded.fill(x, part * padded.images, images, scratch);
            let mut packed = packed;
            for pair in self.pairs() {
                let (w, after) = packed.split_at(size(pair));
                packed = after;
                phase(self, pair, images, x, w, y);
            }
        });
    }

    /// The results of a pair of phases in `images` images.
    pub(super) fn pixels(&self, (p, q): (&Phase, &Phase), images: usize) -> Pixels {
        let ([input, out], padded) = (self.channels, &self.padded);
        let line = self.result[1] * out;
        Pixels {
            at: [0; 3],
            counts: [images, p.count, q.count],
            from: p.from * padded.line() + q.from * input,
            to: p.to * line + q.to * out,
            read: [padded.image(), self.stride[0] * padded.line(), self.stride[1] * input],
            written: [self.image(), self.step[0] * line, self.step[1] * out],
        }
    }
}

/// The padded inputs of a convolution, in at least `parts` groups where there are images enough.
pub(super) fn inputs(conv: &Conv, parts: usize) -> Padded {
    let g = &conv.window;
    let to = [g.h + 2 * g.pad[0], g.w + 2 * g.pad[1]];
    let images = Padded::group(g.n, g.oh() * g.ow(), to[0] * to[1] * g.c, parts);
    Padded::new([g.h, g.w, g.c], g.pad, to, images)
}

/// Pixels of results, row by row, image by image: the element where each one's window begins, and where the result does.
pub(super) struct Pixels {
    at: [usize; 3],
    /// Images, rows, columns.
    counts: [usize; 3],
    from: usize,
    to: usize,
    /// Elements from one to the next, in the source and in the results.
    read: [usize; 3],
    written: [usize; 3],
}

impl Pixels {
    /// How many.
    pub(super) fn total(&self) -> usize {
        self.counts.iter().product()
    }
}

impl Iterator for Pixels {
    type Item = (usize, usize);

    #[inline]
    fn next(&mut self) -> Option<(usize, usize)> {
        let here = (self.from, self.to);
        if self.at[0] >= self.counts[0] {
            return None;
        }
        self.at[2] += 1;
        self.from += self.read[2];
        self.to += self.written[2];
        for axis in [2, 1] {
            if self.at[axis] < self.counts[axis] {
                break;
            }
            self.from = self.from - self.counts[axis] * self.read[axis] + self.read[axis - 1];
            self.to = self.to - self.counts[axis] * self.written[axis] + self.written[axis - 1];
            self.at[axis] = 0;
            self.at[axis - 1] += 1;
        }
        Some(here)
    }
}
