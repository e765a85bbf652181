//! Multi-head self-attention (Vaswani et al. 2017) of queries, keys and values that lie side by side. Per sample and head, with
//! s = 1/√D and ⟨A, B⟩ the sums over the rows of A⊙B:
//!
//! ```text
//! S = s·qkᵀ    P = softmax(S)    y = P·v
//! Ṡ = s(q̇kᵀ + qk̇ᵀ)    Ṗ = P⊙(Ṡ − ⟨P, Ṡ⟩)    ẏ = Ṗv + Pv̇
//! P̄ = ȳvᵀ    S̄ = P⊙(P̄ − ⟨P, P̄⟩)    q̄ = s·S̄k    k̄ = s·S̄ᵀq    v̄ = Pᵀȳ
//! S̄̇ = Ṗ⊙(P̄ − ⟨P, P̄⟩) + P⊙(P̄̇ − ⟨Ṗ, P̄⟩ − ⟨P, P̄̇⟩)    P̄̇ = ȳ̇vᵀ + ȳv̇ᵀ
//! q̄̇ = s(S̄̇k + S̄k̇)    k̄̇ = s(S̄̇ᵀq + S̄ᵀq̇)    v̄̇ = Ṗᵀȳ + Pᵀȳ̇
//! ```
//!
//! One op and not six: the scores of a head stay in cache, and nothing is cut out of its array or permuted.

use super::softmax::normalize;
use crate::extensions::{Extensions, Work};
use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use crate::ops::{Case, case, normal};
use sph_tensor::kernels::dot::dot;
use sph_tensor::kernels::gemm::{View, scaled_rows};
use sph_tensor::kernels::map::{each_row, each_sample};
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Multi-head self-attention; made by [`attention`].
#[derive(Debug)]
pub struct Attention {
    /// Number of heads, H.
    pub heads: usize,
}

/// x is [N, T, 3·H·D]: of each token the queries of all `heads`, then the keys, then the values. y is [N, T, H·D].
pub fn attention(heads: usize) -> Attention {
    Attention { heads }
}

/// The sizes of one application.
#[derive(Clone, Copy)]
struct Sizes {
    heads: usize,
    /// T.
    tokens: usize,
    /// D.
    size: usize,
}

/// The three parts of x that a head reads.
#[derive(Clone, Copy)]
enum Part {
    Query,
    Key,
    Value,
}
use Part::{Key, Query, Value};

impl Sizes {
    /// H·D.
    fn width(self) -> usize {
        self.heads * self.size
    }

    /// Entries of the scores of one head of one sample.
    fn scores(self) -> usize {
        self.tokens * self.tokens
    }

    fn scale<T: Element>(self) -> T {
        T::from_f64(1.0 / (self.size as f64).sqrt())
    }

    /// Where a part of a head begins in a sample of x.
    fn start(self, part: Part, head: usize) -> usize {
        part as usize * self.width() + head * self.size
    }

    /// A part of one head in a sample of x.
    fn part<T>(self, x: &[T], part: Part, head: usize) -> View<'_, T> {
        View::strided(&x[self.start(part, head)..], self.tokens, self.size, 3 * self.width())
    }

    /// One head in a sample of y.
    fn head<T>(self, y: &[T], head: usize) -> View<'_, T> {
        View::strided(&y[head * self.size..], self.tokens, self.size, self.width())
    }

    /// Scores as a matrix.
    fn square<T>(self, scores: &[T]) -> View<'_, T> {
        View::new(scores, self.tokens, self.tokens)
    }

    /// `out = s·Σ a·bᵀ` over the pairs given.
    fn products<T: Element>(self, out: &mut [T], scale: T, pairs: &[(View<'_, T>, View<'_, T>)]) {
        for (i, (a, b)) in pairs.iter().enumerate() {
            scaled_rows(out, self.tokens, i > 0, scale, *a, b.t());
        }
    }

    /// Writes `scale·a·b` to a part of one head in a sample of x̄, or adds it.
    fn put<T: Element>(
        self,
        x_bar: &mut [T],
        (part, head): (Part, usize),
        add: bool,
        scale: T,
        (a, b): (View<'_, T>, View<'_, T>),
    ) {
        scaled_rows(&mut x_bar[self.start(part, head)..], 3 * self.width(), add, scale, a, b);
    }

    /// `v = P⊙(v − ⟨P, v⟩)`, row by row.
    fn project<T: Element>(self, p: &[T], v: &mut [T]) {
        each_row(
            v,
            [p],
            self.tokens,
            #[inline(always)]
            |[p], v| {
                let mean = dot(p, v);
                (0..p.len()).for_each(|i| v[i] = p[i] * (v[i] - mean));
            },
        );
    }

    /// Ṗ of one head of a sample.
    fn weights_dot<T: Element>(self, x: &[T], x_dot: &[T], p: &[T], head: usize, out: &mut [T]) {
        let (q, k) = (self.part(x, Query, head), self.part(x, Key, head));
        let (q_dot, k_dot) = (self.part(x_dot, Query, head), self.part(x_dot, Key, head));
        self.products(out, self.scale(), &[(q_dot, k), (q, k_dot)]);
        self.project(p, out);
    }
}

impl Attention {
    fn sizes(&self, x: Shape) -> Sizes {
        Sizes { heads: self.heads, tokens: x[1], size: x[2] / (3 * self.heads) }
    }
}

impl<T: Element> Op<T> for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        let parts = 3 * self.heads;
        match *x[0].dims() {
            [n, t, width] if t > 0 && width > 0 && parts > 0 && width % parts == 0 => {
                Ok(Shape::new(&[n, t, width / 3]))
            }
            _ => Err(ShapeError::new(
                "attention",
                "expects tokens of queries, keys and values of every head",
                x,
            )),
        }
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, keep: Keep) -> (Array<T>, Residuals<T>) {
        let s = self.sizes(x[0].shape());
        let (n, work) = (y[0], multiply_adds(x[0].shape(), y));
        let sample = |i: usize| &x[0].as_slice()[i * 3 * s.tokens * s.width()..][..3 * s.tokens * s.width()];
        let mut p = cx.array(Shape::new(&[n, s.heads, s.tokens, s.tokens]));
        each_sample(p.make_mut(), s.heads * s.scores(), work, &cx.pool, 0, |i, p, _| {
            for (head, p) in p.chunks_exact_mut(s.scores()).enumerate() {
                let (q, k) = (s.part(sample(i), Query, head), s.part(sample(i), Key, head));
                s.products(p, s.scale(), &[(q, k)]);
                each_row(
                    p,
                    [],
                    s.tokens,
                    #[inline(always)]
                    |[], row| normalize(row),
                );
            }
        });
        let mut value = cx.array(y);
        let p_all = p.as_slice();
        each_sample(value.make_mut(), s.tokens * s.width(), work, &cx.pool, 0, |i, y, _| {
            for head in 0..s.heads {
                let p = s.square(&p_all[(i * s.heads + head) * s.scores()..][..s.scores()]);
                let v = s.part(sample(i), Value, head);
                scaled_rows(&mut y[head * s.size..], s.width(), false, T::ONE, p, v);
            }
        });
        (value, Residuals::new([keep.any().then(|| x[0].clone()), keep.any().then_some(p)]))
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T> {
        let s = self.sizes(r.x[0]);
        let (x, p, y_bar) = (r.residuals.at(0).as_slice(), r.residuals.at(1).as_slice(), y_bar.as_slice());
        let (inputs, outputs) = (3 * s.tokens * s.width(), s.tokens * s.width());
        vec![need.has(0).then(|| {
            let mut x_bar = cx.array(r.x[0]);
            let work = 2 * multiply_adds(r.x[0], r.y);
            each_sample(x_bar.make_mut(), inputs, work, &cx.pool, s.scores(), |i, x_bar, s_bar| {
                let (x, y_bar) = (&x[i * inputs..][..inputs], &y_bar[i * outputs..][..outputs]);
                for head in 0..s.heads {
                    let p = &p[(i * s.heads + head) * s.scores()..][..s.scores()];
                    let y_bar = s.head(y_bar, head);
                    s.products(s_bar, T::ONE, &[(y_bar, s.part(x, Value, head))]);
                    s.project(p, s_bar);
                    let (s_bar, p) = (s.square(s_bar), s.square(p));
                    s.put(x_bar, (Query, head), false, s.scale(), (s_bar, s.part(x, Key, head)));
                    s.put(x_bar, (Key, head), false, s.scale(), (s_bar.t(), s.part(x, Query, head)));
                    s.put(x_bar, (Value, head), false, T::ONE, (p.t(), y_bar));
                }
            });
            x_bar
        })]
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        let s = self.sizes(r.x[0]);
        let (x, p, x_dot) =
            (r.residuals.at(0).as_slice(), r.residuals.at(1).as_slice(), x_dot[0].expect("a tangent"));
        let (inputs, outputs) = (3 * s.tokens * s.width(), s.tokens * s.width());
        let work = 2 * multiply_adds(r.x[0], r.y);
        cx.each_probe(r.y, |k, y_dot| {
            let x_dot = x_dot.part(k);
            each_sample(y_dot, outputs, work, &cx.pool, s.scores(), |i, y_dot, p_dot| {
                let (x, x_dot) = (&x[i * inputs..][..inputs], &x_dot[i * inputs..][..inputs]);
                for head in 0..s.heads {
                    let p = &p[(i * s.heads + head) * s.scores()..][..s.scores()];
                    s.weights_dot(x, x_dot, p, head, p_dot);
                    let out = &mut y_dot[head * s.size..];
                    let (v, v_dot) = (s.part(x, Value, head), s.part(x_dot, Value, head));
                    scaled_rows(out, s.width(), false, T::ONE, s.square(p_dot), v);
                    scaled_rows(out, s.width(), true, T::ONE, s.square(p), v_dot);
                }
            });
        })
    }

    fn vjp_tangent(
        &self,
        cx: &Context<T>,
        r: &Record<T>,
        x_dot: &[Option<&Array<T>>],
        y_bar: &Array<T>,
        y_bar_dot: Option<&Array<T>>,
        need: &InputSet,
    ) -> PerInput<T> {
        let s = self.sizes(r.x[0]);
        let (x, p, y_bar) = (r.residuals.at(0).as_slice(), r.residuals.at(1).as_slice(), y_bar.as_slice());
        let (inputs, outputs) = (3 * s.tokens * s.width(), s.tokens * s.width());
        let work = 4 * multiply_adds(r.x[0], r.y);
        let one = |probe: usize, x_bar_dot: &mut [T]| {
            let x_dot = x_dot[0].map(|d| d.part(probe));
            let y_bar_dot = y_bar_dot.map(|d| d.part(probe));
            each_sample(x_bar_dot, inputs, work, &cx.pool, 3 * s.scores(), |i, out, scratch| {
                let (p_bar, rest) = scratch.split_at_mut(s.scores());
                let (p_dot, s_bar_dot) = rest.split_at_mut(s.scores());
                let x = &x[i * inputs..][..inputs];
                let x_dot = x_dot.map(|d| &d[i * inputs..][..inputs]);
                for head in 0..s.heads {
                    let p = &p[(i * s.heads + head) * s.scores()..][..s.scores()];
                    let (q, k, v) = (s.part(x, Query, head), s.part(x, Key, head), s.part(x, Value, head));
                    let y_bar = s.head(&y_bar[i * outputs..][..outputs], head);
                    let y_bar_dot = y_bar_dot.map(|d| s.head(&d[i * outputs..][..outputs], head));
                    let (scale, square) = (s.scale(), |scores| s.square(scores));
                    let mut pairs = Vec::with_capacity(2);
                    pairs.extend(y_bar_dot.map(|d| (d, v)));
                    pairs.extend(x_dot.map(|d| (y_bar, s.part(d, Value, head))));
                    // P̄̇, then S̄̇ in its place; S̄ in that of P̄.
                    s.products(s_bar_dot, T::ONE, &pairs);
                    let mut add = false;
                    if let Some(d) = x_dot {
                        s.products(p_bar, T::ONE, &[(y_bar, v)]);
                        s.weights_dot(x, d, p, head, p_dot);
                        each_row(
                            s_bar_dot,
                            [p, p_dot, p_bar],
                            s.tokens,
                            #[inline(always)]
                            |[p, p_dot, p_bar], v| {
                                let (mean, mean_dot) = (dot(p, p_bar), dot(p_dot, p_bar) + dot(p, v));
                                for i in 0..p.len() {
                                    v[i] = p_dot[i] * (p_bar[i] - mean) + p[i] * (v[i] - mean_dot);
                                }
                            },
                        );
                        s.project(p, p_bar);
                        let (s_bar, p_dot) = (square(p_bar), square(p_dot));
                        s.put(out, (Query, head), false, scale, (s_bar, s.part(d, Key, head)));
                        s.put(out, (Key, head), false, scale, (s_bar.t(), s.part(d, Query, head)));
                        s.put(out, (Value, head), false, T::ONE, (p_dot.t(), y_bar));
                        add = true;
                    } else {
                        s.project(p, s_bar_dot);
                    }
                    let s_bar_dot = square(s_bar_dot);
                    s.put(out, (Query, head), add, scale, (s_bar_dot, k));
                    s.put(out, (Key, head), add, scale, (s_bar_dot.t(), q));
                    match y_bar_dot {
                        Some(d) => s.put(out, (Value, head), add, T::ONE, (square(p).t(), d)),
                        None => debug_assert!(add, "a tangent"),
                    }
                }
            });
        };
        vec![need.has(0).then(|| cx.each_probe(r.x[0], one))]
    }

    fn extensions(&self) -> Extensions<'_, T> {
        Extensions { work: Some(self), ..Extensions::NONE }
    }
}

impl<T: Element> Work<T> for Attention {
    fn multiply_adds(&self, x: &[Shape], y: Shape) -> u64 {
        multiply_adds(x[0], y) as u64
    }
}

/// Multiply-adds of S = qkᵀ and y = Pv.
fn multiply_adds(x: Shape, y: Shape) -> usize {
    2 * x[1] * y.len()
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(attention(2), vec![normal(&[2, 5, 3 * 2 * 3], 0)]),
        case(attention(1), vec![normal(&[3, 2, 3 * 4], 1)]),
        case(attention(3), vec![normal(&[1, 18, 3 * 3 * 2], 2)]),
    ]
}
