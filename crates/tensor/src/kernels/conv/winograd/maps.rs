//! The maps A, B and G of F(2, 3) and F(4, 3) on vectors of channels, along one axis and along both.

// Indices of tiles are registers: loops over them are unrolled.
#![allow(clippy::needless_range_loop)]

use crate::Element;
use crate::kernels::isa::Vector;

/// `value·factor`.
#[inline(always)]
fn times<V: Vector>(value: V, factor: f64) -> V {
    value.mul(V::splat(V::Element::from_f64(factor)))
}

/// `value·factor + term`.
#[inline(always)]
fn times_plus<V: Vector>(value: V, factor: f64, term: V) -> V {
    value.multiply_add(V::splat(V::Element::from_f64(factor)), term)
}

/// The one-dimensional maps of F(M, 3) on vectors of channels, T = M + 2.
pub(super) trait Maps<const M: usize, const T: usize> {
    /// Bᵀ.
    fn input<V: Vector>(d: [V; T]) -> [V; T];
    /// G.
    fn weights<V: Vector>(g: [V; 3]) -> [V; T];
    /// Gᵀ.
    fn weights_adjoint<V: Vector>(u: [V; T]) -> [V; 3];
    /// Aᵀ.
    fn output<V: Vector>(m: [V; T]) -> [V; M];
    /// A.
    fn output_adjoint<V: Vector>(y: [V; M]) -> [V; T];
}

pub(super) struct Two;

impl Maps<2, 4> for Two {
    #[inline(always)]
    fn input<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 4] {
        [a.sub(c), b.add(c), c.sub(b), b.sub(d)]
    }
    #[inline(always)]
    fn weights<V: Vector>([a, b, c]: [V; 3]) -> [V; 4] {
        let (ac, b) = (times(a.add(c), 0.5), times(b, 0.5));
        [a, ac.add(b), ac.sub(b), c]
    }
    #[inline(always)]
    fn weights_adjoint<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 3] {
        let sum = times(b.add(c), 0.5);
        [a.add(sum), times(b.sub(c), 0.5), sum.add(d)]
    }
    #[inline(always)]
    fn output<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 2] {
        [a.add(b).add(c), b.sub(c).sub(d)]
    }
    #[inline(always)]
    fn output_adjoint<V: Vector>([a, b]: [V; 2]) -> [V; 4] {
        [a, a.add(b), a.sub(b), V::zero().sub(b)]
    }
}

pub(super) struct Four;

impl Maps<4, 6> for Four {
    #[inline(always)]
    fn input<V: Vector>([a, b, c, d, e, f]: [V; 6]) -> [V; 6] {
        let (ec4, db4) = (times_plus(c, -4.0, e), times_plus(b, -4.0, d));
        let (ec, db) = (e.sub(c), times(d.sub(b), 2.0));
        [
            times_plus(a, 4.0, times_plus(c, -5.0, e)),
            ec4.add(db4),
            ec4.sub(db4),
            ec.add(db),
            ec.sub(db),
            times_plus(b, 4.0, times_plus(d, -5.0, f)),
        ]
    }
    #[inline(always)]
    fn weights<V: Vector>([a, b, c]: [V; 3]) -> [V; 6] {
        let ac = times(a.add(c), -1.0 / 6.0);
        let ac4 = times_plus(c, 1.0 / 6.0, times(a, 1.0 / 24.0));
        let (b6, b12) = (times(b, 1.0 / 6.0), times(b, 1.0 / 12.0));
        [times(a, 0.25), ac.sub(b6), ac.add(b6), ac4.add(b12), ac4.sub(b12), c]
    }
    #[inline(always)]
    fn weights_adjoint<V: Vector>([a, b, c, d, e, f]: [V; 6]) -> [V; 3] {
        let (bc, de) = (times(b.add(c), -1.0 / 6.0), d.add(e));
        [
            times_plus(a, 0.25, times_plus(de, 1.0 / 24.0, bc)),
            times_plus(c.sub(b), 1.0 / 6.0, times(d.sub(e), 1.0 / 12.0)),
            times_plus(de, 1.0 / 6.0, bc).add(f),
        ]
    }
    #[inline(always)]
    fn output<V: Vector>([a, b, c, d, e, f]: [V; 6]) -> [V; 4] {
        let (s1, d1, s2, d2) = (b.add(c), b.sub(c), d.add(e), d.sub(e));
        [a.add(s1).add(s2), times_plus(d2, 2.0, d1), times_plus(s2, 4.0, s1), times_plus(d2, 8.0, d1).add(f)]
    }
    #[inline(always)]
    fn output_adjoint<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 6] {
        let (even, odd) = (a.add(c), b.add(d));
        let (even4, odd8) = (times_plus(c, 4.0, a), times_plus(d, 8.0, times(b, 2.0)));
        [a, even.add(odd), even.sub(odd), even4.add(odd8), even4.sub(odd8), d]
    }
}

/// Applies a map of `$a` vectors to `$b` vectors along both axes of a tile: of the columns first, whose vectors
/// `$load(row, column)` gives, then of the rows, whose results go to `$store(row, column, vector)`.
///
/// A macro, for everything must be inlined: a call would pass vectors through memory.
macro_rules! along_both_axes {
    ($vector:ty, $map:path, $a:ident, $b:ident, |$i:ident, $j:ident| $load:expr, |$r:ident, $c:ident, $v:ident| $store:expr) => {
        let mut between = [[<$vector>::zero(); $a]; $b];
        for $j in 0..$a {
            let mut column = [<$vector>::zero(); $a];
            for $i in 0..$a {
                column[$i] = $load;
            }
            let column = $map(column);
            for r in 0..$b {
                between[r][$j] = column[r];
            }
        }
        for $r in 0..$b {
            let row = $map(between[$r]);
            for $c in 0..$b {
                let $v = row[$c];
                $store;
            }
        }
    };
}
pub(super) use along_both_axes;
