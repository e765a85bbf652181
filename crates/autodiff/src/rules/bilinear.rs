//! Ops of two inputs that are linear in each, and perhaps a bias b over the last axis: y = B(x, w) + b.
//!
//! ```text
//! ẏ  = B(ẋ, w) + B(x, ẇ) + ḃ
//! x̄  = Bx(ȳ, w)                w̄  = Bw(x, ȳ)                b̄  = Σ_rows ȳ
//! x̄̇ = Bx(ȳ̇, w) + Bx(ȳ, ẇ)    w̄̇ = Bw(ẋ, ȳ) + Bw(x, ȳ̇)    b̄̇ = Σ_rows ȳ̇
//! ```
//!
//! A bias of its own would be one more pass over memory: here it is added to what was just written.

use crate::extensions::{Extensions, Work};
use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use crate::ops::row_sum;
use sph_tensor::{Array, Element, Shape, ShapeError, kernels::map};
use std::fmt::Debug;

/// The maps of a bilinear op. The first axis of x and y is a batch: B acts on its entries one by one, which lets
/// several probes share one call.
pub trait Bilinear<T: Element>: Debug + Send + Sync + 'static {
    /// The op's name in the table and in messages.
    fn name(&self) -> &'static str;

    /// The output's shape.
    ///
    /// # Errors
    /// When the inputs' shapes do not fit.
    fn output_shape(&self, x: Shape, w: Shape) -> Result<Shape, ShapeError>;

    /// y = B(x, w); `shapes` are those of x and w.
    fn apply(&self, cx: &Context<T>, shapes: (Shape, Shape), x: &[T], w: &[T], y: &mut [T]);

    /// x̄ = Bx(ȳ, w).
    fn adjoint_x(&self, cx: &Context<T>, shapes: (Shape, Shape), y_bar: &[T], w: &[T], x_bar: &mut [T]);

    /// w̄ = Bw(x, ȳ).
    fn adjoint_w(&self, cx: &Context<T>, shapes: (Shape, Shape), x: &[T], y_bar: &[T], w_bar: &mut [T]);

    /// What the op offers beyond its rules. Without a [`Work`] of its own, it counts as a product of matrices whose rows are x's last axis.
    fn extensions(&self) -> Extensions<'_, T> {
        Extensions::NONE
    }
}

/// The op made from the maps of a [`Bilinear`]. Its residuals are x and w.
#[derive(Debug)]
pub struct BilinearOp<B>(pub B);

const X: usize = 0;
const W: usize = 1;
const B: usize = 2;

/// `y += b` on every row.
fn add_bias<T: Element>(y: &mut [T], b: &[T]) {
    map::rows(
        y,
        [],
        b.len(),
        #[inline(always)]
        |_, [], y| (0..y.len()).for_each(|i| y[i] += b[i]),
    );
}

/// One tangent of `shape`: a batched term over all probes at once, then a term added probe by probe.
fn sum_terms<T: Element>(
    cx: &Context<T>,
    shape: Shape,
    batched: Option<impl FnOnce(&mut [T])>,
    each: Option<impl Fn(usize, &mut [T])>,
) -> Option<Array<T>> {
    let mut out = (batched.is_some() || each.is_some()).then(|| cx.tangent(shape))?;
    let first = batched.map(|f| f(out.make_mut())).is_none();
    if let Some(f) = each {
        let mut term = (!first).then(|| cx.array(shape));
        for (k, part) in out.make_mut().chunks_exact_mut(shape.len().max(1)).enumerate() {
            match &mut term {
                Some(term) => {
                    f(k, term.make_mut());
                    map::update(part, term.as_slice(), |a, b| a + b);
                }
                None => f(k, part),
            }
        }
    }
    Some(out)
}

impl<T: Element, B: Bilinear<T>> Op<T> for BilinearOp<B> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        let y = self.0.output_shape(x[X], x[W])?;
        match x.get(B) {
            Some(b) if b.dims() != [y.last()] => {
                Err(ShapeError::new(self.0.name(), "the bias is not one number per output", x))
            }
            _ => Ok(y),
        }
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, keep: Keep) -> (Array<T>, Residuals<T>) {
        let mut value = cx.array(y);
        let shapes = (x[X].shape(), x[W].shape());
        self.0.apply(cx, shapes, x[X].as_slice(), x[W].as_slice(), value.make_mut());
        if let Some(b) = x.get(B) {
            add_bias(value.make_mut(), b.as_slice());
        }
        // Each rule reads the other operand.
        let reads = |i: usize| keep.x_bar.has(i) || keep.x_dot.has(i) || keep.x_bar_dot.has(i);
        (value, Residuals::new([reads(W).then(|| x[X].clone()), reads(X).then(|| x[W].clone())]))
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T> {
        let shapes = (r.x[X], r.x[W]);
        let x_bar = need.has(X).then(|| {
            let mut x_bar = cx.array(r.x[X]);
            self.0.adjoint_x(cx, shapes, y_bar.as_slice(), r.residuals.at(W).as_slice(), x_bar.make_mut());
            x_bar
        });
        let w_bar = need.has(W).then(|| {
            let mut w_bar = cx.array(r.x[W]);
            self.0.adjoint_w(cx, shapes, r.residuals.at(X).as_slice(), y_bar.as_slice(), w_bar.make_mut());
            w_bar
        });
        let b_bar = need.has(B).then(|| {
            let mut b_bar = cx.array(r.x[B]);
            row_sum(y_bar.as_slice(), b_bar.make_mut());
            b_bar
        });
        [x_bar, w_bar, b_bar].into_iter().take(r.x.len()).collect()
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        let batch = (r.x[X].scale_first(cx.probes), r.x[W]);
        let from_x = x_dot[X].map(|x_dot| {
            let w = r.residuals.at(W);
            move |y_dot: &mut [T]| self.0.apply(cx, batch, x_dot.as_slice(), w.as_slice(), y_dot)
        });
        let from_w = x_dot[W].map(|w_dot| {
            let x = r.residuals.at(X);
            move |k, y_dot: &mut [T]| self.0.apply(cx, (r.x[X], r.x[W]), x.as_slice(), w_dot.part(k), y_dot)
        });
        let y_dot = sum_terms(cx, r.y, from_x, from_w);
        let Some(b_dot) = x_dot.get(B).copied().flatten() else { return y_dot.expect("a tangent") };
        let (mut y_dot, new) = match y_dot {
            Some(y_dot) => (y_dot, false),
            None => (cx.tangent(r.y), true),
        };
        for (k, part) in y_dot.make_mut().chunks_exact_mut(r.y.len().max(1)).enumerate() {
            if new {
                part.fill(T::ZERO);
            }
            add_bias(part, b_dot.part(k));
        }
        y_dot
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
        let shapes = (r.x[X], r.x[W]);
        let batch = (r.x[X].scale_first(cx.probes), r.x[W]);
        let x_bar_dot = need.has(X).then(|| {
            let from_y = y_bar_dot.map(|y_bar_dot| {
                let w = r.residuals.at(W);
                move |out: &mut [T]| self.0.adjoint_x(cx, batch, y_bar_dot.as_slice(), w.as_slice(), out)
            });
            let from_w = x_dot[W].map(|w_dot| {
                move |k, out: &mut [T]| self.0.adjoint_x(cx, shapes, y_bar.as_slice(), w_dot.part(k), out)
            });
            sum_terms(cx, r.x[X], from_y, from_w)
        });
        let w_bar_dot = need.has(W).then(|| {
            let from_x = x_dot[X].map(|x_dot| {
                move |out: &mut [T]| {
                    for (k, out) in out.chunks_exact_mut(r.x[W].len().max(1)).enumerate() {
                        self.0.adjoint_w(cx, shapes, x_dot.part(k), y_bar.as_slice(), out);
                    }
                }
            });
            let from_y = y_bar_dot.map(|y_bar_dot| {
                let x = r.residuals.at(X);
                move |k, out: &mut [T]| self.0.adjoint_w(cx, shapes, x.as_slice(), y_bar_dot.part(k), out)
            });
            sum_terms(cx, r.x[W], from_x, from_y)
        });
        let b_bar_dot = y_bar_dot
            .filter(|_| need.has(B))
            .map(|y_bar_dot| cx.each_probe(r.x[B], |k, out| row_sum(y_bar_dot.part(k), out)));
        [x_bar_dot.flatten(), w_bar_dot.flatten(), b_bar_dot].into_iter().take(r.x.len()).collect()
    }

    fn tangents_read(&self, need: &InputSet) -> InputSet {
        // Bx(ȳ, ẇ) reads ẇ, Bw(ẋ, ȳ) reads ẋ: the activations' tangents are needed for weight tangents only.
        [(X, W), (W, X)].into_iter().filter(|&(asked, _)| need.has(asked)).map(|(_, read)| read).collect()
    }

    fn extensions(&self) -> Extensions<'_, T> {
        let own = self.0.extensions();
        Extensions { work: own.work.or(Some(self)), ..own }
    }
}

impl<T: Element, B: Bilinear<T>> Work<T> for BilinearOp<B> {
    fn multiply_adds(&self, x: &[Shape], y: Shape) -> u64 {
        (y.len() * x[X].last()) as u64
    }
}
