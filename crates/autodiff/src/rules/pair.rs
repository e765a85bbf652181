//! Ops of two inputs that act on pairs of elements: y = f(a, b). Shapes broadcast by NumPy's rule; Σ are the sums over the axes along which an
//! input repeats.
//!
//! ```text
//! ẏ = f_a ȧ + f_b ḃ
//! ā = Σ f_a ȳ      ā̇ = Σ (f_a ȳ̇ + (f_aa ȧ + f_ab ḃ) ȳ)
//! b̄ = Σ f_b ȳ      b̄̇ = Σ (f_b ȳ̇ + (f_ab ȧ + f_bb ḃ) ȳ)
//! ```

use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use sph_tensor::kernels::broadcast::{self, Broadcast, Operand};
use sph_tensor::{Array, Element, Shape, ShapeError};
use std::fmt::Debug;

/// What a slope (f_a or f_b) is a function of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slope {
    /// It is 1 everywhere: adjoints pass unchanged.
    One,
    /// Of a, of b, of both or of neither.
    Of([bool; 2]),
}

impl Slope {
    fn reads(self, input: usize) -> bool {
        matches!(self, Slope::Of(reads) if reads[input])
    }
}

/// A function of two numbers.
pub trait Pair<T: Element>: Debug + Send + Sync + 'static {
    /// The op's name in the table and in messages.
    const NAME: &'static str;

    /// What f_a and f_b read.
    const SLOPES: [Slope; 2];

    /// Whether f_aa, f_ab and f_bb are anything but zero.
    const CURVED: [bool; 3];

    /// f, f_a, f_b, f_aa, f_ab, f_bb. Mark it `#[inline(always)]`: then the parts that a rule does not use cost nothing. An input that the
    /// part in question does not read may be any number.
    fn at(a: T, b: T) -> [T; 6];
}

/// The op made from a [`Pair`] function. Its residuals are those of a and b that slopes read.
#[derive(Debug)]
pub struct PairOp<F>(pub F);

impl<F> PairOp<F> {
    /// x̄ᵢ += Jᵀ d + ∂(Jᵀȳ)·ẋ into `out`: d, ȳ, ȧ and ḃ are operands, of which those that `with` denies (d; ȧ; ḃ) are zero.
    fn to_input<T: Element>(
        (g, r, i): (&Broadcast, &Record<T>, usize),
        out: &mut [T],
        [d, y_bar, a_dot, b_dot]: [Operand<'_, T>; 4],
        with: [bool; 3],
    ) where
        F: Pair<T>,
    {
        let [a, b] = [0, 1].map(|j| Self::kept(r, j, F::SLOPES[i].reads(j)));
        let x = [a, b, d, y_bar, a_dot, b_dot];
        // A term that is absent is zero, whatever its factor.
        let term = |with: bool, value: T| if with { value } else { T::ZERO };
        let terms = |slope: T, curves: [T; 2], [d, y_bar, a_dot, b_dot]: [T; 4]| {
            term(with[0], slope * d)
                + term(with[1], curves[0] * a_dot * y_bar)
                + term(with[2], curves[1] * b_dot * y_bar)
        };
        let f = |[a, b, d, y_bar, a_dot, b_dot]: [T; 6]| {
            let [_, f_a, f_b, f_aa, f_ab, f_bb] = F::at(a, b);
            let rest = [d, y_bar, a_dot, b_dot];
            if i == 0 { terms(f_a, [f_aa, f_ab], rest) } else { terms(f_b, [f_ab, f_bb], rest) }
        };
        if r.x[i] == r.y { broadcast::map(g, out, x, f) } else { broadcast::sum(g, i, out, x, f) }
    }

    /// Input `i` as forward kept it; a number that nothing reads where it did not.
    fn kept<T: Element>(r: &Record<T>, i: usize, read: bool) -> Operand<'_, T> {
        if read { Operand::Part(i, r.residuals.at(i).as_slice()) } else { Operand::Number(T::ONE) }
    }

    /// Whether J passes what it gets to input `i` unchanged, or the other way.
    fn passes<T: Element>(r: &Record<T>, i: usize) -> bool
    where
        F: Pair<T>,
    {
        F::SLOPES[i] == Slope::One && r.x[i] == r.y
    }
}

/// Probe `k` of input `i`'s tangent, if there is one.
fn tangent<'a, T: Element>(x_dot: &[Option<&'a Array<T>>], i: usize, k: usize) -> Option<Operand<'a, T>> {
    x_dot[i].map(|d| Operand::Part(i, d.part(k)))
}

/// An operand that is zero where it is absent.
fn or_zero<T: Element>(x: Option<Operand<'_, T>>) -> Operand<'_, T> {
    x.unwrap_or(Operand::Number(T::ZERO))
}

impl<T: Element, F: Pair<T>> Op<T> for PairOp<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        Broadcast::shape(x[0], x[1])
            .ok_or_else(|| ShapeError::new(F::NAME, "extents are neither equal nor 1", x))
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, keep: Keep) -> (Array<T>, Residuals<T>) {
        let mut value = cx.array(y);
        let g = Broadcast::new(y, &[x[0].shape(), x[1].shape()]);
        let operands = [0, 1].map(|i| Operand::Part(i, x[i].as_slice()));
        broadcast::map(&g, value.make_mut(), operands, |[a, b]| F::at(a, b)[0]);
        let used = |i: usize| keep.x_bar.has(i) || keep.x_dot.has(i) || keep.x_bar_dot.has(i);
        let read = |input: usize| (0..2).any(|i| used(i) && F::SLOPES[i].reads(input));
        (value, Residuals::new((0..2).map(|i| read(i).then(|| x[i].clone()))))
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T> {
        let g = Broadcast::new(r.y, &r.x);
        let one = |i: usize| {
            if Self::passes(r, i) {
                return y_bar.clone();
            }
            let (mut x_bar, zero) = (cx.array(r.x[i]), Operand::Number(T::ZERO));
            let operands = [Operand::Full(y_bar.as_slice()), zero, zero, zero];
            Self::to_input((&g, r, i), x_bar.make_mut(), operands, [true, false, false]);
            x_bar
        };
        (0..2).map(|i| need.has(i).then(|| one(i))).collect()
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        let with = [0, 1].map(|i| x_dot[i].is_some());
        if let Some(i) = (0..2).find(|&i| with[i] && !with[1 - i] && Self::passes(r, i)) {
            return x_dot[i].expect("a tangent").clone();
        }
        let g = Broadcast::new(r.y, &r.x);
        let read = |j: usize| (0..2).any(|i| with[i] && F::SLOPES[i].reads(j));
        let [a, b] = [0, 1].map(|j| Self::kept(r, j, read(j)));
        cx.each_probe(r.y, |k, out| {
            let [a_dot, b_dot] = [0, 1].map(|i| or_zero(tangent(x_dot, i, k)));
            broadcast::map(&g, out, [a, b, a_dot, b_dot], |[a, b, a_dot, b_dot]| {
                let [_, f_a, f_b, ..] = F::at(a, b);
                let terms = [f_a * a_dot, f_b * b_dot];
                match with {
                    [true, true] => terms[0] + terms[1],
                    [true, false] => terms[0],
                    _ => terms[1],
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
        let g = Broadcast::new(r.y, &r.x);
        let one = |i: usize| {
            let [a, b] = [0, 1].map(|j| F::CURVED[i + j] && x_dot[j].is_some());
            match y_bar_dot {
                None if !(a || b) => return None,
                Some(y_bar_dot) if !(a || b) && Self::passes(r, i) => return Some(y_bar_dot.clone()),
                _ => {}
            }
            Some(cx.each_probe(r.x[i], |k, out| {
                let d = or_zero(y_bar_dot.map(|d| Operand::Full(d.part(k))));
                let y_bar = or_zero((a || b).then(|| Operand::Full(y_bar.as_slice())));
                let a_dot = or_zero(tangent(x_dot, 0, k).filter(|_| a));
                let b_dot = or_zero(tangent(x_dot, 1, k).filter(|_| b));
                Self::to_input((&g, r, i), out, [d, y_bar, a_dot, b_dot], [y_bar_dot.is_some(), a, b]);
            }))
        };
        (0..2).map(|i| need.has(i).then(|| one(i)).flatten()).collect()
    }

    fn tangents_read(&self, need: &InputSet) -> InputSet {
        (0..2).filter(|&j| (0..2).any(|i| need.has(i) && F::CURVED[i + j])).collect()
    }
}
