//! Decoupled weights (Salimans and Kingma 2016; seed Fig. 1b): row i is W_i = γ_i u_i with u_i = V_i/r_i, r_i = ‖V_i‖.
//!
//! With P = I − uuᵀ, row by row:
//!
//! ```text
//! Ẇ  = γ̇u + γu̇                u̇ = PV̇/r,  ṙ = u·V̇
//! γ̄  = W̄·u                     V̄  = (γ/r) PW̄
//! γ̄̇ = W̄̇·u + W̄·u̇              V̄̇ = (γ̇/r − γṙ/r²) PW̄ + (γ/r)(PW̄̇ − u̇(u·W̄) − u(u̇·W̄))
//! ```

use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use crate::ops::{Case, case, normal};
use sph_tensor::kernels::dot::dot_f64_into_8 as dot;
use sph_tensor::{Array, Element, Shape, ShapeError, by_samples};

const V: usize = 0;
const GAMMA: usize = 1;

/// Decoupled weights; made by [`weight_norm`].
#[derive(Debug)]
pub struct WeightNorm;

/// Weights of V's shape from directions V (rows along the first axis) and one magnitude γ per row; no row may be zero.
pub fn weight_norm() -> WeightNorm {
    WeightNorm
}

/// out = Σ kᵢ xᵢ.
fn combine<T: Element, const N: usize>(out: &mut [T], k: [f64; N], x: [&[T]; N]) {
    for (j, o) in out.iter_mut().enumerate() {
        *o = T::from_f64((0..N).map(|i| k[i] * x[i][j].to_f64()).sum());
    }
}

/// Row `i` of rows of `n` elements.
fn row<T>(a: &[T], i: usize, n: usize) -> &[T] {
    &a[i * n..(i + 1) * n]
}

/// One row: V_i, its length r, its magnitude γ and the scale γ/r.
struct Row<'a, T> {
    v: &'a [T],
    r: f64,
    gamma: f64,
}

impl<T: Element> Row<'_, T> {
    fn scale(&self) -> f64 {
        self.gamma / self.r
    }

    /// u·x.
    fn along(&self, x: &[T]) -> f64 {
        dot(self.v, x) / self.r
    }
}

/// Runs `f` on every row of V with the part of `out` that belongs to it, in parallel over fixed runs of rows, and puts what it
/// returns into `column`.
fn each_row<T: Element>(
    (v, gamma): (&[T], &[T]),
    out: &mut [T],
    column: &mut [T],
    f: impl Fn(usize, &Row<T>, &mut [T]) -> f64 + Sync,
) {
    let n = v.len() / gamma.len().max(1);
    let results = by_samples(Some(out), gamma.len(), v.len(), |range, out| {
        let rows = range.zip(out.unwrap_or_default().chunks_exact_mut(n));
        let one = |(i, out): (usize, &mut [T])| {
            let v = row(v, i, n);
            f(i, &Row { v, r: dot(v, v).sqrt(), gamma: gamma[i].to_f64() }, out)
        };
        rows.map(one).collect::<Vec<f64>>()
    });
    column.iter_mut().zip(results.into_iter().flatten()).for_each(|(c, r)| *c = T::from_f64(r));
}

impl<T: Element> Op<T> for WeightNorm {
    fn name(&self) -> &'static str {
        "weight_norm"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        if x[V].rank() >= 2 && x[GAMMA].len() == x[V][0] && x[V][0] > 0 {
            Ok(x[V])
        } else {
            Err(ShapeError::new("weight_norm", "one magnitude per row of directions is expected", x))
        }
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, keep: Keep) -> (Array<T>, Residuals<T>) {
        let mut value = cx.array(y);
        each_row((x[V].as_slice(), x[GAMMA].as_slice()), value.make_mut(), &mut [], |_, w, out| {
            combine(out, [w.scale()], [w.v]);
            0.0
        });
        let residuals = if keep.any() {
            Residuals::new([Some(x[V].clone()), Some(x[GAMMA].clone())])
        } else {
            Residuals::none()
        };
        (value, residuals)
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T> {
        let n = r.y.len() / r.y[0];
        let rows = (r.residuals.at(V).as_slice(), r.residuals.at(GAMMA).as_slice());
        let (mut v_bar, mut gamma_bar) = (cx.array(r.x[V]), cx.array(r.x[GAMMA]));
        each_row(rows, v_bar.make_mut(), gamma_bar.make_mut(), |i, w, out| {
            let w_bar = row(y_bar.as_slice(), i, n);
            let along = w.along(w_bar);
            combine(out, [w.scale(), -w.scale() * along / w.r], [w_bar, w.v]);
            along
        });
        vec![need.has(V).then_some(v_bar), need.has(GAMMA).then_some(gamma_bar)]
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        let n = r.y.len() / r.y[0];
        let rows = (r.residuals.at(V).as_slice(), r.residuals.at(GAMMA).as_slice());
        cx.each_probe(r.y, |k, y_dot| {
            each_row(rows, y_dot, &mut [], |i, w, out| {
                let gamma_dot = x_dot[GAMMA].map_or(0.0, |d| d.part(k)[i].to_f64());
                match x_dot[V].map(|d| row(d.part(k), i, n)) {
                    Some(v_dot) => {
                        let scale_dot = (gamma_dot - w.scale() * w.along(v_dot)) / w.r;
                        combine(out, [scale_dot, w.scale()], [w.v, v_dot]);
                    }
                    None => combine(out, [gamma_dot / w.r], [w.v]),
                }
                0.0
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
        let n = r.y.len() / r.y[0];
        let rows = (r.residuals.at(V).as_slice(), r.residuals.at(GAMMA).as_slice());
        let (mut v_out, mut gamma_out) = (cx.tangent(r.x[V]), cx.tangent(r.x[GAMMA]));
        let parts =
            v_out.make_mut().chunks_exact_mut(r.y.len()).zip(gamma_out.make_mut().chunks_exact_mut(r.y[0]));
        for (k, (v_out, gamma_out)) in parts.enumerate() {
            each_row(rows, v_out, gamma_out, |i, w, out| {
                let w_bar = row(y_bar.as_slice(), i, n);
                let v_dot = x_dot[V].map(|d| row(d.part(k), i, n));
                let w_bar_dot = y_bar_dot.map(|d| row(d.part(k), i, n));
                let gamma_dot = x_dot[GAMMA].map_or(0.0, |d| d.part(k)[i].to_f64());
                let (scale, along) = (w.scale(), w.along(w_bar));
                let (r_dot, across) = v_dot.map_or((0.0, 0.0), |d| (w.along(d), dot(d, w_bar)));
                let along_dot = w_bar_dot.map_or(0.0, |d| w.along(d));
                let u_dot_w_bar = (across - r_dot * along) / w.r;
                let scale_dot = (gamma_dot - scale * r_dot) / w.r;
                let on_v =
                    (scale * (along * r_dot / w.r - along_dot - u_dot_w_bar) - scale_dot * along) / w.r;
                // An absent array has coefficient zero, and W̄ is passed in its place.
                let k = [scale_dot, on_v, scale, -scale * along / w.r];
                let k = [k[0], k[1], w_bar_dot.map_or(0.0, |_| k[2]), v_dot.map_or(0.0, |_| k[3])];
                combine(out, k, [w_bar, w.v, w_bar_dot.unwrap_or(w_bar), v_dot.unwrap_or(w_bar)]);
                along_dot + u_dot_w_bar
            });
        }
        vec![need.has(V).then_some(v_out), need.has(GAMMA).then_some(gamma_out)]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(weight_norm(), vec![normal(&[4, 3, 2, 2], 0), normal(&[4, 1, 1, 1], 1)]),
        case(weight_norm(), vec![normal(&[3, 5], 0), normal(&[3], 1)]),
        // More rows than there are runs of them.
        case(weight_norm(), vec![normal(&[19, 3], 0), normal(&[19], 1)]),
    ]
}
