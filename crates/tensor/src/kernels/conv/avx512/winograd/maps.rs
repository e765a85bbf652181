//! The maps A, B and G of F(2, 3) and F(4, 3) on vectors of channels, along one axis and along both.

// Indices of tiles are registers: loops over them are unrolled.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;
use std::ops::{Add, Mul, Neg, Sub};

/// A vector of channels. Its operations compile to single instructions where they are inlined into functions with AVX-512F,
/// and are used nowhere else.
#[derive(Clone, Copy)]
pub(super) struct V(pub __m512);

impl Add for V {
    type Output = V;
    #[inline(always)]
    fn add(self, other: V) -> V {
        // SAFETY: see `V`.
        V(unsafe { _mm512_add_ps(self.0, other.0) })
    }
}

impl Sub for V {
    type Output = V;
    #[inline(always)]
    fn sub(self, other: V) -> V {
        // SAFETY: see `V`.
        V(unsafe { _mm512_sub_ps(self.0, other.0) })
    }
}

impl Mul<f32> for V {
    type Output = V;
    #[inline(always)]
    fn mul(self, factor: f32) -> V {
        // SAFETY: see `V`.
        V(unsafe { _mm512_mul_ps(self.0, _mm512_set1_ps(factor)) })
    }
}

impl Neg for V {
    type Output = V;
    #[inline(always)]
    fn neg(self) -> V {
        // SAFETY: see `V`.
        V(unsafe { _mm512_sub_ps(_mm512_setzero_ps(), self.0) })
    }
}

impl V {
    // SAFETY: a vector is sixteen floats, for which all bits zero is zero.
    pub(super) const ZERO: V = V(unsafe { std::mem::zeroed() });

    /// `self·factor + other`, rounded once.
    #[inline(always)]
    fn times_plus(self, factor: f32, other: V) -> V {
        // SAFETY: see `V`.
        V(unsafe { _mm512_fmadd_ps(self.0, _mm512_set1_ps(factor), other.0) })
    }
}

/// The one-dimensional maps of F(M, 3) on vectors of channels, T = M + 2.
pub(super) trait Maps<const M: usize, const T: usize> {
    /// Bᵀ.
    fn input(d: [V; T]) -> [V; T];
    /// G.
    fn weights(g: [V; 3]) -> [V; T];
    /// Gᵀ.
    fn weights_adjoint(u: [V; T]) -> [V; 3];
    /// Aᵀ.
    fn output(m: [V; T]) -> [V; M];
    /// A.
    fn output_adjoint(y: [V; M]) -> [V; T];
}

pub(super) struct Two;

impl Maps<2, 4> for Two {
    #[inline(always)]
    fn input([a, b, c, d]: [V; 4]) -> [V; 4] {
        [a - c, b + c, c - b, b - d]
    }
    #[inline(always)]
    fn weights([a, b, c]: [V; 3]) -> [V; 4] {
        let (ac, b) = ((a + c) * 0.5, b * 0.5);
        [a, ac + b, ac - b, c]
    }
    #[inline(always)]
    fn weights_adjoint([a, b, c, d]: [V; 4]) -> [V; 3] {
        let sum = (b + c) * 0.5;
        [a + sum, (b - c) * 0.5, sum + d]
    }
    #[inline(always)]
    fn output([a, b, c, d]: [V; 4]) -> [V; 2] {
        [a + b + c, b - c - d]
    }
    #[inline(always)]
    fn output_adjoint([a, b]: [V; 2]) -> [V; 4] {
        [a, a + b, a - b, -b]
    }
}

pub(super) struct Four;

impl Maps<4, 6> for Four {
    #[inline(always)]
    fn input([a, b, c, d, e, f]: [V; 6]) -> [V; 6] {
        let (ec4, db4) = (c.times_plus(-4.0, e), b.times_plus(-4.0, d));
        let (ec, db) = (e - c, (d - b) * 2.0);
        [
            a.times_plus(4.0, c.times_plus(-5.0, e)),
            ec4 + db4,
            ec4 - db4,
            ec + db,
            ec - db,
            b.times_plus(4.0, d.times_plus(-5.0, f)),
        ]
    }
    #[inline(always)]
    fn weights([a, b, c]: [V; 3]) -> [V; 6] {
        let (ac, ac4) = ((a + c) * (-1.0 / 6.0), c.times_plus(1.0 / 6.0, a * (1.0 / 24.0)));
        let (b6, b12) = (b * (1.0 / 6.0), b * (1.0 / 12.0));
        [a * 0.25, ac - b6, ac + b6, ac4 + b12, ac4 - b12, c]
    }
    #[inline(always)]
    fn weights_adjoint([a, b, c, d, e, f]: [V; 6]) -> [V; 3] {
        let (bc, de) = ((b + c) * (-1.0 / 6.0), d + e);
        [
            a.times_plus(0.25, de.times_plus(1.0 / 24.0, bc)),
            (c - b).times_plus(1.0 / 6.0, (d - e) * (1.0 / 12.0)),
            de.times_plus(1.0 / 6.0, bc) + f,
        ]
    }
    #[inline(always)]
    fn output([a, b, c, d, e, f]: [V; 6]) -> [V; 4] {
        let (s1, d1, s2, d2) = (b + c, b - c, d + e, d - e);
        [a + s1 + s2, d2.times_plus(2.0, d1), s2.times_plus(4.0, s1), d2.times_plus(8.0, d1) + f]
    }
    #[inline(always)]
    fn output_adjoint([a, b, c, d]: [V; 4]) -> [V; 6] {
        let (even, odd) = (a + c, b + d);
        let (even4, odd8) = (c.times_plus(4.0, a), d.times_plus(8.0, b * 2.0));
        [a, even + odd, even - odd, even4 + odd8, even4 - odd8, d]
    }
}

/// Applies a map of `$a` vectors to `$b` vectors along both axes of a tile: of the columns first, whose vectors
/// `$load(row, column)` gives, then of the rows, whose results go to `$store(row, column, vector)`.
///
/// A macro, for everything must be inlined: a call would pass vectors through memory.
macro_rules! along_both_axes {
    ($map:path, $a:ident, $b:ident, |$i:ident, $j:ident| $load:expr, |$r:ident, $c:ident, $v:ident| $store:expr) => {
        let mut between = [[V::ZERO; $a]; $b];
        for $j in 0..$a {
            let mut column = [V::ZERO; $a];
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
