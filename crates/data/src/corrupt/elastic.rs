//! Stretched and bent: a random affine map, then every pixel displaced by a smoothed random field.

use super::Picture;
use super::filter::{Border, gaussian, warp};
use sph_tensor::Rng;

/// Size of the displacements, deviation of their smoothing, and size of the affine map's; in image sides.
const BEND: [(f64, f64, f64); 5] =
    [(0.0, 0.0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)];

pub(super) fn apply(picture: &mut Picture, severity: usize, rng: &mut Rng) {
    let (h, w, _) = picture.size;
    let side = h.min(w) as f64;
    let (alpha, sigma, affine) = BEND[severity];
    let (alpha, sigma, affine) = (alpha * side, sigma * side, affine * side);
    // Three points around the middle, as (y, x), and where they are moved to.
    let (middle_y, middle_x, reach) = ((h / 2) as f64, (w / 2) as f64, (h.min(w) / 3) as f64);
    let points =
        [(reach, reach), (reach, -reach), (-reach, -reach)].map(|(y, x)| [middle_y + y, middle_x + x]);
    let moved = points.map(|p| p.map(|v| v + affine * (2.0 * rng.uniform() - 1.0)));
    let back = Affine::new(moved, points);
    warp(picture, Border::AboutPixel, |y, x| back.at(y as f64, x as f64));
    let mut field = || {
        let noise: Vec<f64> = (0..h * w).map(|_| 2.0 * rng.uniform() - 1.0).collect();
        gaussian(&noise, (h, w, 1), sigma, 3.0, Border::AboutEdge)
    };
    let (dx, dy) = (field(), field());
    if alpha > 0.0 {
        warp(picture, Border::AboutEdge, |y, x| {
            let i = y * w + x;
            (y as f64 + alpha * dy[i], x as f64 + alpha * dx[i])
        });
    }
}

/// The affine map that takes three points to three others.
struct Affine {
    from: [f64; 2],
    to: [f64; 2],
    /// By rows.
    matrix: [[f64; 2]; 2],
}

impl Affine {
    fn new(from: [[f64; 2]; 3], to: [[f64; 2]; 3]) -> Self {
        let edges = |p: [[f64; 2]; 3]| [1, 2].map(|i| [p[i][0] - p[0][0], p[i][1] - p[0][1]]);
        let ([a, b], [p, q]) = (edges(from), edges(to));
        let determinant = a[0] * b[1] - a[1] * b[0];
        // Points are moved too little to fall in one line; those of a tiny image may, or are one, and it stays as it is then.
        if determinant.abs() < 1e-9 || (p[0] * q[1] - p[1] * q[0]).abs() < 1e-9 {
            return Affine { from: [0.0; 2], to: [0.0; 2], matrix: [[1.0, 0.0], [0.0, 1.0]] };
        }
        let determinant = 1.0 / determinant;
        // M [a b] = [p q].
        let row =
            |i: usize| [(p[i] * b[1] - q[i] * a[1]) * determinant, (q[i] * a[0] - p[i] * b[0]) * determinant];
        Affine { from: from[0], to: to[0], matrix: [row(0), row(1)] }
    }

    fn at(&self, y: f64, x: f64) -> (f64, f64) {
        let d = [y - self.from[0], x - self.from[1]];
        let coordinate = |i: usize| self.to[i] + self.matrix[i][0] * d[0] + self.matrix[i][1] * d[1];
        (coordinate(0), coordinate(1))
    }
}

#[test]
fn the_affine_map_takes_points_to_points() {
    let from = [[1.0, 2.0], [4.0, 2.5], [0.5, 7.0]];
    let to = [[0.0, 1.0], [3.0, 3.0], [-2.0, 8.0]];
    let map = Affine::new(from, to);
    for (f, t) in from.iter().zip(to) {
        let (y, x) = map.at(f[0], f[1]);
        assert!((y - t[0]).abs() < 1e-12 && (x - t[1]).abs() < 1e-12);
    }
    // Of images too small for a triangle: they stay as they are.
    for (from, to) in [(from, [[1.0, 1.0]; 3]), ([[1.0, 1.0]; 3], to)] {
        assert_eq!(Affine::new(from, to).at(3.0, 4.0), (3.0, 4.0));
    }
}
