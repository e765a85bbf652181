//! Normalization of each row over its channels: LayerNorm and RMSNorm of tokens. Equations and symbols are those of `normalize.rs`; a set
//! is a row, which stays in cache, so each rule is one pass over rows. x̂ is kept in the place of x.

use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use crate::rules::{BETA, GAMMA, X};
use sph_tensor::kernels::dot::{dot, dot_with, sum};
use sph_tensor::kernels::{map, reduce};
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Positions of the residuals x̂ and s, one s per row; γ lies between them, where it lies among the inputs.
const X_HAT: usize = 0;
const S: usize = 2;

/// The op of a normalization by rows. Its inputs are x, γ and, when it is centered, β.
#[derive(Debug)]
pub struct RowNormOp {
    pub(crate) name: &'static str,
    /// Take the mean off; otherwise there is no shift β either.
    pub centered: bool,
    /// Added to the mean square.
    pub eps: f64,
}

impl RowNormOp {
    /// The mean of a row, or 0 where none is taken off.
    #[inline(always)]
    fn mean<T: Element>(&self, a: &[T]) -> T {
        if self.centered { sum(a) / T::from_f64(a.len() as f64) } else { T::ZERO }
    }

    /// Writes x̂̇ of a row.
    #[inline(always)]
    fn row_x_hat_dot<T: Element>(&self, x_hat: &[T], s: T, x_dot: &[T], out: &mut [T]) {
        let (q1, q2) = (self.mean(x_dot), dot(x_hat, x_dot) / T::from_f64(x_hat.len() as f64));
        (0..out.len()).for_each(|i| out[i] = s * (x_dot[i] - q1 - x_hat[i] * q2));
    }

    /// x̂̇ of all rows.
    fn x_hat_dot<T: Element>(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[T]) -> Array<T> {
        let (x_hat, s) = (r.residuals.at(X_HAT).as_slice(), r.residuals.at(S).as_slice());
        let mut out = cx.array(r.y);
        map::rows(out.make_mut(), [x_hat, x_dot], r.y.last(), |row, [x_hat, x_dot], out| {
            self.row_x_hat_dot(x_hat, s[row], x_dot, out);
        });
        out
    }
}

impl<T: Element> Op<T> for RowNormOp {
    fn name(&self) -> &'static str {
        self.name
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        let parameters = if self.centered { 2 } else { 1 };
        let channels = Shape::new(&[x[X].last()]);
        if x[X].rank() < 2 || x.len() != 1 + parameters || x[1..].iter().any(|p| *p != channels) {
            let reason = format!("expects rows and {parameters} parameters per channel");
            return Err(ShapeError::new(self.name, reason, x));
        }
        if x[X].last() < 2 {
            return Err(ShapeError::new(self.name, "a row of a single element cannot be normalized", x));
        }
        Ok(x[X])
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, keep: Keep) -> (Array<T>, Residuals<T>) {
        let (width, eps) = (y.last(), T::from_f64(self.eps));
        let n = T::from_f64(width as f64);
        let mut s = cx.array(Shape::new(&[y.rows()]));
        let input = x[X].as_slice();
        map::row_values(s.make_mut(), input, width, |x| {
            let mean = self.mean(x);
            let square = dot_with(x, x, |a, _| (a - mean) * (a - mean)) / n;
            T::ONE / (square + eps).sqrt()
        });
        let (mut x_hat, scale) = (cx.array(y), s.as_slice());
        map::rows(x_hat.make_mut(), [input], width, |row, [x], out| {
            let (mean, s) = (self.mean(x), scale[row]);
            (0..out.len()).for_each(|i| out[i] = s * (x[i] - mean));
        });
        let mut value = cx.array(y);
        let gamma = x[GAMMA].as_slice();
        match x.get(BETA) {
            Some(beta) => {
                let k = [gamma, beta.as_slice()];
                map::per_channel(value.make_mut(), [x_hat.as_slice()], k, width, |[x_hat], [g, b]| {
                    g * x_hat + b
                });
            }
            None => {
                map::per_channel(value.make_mut(), [x_hat.as_slice()], [gamma], width, |[x_hat], [g]| {
                    g * x_hat
                });
            }
        }
        let residuals = if keep.any() {
            Residuals::new([Some(x_hat), Some(x[GAMMA].clone()), Some(s)])
        } else {
            Residuals::none()
        };
        (value, residuals)
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T> {
        let (x_hat, gamma) = (r.residuals.at(X_HAT).as_slice(), r.residuals.at(GAMMA).as_slice());
        let (s, width) = (r.residuals.at(S).as_slice(), r.y.last());
        let n = T::from_f64(width as f64);
        let x_bar = need.has(X).then(|| {
            let mut x_bar = cx.array(r.x[X]);
            map::rows(x_bar.make_mut(), [x_hat, y_bar.as_slice()], width, |row, [x_hat, y_bar], out| {
                (0..out.len()).for_each(|i| out[i] = gamma[i] * y_bar[i]);
                let (u, v) = (self.mean(out), dot(x_hat, out) / n);
                (0..out.len()).for_each(|i| out[i] = s[row] * (out[i] - u - x_hat[i] * v));
            });
            x_bar
        });
        let mut adjoints = vec![x_bar];
        if need.has(GAMMA) || need.has(BETA) {
            let sums = reduce::channel_sums([y_bar.as_slice(), x_hat], [], width, |[y_bar, x_hat], []| {
                [y_bar * x_hat, y_bar]
            });
            let parameter = |i: usize| {
                let values: Vec<T> = sums[i - GAMMA].iter().map(|v| T::from_f64(*v)).collect();
                need.has(i).then(|| Array::from_slice(&cx.pool, r.x[i], &values))
            };
            adjoints.extend((GAMMA..r.x.len()).map(parameter));
        }
        adjoints.resize(r.x.len(), None);
        adjoints
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        let (x_hat, gamma) = (r.residuals.at(X_HAT).as_slice(), r.residuals.at(GAMMA).as_slice());
        let (s, width) = (r.residuals.at(S).as_slice(), r.y.last());
        cx.each_probe(r.y, |k, y_dot| {
            let part = |i: usize| x_dot.get(i).copied().flatten().map(|d| d.part(k));
            let (gamma_dot, beta_dot) = (part(GAMMA), part(BETA));
            match part(X) {
                Some(x_dot) => map::rows(y_dot, [x_hat, x_dot], width, |row, [x_hat, x_dot], out| {
                    self.row_x_hat_dot(x_hat, s[row], x_dot, out);
                    (0..out.len()).for_each(|i| out[i] *= gamma[i]);
                }),
                None => y_dot.fill(T::ZERO),
            }
            if gamma_dot.is_some() || beta_dot.is_some() {
                map::rows(y_dot, [x_hat], width, |_, [x_hat], out| {
                    if let Some(gamma_dot) = gamma_dot {
                        (0..out.len()).for_each(|i| out[i] += gamma_dot[i] * x_hat[i]);
                    }
                    if let Some(beta_dot) = beta_dot {
                        (0..out.len()).for_each(|i| out[i] += beta_dot[i]);
                    }
                });
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
        need: &InputSet,
    ) -> PerInput<T> {
        let (x_hat, gamma) = (r.residuals.at(X_HAT).as_slice(), r.residuals.at(GAMMA).as_slice());
        let (s, width) = (r.residuals.at(S).as_slice(), r.y.last());
        let (n, y_bar) = (T::from_f64(width as f64), y_bar.as_slice());
        let mut adjoint_tangents: PerInput<T> =
            (0..r.x.len()).map(|i| need.has(i).then(|| cx.tangent(r.x[i]))).collect();
        for k in 0..cx.probes {
            let part = |i: usize| x_dot.get(i).copied().flatten().map(|d| d.part(k));
            let (gamma_dot, y_bar_dot) = (part(GAMMA), y_bar_dot.map(|d| d.part(k)));
            // x̂̇, zero where x has no tangent.
            let x_hat_dot = part(X).map(|x_dot| self.x_hat_dot(cx, r, x_dot));
            if let Some(out) = &mut adjoint_tangents[X] {
                let out = &mut out.make_mut()[k * r.y.len()..(k + 1) * r.y.len()];
                // ȧ, until the answer takes its place.
                match y_bar_dot {
                    Some(d) => map::per_channel(out, [d], [gamma], width, |[d], [g]| g * d),
                    None => out.fill(T::ZERO),
                }
                if let Some(gamma_dot) = gamma_dot {
                    map::rows(out, [y_bar], width, |_, [b], out| {
                        (0..out.len()).for_each(|i| out[i] += gamma_dot[i] * b[i]);
                    });
                }
                match (&x_hat_dot, part(X)) {
                    (Some(x_hat_dot), Some(x_dot)) => {
                        let x = [x_hat, y_bar, x_hat_dot.as_slice(), x_dot];
                        map::rows(out, x, width, |row, [x_hat, b, x_hat_dot, x_dot], out| {
                            // cross = Σ x̂̇a
                            let (mut u, mut v, mut cross) = (T::ZERO, T::ZERO, T::ZERO);
                            for i in 0..out.len() {
                                let a = gamma[i] * b[i];
                                u += a;
                                v += x_hat[i] * a;
                                cross += x_hat_dot[i] * a;
                            }
                            let u = if self.centered { u / n } else { T::ZERO };
                            let (v, q2) = (v / n, dot(x_hat, x_dot) / n);
                            let (w1, w2) = (self.mean(out), (cross + dot(x_hat, out)) / n);
                            let s = s[row];
                            // ṡ = −s²q₂, and s is a factor of the whole.
                            for i in 0..out.len() {
                                let projected = gamma[i] * b[i] - u - x_hat[i] * v;
                                out[i] =
                                    s * (out[i] - w1 - x_hat_dot[i] * v - x_hat[i] * w2 - s * q2 * projected);
                            }
                        });
                    }
                    _ => map::rows(out, [x_hat], width, |row, [x_hat], out| {
                        let (w1, w2) = (self.mean(out), dot(x_hat, out) / n);
                        (0..out.len()).for_each(|i| out[i] = s[row] * (out[i] - w1 - x_hat[i] * w2));
                    }),
                }
            }
            if need.has(GAMMA) || need.has(BETA) {
                let zeros = vec![0.0; width];
                let [mut gamma_bar_dot, beta_bar_dot] = match y_bar_dot {
                    Some(d) => reduce::channel_sums([d, x_hat], [], width, |[d, x_hat], []| [d * x_hat, d]),
                    None => [zeros.clone(), zeros],
                };
                if let Some(x_hat_dot) = &x_hat_dot {
                    let x = [y_bar, x_hat_dot.as_slice()];
                    let [moved] =
                        reduce::channel_sums(x, [], width, |[y_bar, x_hat_dot], []| [y_bar * x_hat_dot]);
                    gamma_bar_dot.iter_mut().zip(moved).for_each(|(a, m)| *a += m);
                }
                for (out, sums) in adjoint_tangents[GAMMA..].iter_mut().zip([gamma_bar_dot, beta_bar_dot]) {
                    let Some(out) = out else { continue };
                    let out = &mut out.make_mut()[k * width..(k + 1) * width];
                    out.iter_mut().zip(sums).for_each(|(o, s)| *o = T::from_f64(s));
                }
            }
        }
        adjoint_tangents
    }
}
