//! Maxima over axes, which stay with extent 1. Equal maxima share the derivative evenly, as PyTorch's `amax` has it: with w = 1/(number of
//! maxima) where x is one and 0 elsewhere, ẏ = Σ w⊙ẋ and x̄ = w⊙ȳ.

use super::sum::reduced;
use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::{Linear, LinearOp};
use sph_tensor::kernels::broadcast::{self, Broadcast, Operand};
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Maxima over axes; made by [`amax`].
#[derive(Debug)]
pub struct Amax {
    /// The axes, each once.
    pub axes: Vec<usize>,
}

/// The largest of x over `axes`, which stay with extent 1. NaN among them is the largest.
pub fn amax(axes: &[usize]) -> LinearOp<Amax> {
    LinearOp::piecewise(Amax { axes: axes.to_vec() })
}

/// Calls `f(position in x, position in y)` for every element; y has extent 1 where axes are reduced.
fn each(x: Shape, y: Shape, mut f: impl FnMut(usize, usize)) {
    let rank = x.rank();
    let mut steps = vec![0; rank];
    let mut step = 1;
    for axis in (0..rank).rev() {
        steps[axis] = if y[axis] == 1 { 0 } else { step };
        step *= y[axis];
    }
    let (mut index, mut place) = (vec![0; rank], 0);
    for i in 0..x.len() {
        f(i, place);
        for axis in (0..rank).rev() {
            index[axis] += 1;
            place += steps[axis];
            if index[axis] < x[axis] {
                break;
            }
            place -= steps[axis] * x[axis];
            index[axis] = 0;
        }
    }
}

fn shares<T: Element>(residual: Option<&Array<T>>) -> &[T] {
    residual.expect("the shares of the maxima").as_slice()
}

impl<T: Element> Linear<T> for Amax {
    fn name(&self) -> &'static str {
        "amax"
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        match x.len() {
            0 => Err(ShapeError::new("amax", "nothing has no largest entry", &[x])),
            _ => reduced("amax", x, &self.axes),
        }
    }

    fn forward(&self, cx: &Context<T>, x: &Array<T>, y: Shape) -> (Array<T>, Option<Array<T>>) {
        let (shape, values) = (x.shape(), x.as_slice());
        let mut value = Array::full(&cx.pool, y, T::from_f64(f64::NEG_INFINITY));
        let largest = value.make_mut();
        // No comparison with NaN holds, so that it stays.
        each(shape, y, |i, j| {
            if values[i] > largest[j] || values[i].to_f64().is_nan() {
                largest[j] = values[i];
            }
        });
        let mut count = vec![0.0; y.len()];
        each(shape, y, |i, j| count[j] += f64::from(u8::from(values[i] == largest[j])));
        let mut shares = cx.array(shape);
        let out = shares.make_mut();
        each(shape, y, |i, j| {
            out[i] = if values[i] == largest[j] { T::from_f64(1.0 / count[j]) } else { T::ZERO };
        });
        (value, Some(shares))
    }

    fn tangent(&self, residual: Option<&Array<T>>, (x, y): (Shape, Shape), x_dot: &[T], y_dot: &mut [T]) {
        let operands = [Operand::Full(shares(residual)), Operand::Full(x_dot)];
        broadcast::sum(&Broadcast::new(x, &[y]), 0, y_dot, operands, |[share, x_dot]| share * x_dot);
    }

    fn adjoint(&self, residual: Option<&Array<T>>, (x, y): (Shape, Shape), y_bar: &[T], x_bar: &mut [T]) {
        let operands = [Operand::Full(shares(residual)), Operand::Part(0, y_bar)];
        broadcast::map(&Broadcast::new(x, &[y]), x_bar, operands, |[share, y_bar]| share * y_bar);
    }
}

pub(super) fn cases() -> Vec<Case> {
    // Random values differ by far more than the difference step.
    vec![
        case(amax(&[1]), vec![normal(&[3, 5, 2], 0)]),
        case(amax(&[0, 2]), vec![normal(&[3, 2, 4], 1)]),
        case(amax(&[2, 1]), vec![normal(&[2, 3, 2, 4], 2)]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tape;
    use sph_tensor::Pool;

    #[test]
    fn equal_maxima_share_the_derivative() {
        let pool = Pool::<f64>::new();
        let mut tape = Tape::new(&pool, 1);
        let x = Array::from_slice(&pool, Shape::new(&[1, 4]), &[2.0, -1.0, 2.0, 0.0]);
        let x = tape.leaf(crate::Leaf { value: x, dot: None, grad: true, hvp: false });
        let y = tape.apply(amax(&[0, 1]), &[&x], "amax").unwrap();
        let y = tape.apply(crate::ops::reshape(Shape::scalar()), &[&y], "loss").unwrap();
        assert_eq!(y.value().as_slice(), [2.0]);
        assert_eq!(tape.backward(&y).grad(&x).unwrap().as_slice(), [0.5, 0.0, 0.5, 0.0]);
    }
}
