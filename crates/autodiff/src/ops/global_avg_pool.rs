//! Global average pooling: y[n, c] = mean over h, w of x[n, h, w, c].

use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::{Linear, LinearOp};
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Global average pooling; made by [`global_avg_pool`].
#[derive(Debug)]
pub struct GlobalAvgPool;

/// NHWC images to [N, C] means.
pub fn global_avg_pool() -> LinearOp<GlobalAvgPool> {
    LinearOp::new(GlobalAvgPool)
}

impl<T: Element> Linear<T> for GlobalAvgPool {
    fn name(&self) -> &'static str {
        "global_avg_pool"
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        match *x.dims() {
            [n, h, w, c] if h * w > 0 => Ok(Shape::new(&[n, c])),
            _ => Err(ShapeError::new("global_avg_pool", "expects NHWC images", &[x])),
        }
    }

    fn forward(&self, cx: &Context<T>, x: &Array<T>, y: Shape) -> (Array<T>, Option<Array<T>>) {
        let mut value = cx.array(y);
        self.tangent(None, (x.shape(), y), x.as_slice(), value.make_mut());
        (value, None)
    }

    fn tangent(&self, _saved: Option<&Array<T>>, (x, _): (Shape, Shape), x_dot: &[T], y_dot: &mut [T]) {
        let (hw, c) = (x[1] * x[2], x[3]);
        let scale = T::from_f64(1.0 / hw as f64);
        for (image, y) in x_dot.chunks_exact(hw * c).zip(y_dot.chunks_exact_mut(c)) {
            y.fill(T::ZERO);
            for pixel in image.chunks_exact(c) {
                y.iter_mut().zip(pixel).for_each(|(y, p)| *y += *p);
            }
            y.iter_mut().for_each(|y| *y *= scale);
        }
    }

    fn adjoint(&self, _saved: Option<&Array<T>>, (x, _): (Shape, Shape), y_bar: &[T], x_bar: &mut [T]) {
        let (hw, c) = (x[1] * x[2], x[3]);
        let scale = T::from_f64(1.0 / hw as f64);
        for (image, y) in x_bar.chunks_exact_mut(hw * c).zip(y_bar.chunks_exact(c)) {
            for pixel in image.chunks_exact_mut(c) {
                pixel.iter_mut().zip(y).for_each(|(p, y)| *p = *y * scale);
            }
        }
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(global_avg_pool(), vec![normal(&[2, 3, 2, 4], 0)])]
}
