//! Arrays one behind the other along one axis; each adjoint is its own stretch of ȳ.

use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use crate::ops::{Case, case, normal};
use sph_tensor::kernels::layout::{Axis, copy};
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Concatenation along an axis; made by [`concat()`].
#[derive(Debug)]
pub struct Concat {
    /// The axis that grows.
    pub axis: usize,
}

/// The inputs, of one shape but for axis `axis`, one behind the other along it.
pub fn concat(axis: usize) -> Concat {
    Concat { axis }
}

impl Concat {
    /// Where each input begins in y.
    fn starts<'a>(&'a self, x: &'a [Shape]) -> impl Iterator<Item = usize> + 'a {
        x.iter().scan(0, |at, s| Some(std::mem::replace(at, *at + s[self.axis])))
    }

    fn join<T: Element>(&self, x: &[Shape], y: Shape, parts: &[Option<&[T]>], out: &mut [T]) {
        for ((shape, at), part) in x.iter().zip(self.starts(x)).zip(parts) {
            let (axis, to) = (Axis::new(*shape, self.axis), Axis::new(y, self.axis));
            if let Some(part) = part {
                copy(part, axis, 0, out, to, at, shape[self.axis]);
            }
        }
    }

    fn cut<T: Element>(&self, r: &Record<T>, i: usize, y_bar: &[T], out: &mut [T]) {
        let at = self.starts(&r.x).nth(i).unwrap_or(0);
        copy(y_bar, Axis::new(r.y, self.axis), at, out, Axis::new(r.x[i], self.axis), 0, r.x[i][self.axis]);
    }
}

impl<T: Element> Op<T> for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        let others = |s: Shape| -> Vec<usize> {
            s.dims().iter().enumerate().filter(|(i, _)| *i != self.axis).map(|(_, d)| *d).collect()
        };
        let fits = |s: &Shape| self.axis < s.rank() && others(*s) == others(x[0]);
        if x.is_empty() || !x.iter().all(fits) {
            let reason = format!("shapes differ in more than axis {}", self.axis);
            return Err(ShapeError::new("concat", reason, x));
        }
        let mut dims = x[0].dims().to_vec();
        dims[self.axis] = x.iter().map(|s| s[self.axis]).sum();
        Ok(Shape::new(&dims))
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, _keep: Keep) -> (Array<T>, Residuals<T>) {
        let mut value = cx.array(y);
        let shapes: Vec<Shape> = x.iter().map(|x| x.shape()).collect();
        let parts: Vec<_> = x.iter().map(|x| Some(x.as_slice())).collect();
        self.join(&shapes, y, &parts, value.make_mut());
        (value, Residuals::none())
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T> {
        let part = |i: usize| {
            let mut x_bar = cx.array(r.x[i]);
            self.cut(r, i, y_bar.as_slice(), x_bar.make_mut());
            x_bar
        };
        (0..r.x.len()).map(|i| need.has(i).then(|| part(i))).collect()
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        cx.each_probe(r.y, |k, y_dot| {
            y_dot.fill(T::ZERO);
            let parts: Vec<_> = x_dot.iter().map(|d| d.map(|d| d.part(k))).collect();
            self.join(&r.x, r.y, &parts, y_dot);
        })
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
        let part = |i: usize| {
            let y_bar_dot = y_bar_dot.filter(|_| need.has(i))?;
            Some(cx.each_probe(r.x[i], |k, out| self.cut(r, i, y_bar_dot.part(k), out)))
        };
        (0..r.x.len()).map(part).collect()
    }

    fn tangents_read(&self, _need: &InputSet) -> InputSet {
        InputSet::NONE
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(concat(1), vec![normal(&[2, 1, 3], 0), normal(&[2, 2, 3], 1)]),
        case(concat(0), vec![normal(&[1, 3], 0), normal(&[2, 3], 1), normal(&[1, 3], 2)]),
        // More inputs than a word has bits.
        case(concat(1), (0..70).map(|i| normal(&[2, 1], i)).collect()),
    ]
}
