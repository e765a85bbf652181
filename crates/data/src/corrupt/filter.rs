//! What several corruptions do to images: blurs by kernels, values between pixels.

use super::Picture;

/// The index that `i` is reflected to in 0..n, about the first and last pixel (101) or about their outer edges (1001).
#[derive(Debug, Clone, Copy)]
pub(super) enum Border {
    /// … 2 1 0 1 2 …
    AboutPixel,
    /// … 1 0 0 1 2 …
    AboutEdge,
}

impl Border {
    pub(super) fn index(self, i: isize, n: usize) -> usize {
        let n = n as isize;
        let period = match self {
            Border::AboutPixel => (2 * n - 2).max(1),
            Border::AboutEdge => 2 * n,
        };
        let i = i.rem_euclid(period);
        let back = match self {
            Border::AboutPixel => period - i,
            Border::AboutEdge => period - 1 - i,
        };
        (if i < n { i } else { back }) as usize
    }
}

/// A kernel of odd height and width, row by row, its middle at the pixel.
pub(super) struct Kernel {
    pub(super) side: usize,
    pub(super) weights: Vec<f64>,
}

impl Kernel {
    /// The kernel with weight `f`(dy, dx) within `radius`, made to sum to 1.
    pub(super) fn new(radius: usize, f: impl Fn(f64, f64) -> f64) -> Self {
        let side = 2 * radius + 1;
        let at = |k: usize| f((k / side) as f64 - radius as f64, (k % side) as f64 - radius as f64);
        let mut weights: Vec<f64> = (0..side * side).map(at).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= sum);
        Kernel { side, weights }
    }

    /// The image filtered by it.
    pub(super) fn apply(&self, picture: &mut Picture) {
        let ((h, w, c), radius) = (picture.size, (self.side / 2) as isize);
        let from = std::mem::take(&mut picture.values);
        picture.values = vec![0.0; from.len()];
        let index = |i: isize, n: usize| Border::AboutPixel.index(i, n);
        for (k, weight) in self.weights.iter().enumerate().filter(|(_, w)| **w != 0.0) {
            let (dy, dx) = ((k / self.side) as isize - radius, (k % self.side) as isize - radius);
            for y in 0..h {
                let row = index(y as isize + dy, h) * w;
                for x in 0..w {
                    let (to, from_at) = ((y * w + x) * c, (row + index(x as isize + dx, w)) * c);
                    (0..c).for_each(|i| picture.values[to + i] += weight * from[from_at + i]);
                }
            }
        }
    }
}

/// The weights of a normal kernel of deviation `sigma` up to `truncate` deviations away; only the middle when sigma is 0.
pub(super) fn normal_weights(sigma: f64, truncate: f64) -> Vec<f64> {
    let radius = (truncate * sigma + 0.5) as usize;
    let weight = |d: usize| {
        let d = d as f64 - radius as f64;
        if d == 0.0 { 1.0 } else { libm::exp(-0.5 * (d / sigma) * (d / sigma)) }
    };
    let weights: Vec<f64> = (0..2 * radius + 1).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / sum).collect()
}

/// Filters values of [height, width, channels] by a normal kernel, along both axes.
pub(super) fn gaussian(
    values: &[f64],
    (h, w, c): (usize, usize, usize),
    sigma: f64,
    truncate: f64,
    border: Border,
) -> Vec<f64> {
    let weights = normal_weights(sigma, truncate);
    let radius = (weights.len() / 2) as isize;
    let along = |from: &[f64], n: usize, stride: usize| -> Vec<f64> {
        let mut to = vec![0.0; from.len()];
        for (i, to) in to.iter_mut().enumerate() {
            let at = i / stride % n;
            let start = i - at * stride;
            for (k, weight) in weights.iter().enumerate() {
                let j = border.index(at as isize + k as isize - radius, n);
                *to += weight * from[start + j * stride];
            }
        }
        to
    };
    along(&along(values, h, w * c), w, c)
}

/// The picture's values at (y, x), between pixels in proportion, reflected beyond the border.
pub(super) fn bilinear(from: &Picture, y: f64, x: f64, border: Border, out: &mut [f64]) {
    let (h, w, c) = from.size;
    let (y0, x0) = (y.floor(), x.floor());
    let (fy, fx) = (y - y0, x - x0);
    out.fill(0.0);
    for (dy, dx, weight) in
        [(0, 0, (1.0 - fy) * (1.0 - fx)), (0, 1, (1.0 - fy) * fx), (1, 0, fy * (1.0 - fx)), (1, 1, fy * fx)]
    {
        let (row, column) = (border.index(y0 as isize + dy, h), border.index(x0 as isize + dx, w));
        let at = (row * w + column) * c;
        out.iter_mut().zip(&from.values[at..at + c]).for_each(|(o, v)| *o += weight * v);
    }
}

/// The picture with each pixel taken from `place`(y, x).
pub(super) fn warp(picture: &mut Picture, border: Border, place: impl Fn(usize, usize) -> (f64, f64)) {
    let (_, w, c) = picture.size;
    let mut to = vec![0.0; picture.values.len()];
    for (i, out) in to.chunks_exact_mut(c).enumerate() {
        let (y, x) = place(i / w, i % w);
        bilinear(picture, y, x, border, out);
    }
    picture.values = to;
}

/// Values of [height, width, channels] resized to `to` (height, width): the mean over the area that a new pixel covers.
pub(super) fn area(values: &[f64], (h, w, c): (usize, usize, usize), to: (usize, usize)) -> Vec<f64> {
    /// For each new position, the old ones it covers and how much of each.
    fn covers(n: usize, to: usize) -> Vec<Vec<(usize, f64)>> {
        let step = n as f64 / to as f64;
        let cover = |i: usize| {
            let (start, end) = (i as f64 * step, (i + 1) as f64 * step);
            let last = (end.ceil() as usize).min(n);
            let part = |j: usize| (j, (end.min(j as f64 + 1.0) - start.max(j as f64)) / step);
            (start.floor() as usize..last).map(part).collect()
        };
        (0..to).map(cover).collect()
    }
    let (rows, columns) = (covers(h, to.0), covers(w, to.1));
    let mut out = Vec::with_capacity(to.0 * to.1 * c);
    for rows in &rows {
        for columns in &columns {
            for i in 0..c {
                let pixel = |y: usize, x: usize| values[(y * w + x) * c + i];
                let row = |y: usize| columns.iter().map(|(x, part)| part * pixel(y, *x)).sum::<f64>();
                out.push(rows.iter().map(|(y, part)| part * row(*y)).sum());
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_reflect() {
        let shown = |b: Border| (-3..7).map(|i| b.index(i, 3)).collect::<Vec<_>>();
        assert_eq!(shown(Border::AboutPixel), [1, 2, 1, 0, 1, 2, 1, 0, 1, 2]);
        assert_eq!(shown(Border::AboutEdge), [2, 1, 0, 0, 1, 2, 2, 1, 0, 0]);
    }

    #[test]
    fn blurs_keep_the_mean_and_areas_are_means() {
        let values: Vec<f64> = (0..42).map(|i| f64::from(i * i % 17)).collect();
        let total: f64 = values.iter().sum();
        let blurred = gaussian(&values, (6, 7, 1), 1.3, 4.0, Border::AboutEdge);
        assert!((blurred.iter().sum::<f64>() - total).abs() < 1e-9);
        let small = area(&values, (6, 7, 1), (4, 3));
        assert!((small.iter().sum::<f64>() / 12.0 - total / 42.0).abs() < 1e-9);
        assert_eq!(area(&values, (6, 7, 1), (6, 7)), values);
        assert_eq!(area(&[1.0, 2.0, 3.0, 4.0], (2, 2, 1), (1, 2)), [2.0, 3.0]);
        let colours = [1.0, 10.0, 3.0, 30.0, 5.0, 50.0];
        let mean = area(&colours, (1, 3, 2), (1, 1));
        assert!((mean[0] - 3.0).abs() < 1e-12 && (mean[1] - 30.0).abs() < 1e-12 && mean.len() == 2);
    }

    /// A single bright pixel becomes the Gaussian; the channels do not mix.
    #[test]
    fn blurs_are_what_they_are_called() {
        let (n, middle) = (15, 7);
        let mut values = vec![0.0; n * n * 2];
        values[(middle * n + middle) * 2] = 1.0;
        let out = gaussian(&values, (n, n, 2), 1.3, 4.0, Border::AboutEdge);
        let at = |dy: usize, dx: usize| out[((middle + dy) * n + middle + dx) * 2];
        for (dy, dx) in [(0, 1), (1, 0), (2, 1), (3, 3)] {
            let want = (-((dy * dy + dx * dx) as f64) / (2.0 * 1.3 * 1.3)).exp();
            assert!((at(dy, dx) / at(0, 0) - want).abs() < 1e-9, "{dy} {dx}");
        }
        assert!(out.iter().skip(1).step_by(2).all(|v| *v == 0.0));
    }
}
