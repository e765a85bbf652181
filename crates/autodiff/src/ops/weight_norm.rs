//! Decoupled weights (Salimans and Kingma 2016; seed Fig. 1b): row i is W_i = γ_i u_i with u_i = V_i/r_i, r_i = ‖V_i‖.
//!
//! With P = I − uuᵀ, row by row:
//!
//! ```text
//! Ẇ  = γ̇u + γu̇                u̇ = PV̇/r,  ṙ = u·V̇
//! γ̄  = W̄·u                     V̄  = (γ/r) PW̄
//! γ̄̇ = W̄̇·u + W̄·u̇              V̄̇ = (γ̇/r − γṙ/r²) PW̄ + (γ/r)(PW̄̇ − u̇(u·W̄) − u(u̇·W̄))
//! ```

use crate::op::{Bars, Context, Keep, Need, Op, Record, Saved};
use crate::ops::{Case, case, normal};
use sph_tensor::{Array, Element, Shape, ShapeError};

const V: usize = 0;
const GAMMA: usize = 1;

/// See [`weight_norm`].
#[derive(Debug)]
pub struct WeightNorm;

/// Weights of V's shape from directions V (rows along the first axis) and one magnitude γ per row; no row may be zero.
pub fn weight_norm() -> WeightNorm {
    WeightNorm
}

fn dot<A: Element, B: Element>(a: &[A], b: &[B]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.to_f64() * b.to_f64()).sum()
}

/// One row: its direction u, length r and magnitude γ.
struct Row {
    u: Vec<f64>,
    r: f64,
    gamma: f64,
}

/// The rows of V and γ.
fn rows<'a, T: Element>(v: &'a [T], gamma: &'a [T]) -> impl Iterator<Item = Row> + 'a {
    v.chunks_exact(v.len() / gamma.len().max(1)).zip(gamma).map(|(v, gamma)| {
        let r = dot(v, v).sqrt();
        Row { u: v.iter().map(|x| x.to_f64() / r).collect(), r, gamma: gamma.to_f64() }
    })
}

impl Row {
    /// P x.
    fn project<T: Element>(&self, x: &[T]) -> Vec<f64> {
        let along = dot(&self.u, x);
        x.iter().zip(&self.u).map(|(x, u)| x.to_f64() - along * u).collect()
    }

    /// u̇ for V̇.
    fn turn<T: Element>(&self, v_dot: Option<&[T]>) -> Vec<f64> {
        match v_dot {
            Some(v_dot) => self.project(v_dot).into_iter().map(|x| x / self.r).collect(),
            None => vec![0.0; self.u.len()],
        }
    }
}

fn write<T: Element>(out: &mut [T], f: impl Fn(usize) -> f64) {
    out.iter_mut().enumerate().for_each(|(j, o)| *o = T::from_f64(f(j)));
}

/// Row `i` of rows of `n` elements.
fn row<T>(a: &[T], i: usize, n: usize) -> &[T] {
    &a[i * n..(i + 1) * n]
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

    fn forward(&self, cx: &mut Context<T>, x: &[&Array<T>], y: Shape, keep: Keep) -> (Array<T>, Saved<T>) {
        let n = y.len() / y[0];
        let mut value = cx.array(y);
        for (out, row) in value.make_mut().chunks_exact_mut(n).zip(rows(x[V].as_slice(), x[GAMMA].as_slice()))
        {
            write(out, |j| row.gamma * row.u[j]);
        }
        let saved =
            if keep.any() { Saved::new([Some(x[V].clone()), Some(x[GAMMA].clone())]) } else { Saved::none() };
        (value, saved)
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: Need) -> Bars<T> {
        let n = r.y.len() / r.y[0];
        let (v, gamma) = (r.saved.at(V).as_slice(), r.saved.at(GAMMA).as_slice());
        let (mut v_bar, mut gamma_bar) = (cx.array(r.x[V]), cx.array(r.x[GAMMA]));
        let outputs = v_bar.make_mut().chunks_exact_mut(n).zip(gamma_bar.make_mut());
        for (i, (weights, (v_bar, gamma_bar))) in rows(v, gamma).zip(outputs).enumerate() {
            let w_bar = row(y_bar.as_slice(), i, n);
            let projected = weights.project(w_bar);
            write(v_bar, |j| weights.gamma / weights.r * projected[j]);
            *gamma_bar = T::from_f64(dot(w_bar, &weights.u));
        }
        vec![need.has(V).then_some(v_bar), need.has(GAMMA).then_some(gamma_bar)]
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        let n = r.y.len() / r.y[0];
        let (v, gamma) = (r.saved.at(V).as_slice(), r.saved.at(GAMMA).as_slice());
        cx.each_probe(r.y, |k, y_dot| {
            for (i, (weights, out)) in rows(v, gamma).zip(y_dot.chunks_exact_mut(n)).enumerate() {
                let turn = weights.turn(x_dot[V].map(|d| row(d.part(k), i, n)));
                let gamma_dot = x_dot[GAMMA].map_or(0.0, |d| d.part(k)[i].to_f64());
                write(out, |j| gamma_dot * weights.u[j] + weights.gamma * turn[j]);
            }
        })
    }

    fn vjp_tangent(
        &self,
        cx: &Context<T>,
        r: &Record<T>,
        x_dot: &[Option<&Array<T>>],
        y_bar: &Array<T>,
        y_bar_dot: Option<&Array<T>>,
        need: Need,
    ) -> Bars<T> {
        let n = r.y.len() / r.y[0];
        let (v, gamma) = (r.saved.at(V).as_slice(), r.saved.at(GAMMA).as_slice());
        let (mut v_out, mut gamma_out) = (cx.tangent(r.x[V]), cx.tangent(r.x[GAMMA]));
        let rows_out =
            v_out.make_mut().chunks_exact_mut(r.y.len()).zip(gamma_out.make_mut().chunks_exact_mut(r.y[0]));
        for (k, (v_out, gamma_out)) in rows_out.enumerate() {
            for (i, (weights, out)) in rows(v, gamma).zip(v_out.chunks_exact_mut(n)).enumerate() {
                let v_dot = x_dot[V].map(|d| row(d.part(k), i, n));
                let gamma_dot = x_dot[GAMMA].map_or(0.0, |d| d.part(k)[i].to_f64());
                let w_bar = row(y_bar.as_slice(), i, n);
                let w_bar_dot = y_bar_dot.map(|d| row(d.part(k), i, n));
                let (turn, r_dot) = (weights.turn(v_dot), v_dot.map_or(0.0, |d| dot(&weights.u, d)));
                let (along, turned) = (dot(&weights.u, w_bar), dot(&turn, w_bar));
                let projected = weights.project(w_bar);
                let projected_dot = w_bar_dot.map_or(vec![0.0; n], |d| weights.project(d));
                let (scale, u) = (weights.gamma / weights.r, &weights.u);
                let scale_dot = gamma_dot / weights.r - scale * r_dot / weights.r;
                write(out, |j| {
                    scale_dot * projected[j] + scale * (projected_dot[j] - turn[j] * along - u[j] * turned)
                });
                gamma_out[i] = T::from_f64(w_bar_dot.map_or(0.0, |d| dot(u, d)) + turned);
            }
        }
        vec![need.has(V).then_some(v_out), need.has(GAMMA).then_some(gamma_out)]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(weight_norm(), vec![normal(&[4, 3, 2, 2], 0), normal(&[4, 1, 1, 1], 1)]),
        case(weight_norm(), vec![normal(&[3, 5], 0), normal(&[3], 1)]),
    ]
}
