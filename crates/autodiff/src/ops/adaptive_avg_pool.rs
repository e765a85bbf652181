//! Average pooling to a given size: output i of n along an axis of h pixels is the mean over pixels ⌊ih/n⌋ to ⌈(i+1)h/n⌉ − 1, PyTorch's
//! windows, which may overlap.

use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::{Linear, LinearOp};
use sph_tensor::kernels::pooling::{Rectangles, spread_rectangles, sum_rectangles};
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Average pooling to a given size; made by [`adaptive_avg_pool`].
#[derive(Debug)]
pub struct AdaptiveAvgPool(
    /// Height and width of y.
    pub [usize; 2],
);

/// Means of NHWC images over windows that make images of height and width `out`.
pub fn adaptive_avg_pool(out: [usize; 2]) -> LinearOp<AdaptiveAvgPool> {
    LinearOp::new(AdaptiveAvgPool(out))
}

impl AdaptiveAvgPool {
    /// The windows and one over the pixels of each.
    fn plan<T: Element>(&self, x: Shape) -> (Rectangles, Vec<T>) {
        let spans = |extent: usize, count: usize| {
            (0..count).map(|i| i * extent / count..((i + 1) * extent).div_ceil(count)).collect::<Vec<_>>()
        };
        let (rows, cols) = (spans(x[1], self.0[0]), spans(x[2], self.0[1]));
        let scale = |n: usize| T::from_f64(1.0 / n as f64);
        let scales = rows.iter().flat_map(|r| cols.iter().map(move |c| scale(r.len() * c.len()))).collect();
        (Rectangles { images: [x[0], x[1], x[2], x[3]], rows, cols }, scales)
    }
}

impl<T: Element> Linear<T> for AdaptiveAvgPool {
    fn name(&self) -> &'static str {
        "adaptive_avg_pool"
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        match *x.dims() {
            [n, h, w, c] if h * w * self.0[0] * self.0[1] > 0 => {
                Ok(Shape::new(&[n, self.0[0], self.0[1], c]))
            }
            _ => Err(ShapeError::new("adaptive_avg_pool", "expects NHWC images, and pixels to make", &[x])),
        }
    }

    fn forward(&self, cx: &Context<T>, x: &Array<T>, y: Shape) -> (Array<T>, Option<Array<T>>) {
        let mut value = cx.array(y);
        self.tangent(None, (x.shape(), y), x.as_slice(), value.make_mut());
        (value, None)
    }

    fn tangent(&self, _saved: Option<&Array<T>>, shapes: (Shape, Shape), x_dot: &[T], y_dot: &mut [T]) {
        let (rectangles, scales) = self.plan(shapes.0);
        sum_rectangles(&rectangles, &scales, x_dot, y_dot);
    }

    fn adjoint(&self, _saved: Option<&Array<T>>, shapes: (Shape, Shape), y_bar: &[T], x_bar: &mut [T]) {
        let (rectangles, scales) = self.plan(shapes.0);
        spread_rectangles(&rectangles, &scales, y_bar, x_bar);
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(adaptive_avg_pool([1, 1]), vec![normal(&[2, 3, 2, 4], 0)]),
        case(adaptive_avg_pool([3, 2]), vec![normal(&[2, 5, 4, 3], 1)]),
        case(adaptive_avg_pool([4, 3]), vec![normal(&[1, 2, 7, 2], 2)]),
    ]
}
