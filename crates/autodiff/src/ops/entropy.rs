//! The entropy of predictions, mean over the batch: what test-time adaptation minimises (TENT; Wang et al. 2021, arXiv 2006.10726).
//!
//! With p = softmax(x), l = log p and h = −Σ p·l for every row, and m = p·ẋ:   L = (1/N) Σ h
//!
//! ```text
//! ẏ  = −(1/N) Σ p⊙(l + h)·ẋ
//! x̄  = −ȳ p⊙(l + h)/N
//! x̄̇ = −p⊙[ȳ̇ (l + h) + ȳ ((ẋ − m)⊙(1 + l + h) + ḣ)]/N          ḣ = −Σ p⊙(l + h)·ẋ
//! ```
//!
//! In f64 for both element types, as cross-entropy.

use super::cross_entropy::probabilities;
use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use crate::ops::{Case, case, normal};
use sph_tensor::kernels::dot::dot_f64;
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Mean entropy of predictions; made by [`entropy`].
#[derive(Debug)]
pub struct Entropy;

/// Mean entropy of the softmax of logits [N, C], in nats: from 0 (certain) to ln C.
pub fn entropy() -> Entropy {
    Entropy
}

/// p, log p and h of a row, from its log p.
struct Row {
    p: Vec<f64>,
    l: Vec<f64>,
    h: f64,
}

impl Row {
    fn new<T: Element>(l: &[T]) -> Self {
        let l: Vec<f64> = l.iter().map(|l| l.to_f64()).collect();
        let p: Vec<f64> = l.iter().map(|l| Element::exp(*l)).collect();
        let h = -dot_f64(&p, &l);
        Row { p, l, h }
    }

    /// ∂h/∂x of logit `c`.
    fn slope(&self, c: usize) -> f64 {
        -self.p[c] * (self.l[c] + self.h)
    }
}

/// The rows of `r`.
fn rows<T: Element>(r: &Record<T>) -> impl Iterator<Item = Row> {
    r.residuals.at(0).as_slice().chunks_exact(r.x[0].last()).map(Row::new)
}

impl<T: Element> Op<T> for Entropy {
    fn name(&self) -> &'static str {
        "entropy"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        match x[0].rank() == 2 && x[0].len() > 0 {
            true => Ok(Shape::scalar()),
            false => Err(ShapeError::new("entropy", "expects logits [N, C]", x)),
        }
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, _keep: Keep) -> (Array<T>, Residuals<T>) {
        let (n, classes) = (x[0].shape()[0], x[0].shape()[1]);
        let mut residuals = cx.array(x[0].shape());
        let mut p = vec![0.0; classes];
        let mut loss = 0.0;
        let rows = x[0].as_slice().chunks_exact(classes).zip(residuals.make_mut().chunks_exact_mut(classes));
        for (row, residuals) in rows {
            let log_norm = probabilities(row, &mut p);
            for ((residuals, x), p) in residuals.iter_mut().zip(row).zip(&p) {
                let l = x.to_f64() - log_norm;
                *residuals = T::from_f64(l);
                loss -= p * l;
            }
        }
        (Array::full(&cx.pool, y, T::from_f64(loss / n as f64)), Residuals::new([Some(residuals)]))
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T> {
        vec![need.has(0).then(|| {
            let mut x_bar = cx.array(r.x[0]);
            let scale = y_bar.as_slice()[0].to_f64() / r.x[0][0] as f64;
            for (out, row) in x_bar.make_mut().chunks_exact_mut(r.x[0].last()).zip(rows(r)) {
                out.iter_mut().enumerate().for_each(|(c, o)| *o = T::from_f64(scale * row.slope(c)));
            }
            x_bar
        })]
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        let x_dot = x_dot[0].expect("a tangent");
        cx.each_probe(r.y, |k, y_dot| {
            let x_dot = x_dot.part(k).chunks_exact(r.x[0].last());
            let h_dot = |(row, x_dot): (Row, &[T])| -> f64 {
                x_dot.iter().enumerate().map(|(c, x)| row.slope(c) * x.to_f64()).sum()
            };
            y_dot[0] = T::from_f64(rows(r).zip(x_dot).map(h_dot).sum::<f64>() / r.x[0][0] as f64);
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
        if !need.has(0) {
            return vec![None];
        }
        let (n, classes) = (r.x[0][0] as f64, r.x[0][1]);
        let y_bar = y_bar.as_slice()[0].to_f64() / n;
        let out = cx.each_probe(r.x[0], |k, out| {
            let y_bar_dot = y_bar_dot.map_or(0.0, |y| y.part(k)[0].to_f64() / n);
            for (i, (out, row)) in out.chunks_exact_mut(classes).zip(rows(r)).enumerate() {
                let Row { p, l, h } = &row;
                out.iter_mut().enumerate().for_each(|(c, o)| *o = T::from_f64(y_bar_dot * row.slope(c)));
                let Some(x_dot) = x_dot[0] else { continue };
                let x_dot = &x_dot.part(k)[i * classes..(i + 1) * classes];
                let dot = |f: &dyn Fn(usize) -> f64| -> f64 {
                    x_dot.iter().enumerate().map(|(c, x)| f(c) * x.to_f64()).sum()
                };
                let (mean, h_dot) = (dot(&|c| p[c]), dot(&|c| row.slope(c)));
                for c in 0..classes {
                    let turn = (x_dot[c].to_f64() - mean) * (1.0 + l[c] + h) + h_dot;
                    out[c] += T::from_f64(-y_bar * p[c] * turn);
                }
            }
        });
        vec![Some(out)]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(entropy(), vec![normal(&[5, 4], 0)]), case(entropy(), vec![normal(&[1, 3], 1)])]
}
