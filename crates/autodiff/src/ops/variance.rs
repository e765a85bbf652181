//! Variances over axes, which stay with extent 1. With the mean m over n elements and the correction c:
//!
//! ```text
//! y  = Σ (x − m)²/(n − c)
//! ẏ  = 2 Σ (x − m)ẋ/(n − c)
//! x̄  = 2 (x − m)ȳ/(n − c)
//! x̄̇ = 2 ((x − m)ȳ̇ + (ẋ − ṁ)ȳ)/(n − c)
//! ```

use super::mean::{average, count};
use super::sum::reduced;
use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use crate::ops::{Case, case, normal};
use sph_tensor::kernels::broadcast::{self, Broadcast, Operand};
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Variances over axes; made by [`variance`].
#[derive(Debug)]
pub struct Variance {
    /// The axes, each once.
    pub axes: Vec<usize>,
    /// What the divisor is less than the number of elements.
    pub correction: f64,
}

/// The variances of x over `axes`, which stay with extent 1. The divisor is the number of elements less `correction`: 1 for the unbiased
/// estimate, 0 for the mean square.
pub fn variance(axes: &[usize], correction: f64) -> Variance {
    Variance { axes: axes.to_vec(), correction }
}

impl Variance {
    /// k/(n − c).
    fn over_divisor<T: Element>(&self, k: f64, shapes: (Shape, Shape)) -> T {
        T::from_f64(k / (count(shapes) - self.correction))
    }
}

impl<T: Element> Op<T> for Variance {
    fn name(&self) -> &'static str {
        "variance"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        let y = reduced("variance", x[0], &self.axes)?;
        if x[0].len() > 0 && count((x[0], y)) > self.correction {
            return Ok(y);
        }
        let reason = format!("there are too few elements for a correction of {}", self.correction);
        Err(ShapeError::new("variance", reason, x))
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, keep: Keep) -> (Array<T>, Residuals<T>) {
        let shapes = (x[0].shape(), y);
        let (g, values) = (Broadcast::new(shapes.0, &[y]), x[0].as_slice());
        let (mut mean, mut value) = (cx.array(y), cx.array(y));
        average(shapes, values, mean.make_mut());
        let operands = [Operand::Full(values), Operand::Part(0, mean.as_slice())];
        broadcast::sum(&g, 0, value.make_mut(), operands, |[x, m]| (x - m) * (x - m));
        let scale: T = self.over_divisor(1.0, shapes);
        value.make_mut().iter_mut().for_each(|v| *v *= scale);
        let kept = if keep.any() { [Some(x[0].clone()), Some(mean)] } else { [None, None] };
        (value, Residuals::new(kept))
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T> {
        let (x, mean) = (r.residuals.at(0).as_slice(), r.residuals.at(1).as_slice());
        let (g, scale): (_, T) = (Broadcast::new(r.x[0], &[r.y]), self.over_divisor(2.0, (r.x[0], r.y)));
        vec![need.has(0).then(|| {
            let mut x_bar = cx.array(r.x[0]);
            let operands = [Operand::Full(x), Operand::Part(0, mean), Operand::Part(0, y_bar.as_slice())];
            broadcast::map(&g, x_bar.make_mut(), operands, |[x, m, y_bar]| scale * (x - m) * y_bar);
            x_bar
        })]
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        let (x, mean) = (r.residuals.at(0).as_slice(), r.residuals.at(1).as_slice());
        let (g, scale): (_, T) = (Broadcast::new(r.x[0], &[r.y]), self.over_divisor(2.0, (r.x[0], r.y)));
        let x_dot = x_dot[0].expect("a tangent");
        cx.each_probe(r.y, |k, y_dot| {
            let operands = [Operand::Full(x), Operand::Part(0, mean), Operand::Full(x_dot.part(k))];
            broadcast::sum(&g, 0, y_dot, operands, |[x, m, x_dot]| (x - m) * x_dot);
            y_dot.iter_mut().for_each(|v| *v *= scale);
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
        let (x, mean) = (r.residuals.at(0).as_slice(), r.residuals.at(1).as_slice());
        let (g, scale): (_, T) = (Broadcast::new(r.x[0], &[r.y]), self.over_divisor(2.0, (r.x[0], r.y)));
        vec![need.has(0).then(|| {
            cx.each_probe(r.x[0], |k, out| {
                let zero = Operand::Number(T::ZERO);
                let mut mean_dot = cx.array(r.y);
                let (d, d_mean) = match x_dot[0].map(|d| d.part(k)) {
                    Some(d) => {
                        average((r.x[0], r.y), d, mean_dot.make_mut());
                        (Operand::Full(d), Operand::Part(0, mean_dot.as_slice()))
                    }
                    None => (zero, zero),
                };
                let y_bar_dot = y_bar_dot.map_or(zero, |d| Operand::Part(0, d.part(k)));
                let y_bar = Operand::Part(0, y_bar.as_slice());
                let operands = [Operand::Full(x), Operand::Part(0, mean), y_bar_dot, y_bar, d, d_mean];
                broadcast::map(&g, out, operands, |[x, m, y_bar_dot, y_bar, x_dot, m_dot]| {
                    scale * ((x - m) * y_bar_dot + (x_dot - m_dot) * y_bar)
                });
            })
        })]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(variance(&[1, 2], 1.0), vec![normal(&[2, 3, 2, 4], 0)]),
        case(variance(&[2], 0.0), vec![normal(&[2, 3, 5], 1)]),
        case(variance(&[0], 0.5), vec![normal(&[4, 3], 2)]),
    ]
}
