//! Ops of one input that are linear, or linear once their residuals are fixed (piecewise linear).
//!
//! y = A(s) x with A locally constant:  ẏ = A ẋ,  x̄ = Aᵀ ȳ,  x̄̇ = Aᵀ ȳ̇.

use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use sph_tensor::{Array, Element, Shape, ShapeError};
use std::fmt::Debug;

/// The maps of a (piecewise) linear op. Slices hold one array each, without a probe axis.
pub trait Linear<T: Element>: Debug + Send + Sync + 'static {
    /// The op's name in the table and in messages.
    fn name(&self) -> &'static str;

    /// The output's shape.
    ///
    /// # Errors
    /// When the input's shape does not fit.
    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError>;

    /// y, and the residual that fixes A (the active piece) when there is one.
    fn forward(&self, cx: &Context<T>, x: &Array<T>, y: Shape) -> (Array<T>, Option<Array<T>>);

    /// ẏ = A ẋ.
    fn tangent(&self, residual: Option<&Array<T>>, shapes: (Shape, Shape), x_dot: &[T], y_dot: &mut [T]);

    /// x̄ = Aᵀ ȳ.
    fn adjoint(&self, residual: Option<&Array<T>>, shapes: (Shape, Shape), y_bar: &[T], x_bar: &mut [T]);
}

/// The op made from the maps of a [`Linear`].
#[derive(Debug, Clone, Copy)]
pub struct LinearOp<L>(pub L, pub(crate) bool);

impl<L> LinearOp<L> {
    /// An op whose A is the same everywhere.
    pub fn new(maps: L) -> Self {
        LinearOp(maps, false)
    }

    /// An op whose A is fixed by the residual that `forward` returns.
    pub fn piecewise(maps: L) -> Self {
        LinearOp(maps, true)
    }

    fn residual<'a, T: Element>(&self, r: &'a Record<T>) -> Option<&'a Array<T>> {
        self.1.then(|| r.residuals.at(0))
    }
}

impl<T: Element, L: Linear<T>> Op<T> for LinearOp<L> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        self.0.output_shape(x[0])
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, keep: Keep) -> (Array<T>, Residuals<T>) {
        let (value, residual) = self.0.forward(cx, x[0], y);
        (value, Residuals::new([residual.filter(|_| keep.any())]))
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T> {
        vec![need.has(0).then(|| {
            let mut x_bar = cx.array(r.x[0]);
            self.0.adjoint(self.residual(r), (r.x[0], r.y), y_bar.as_slice(), x_bar.make_mut());
            x_bar
        })]
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        let x_dot = x_dot[0].expect("a tangent");
        cx.each_probe(r.y, |k, y_dot| self.0.tangent(self.residual(r), (r.x[0], r.y), x_dot.part(k), y_dot))
    }

    fn vjp_tangent(
        &self,
        cx: &Context<T>,
        r: &Record<T>,
        _x_dot: &[Option<&Array<T>>],
        _y_bar: &Array<T>,
        y_bar_dot: Option<&Array<T>>,
        need: &InputSet,
    ) -> PerInput<T> {
        vec![y_bar_dot.filter(|_| need.has(0)).map(|y_bar_dot| {
            cx.each_probe(r.x[0], |k, x_bar_dot| {
                self.0.adjoint(self.residual(r), (r.x[0], r.y), y_bar_dot.part(k), x_bar_dot);
            })
        })]
    }

    fn tangents_read(&self, _need: &InputSet) -> InputSet {
        InputSet::NONE
    }
}
