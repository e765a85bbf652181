//! Transposed 2-D convolution: the adjoint in the data of a convolution that has y for its images and x for its outputs, bilinear in x and w.
//!
//! ```text
//! y = Cᵀ(x, w):   x̄ = C(ȳ, w),   w̄ = Cw(ȳ, x)
//! ```

use super::conv2d::Convolution;
use crate::extensions::{Extensions, Work};
use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::{Bilinear, BilinearOp};
use sph_tensor::kernels::conv::{self, Conv, KernelInfo};
use sph_tensor::{Element, Shape, ShapeError};

/// Settings of a transposed 2-D convolution, those of the height first; made an op by [`conv_transpose`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvTranspose {
    /// Steps between output pixels of the convolution that it transposes, at least 1.
    pub stride: [usize; 2],
    /// Pixels that are left out on both sides.
    pub padding: [usize; 2],
    /// Pixels that are added below, and to the right: less than the stride.
    pub output_padding: [usize; 2],
    /// Distances of taps, at least 1.
    pub dilation: [usize; 2],
    /// Groups of channels.
    pub groups: usize,
}

/// Images NHWC and w [I, O/groups, H, W], PyTorch's layout; a third input is a bias `[O]`. An extent h becomes
/// (h − 1)·stride − 2·padding + dilation·(kernel − 1) + output_padding + 1.
pub fn conv_transpose(settings: ConvTranspose) -> BilinearOp<ConvTranspose> {
    BilinearOp(settings)
}

impl ConvTranspose {
    /// The convolution that is transposed.
    fn geometry(&self, x: Shape, w: Shape) -> Option<Conv> {
        let (&[n, h, width, c], &[i, o, kh, kw]) = (x.dims(), w.dims()) else { return None };
        let ConvTranspose { stride, padding, output_padding, dilation, groups } = *self;
        let extent = |axis: usize, extent: usize, kernel: usize| {
            let window = dilation[axis] * kernel.checked_sub(1)? + 1 + output_padding[axis];
            (extent.checked_sub(1)? * stride[axis] + window).checked_sub(2 * padding[axis])
        };
        let images = [n, extent(0, h, kh)?, extent(1, width, kw)?, o * groups];
        let window = Convolution { stride, padding, dilation, groups }.window(images, [kh, kw]);
        let whole = groups > 0 && i == c && c % groups == 0 && images[1] * images[2] * o > 0;
        let fits = whole && window.fits() && [window.oh(), window.ow()] == [h, width];
        fits.then_some(Conv { window, out: c, groups })
    }

    fn conv(&self, (x, w): (Shape, Shape)) -> Conv {
        self.geometry(x, w).expect("checked by output_shape")
    }
}

impl<T: Element> Bilinear<T> for ConvTranspose {
    fn name(&self) -> &'static str {
        "conv_transpose"
    }

    fn output_shape(&self, x: Shape, w: Shape) -> Result<Shape, ShapeError> {
        match self.geometry(x, w) {
            Some(Conv { window: g, .. }) => Ok(Shape::new(&[g.n, g.h, g.w, g.c])),
            None => {
                let reason =
                    format!("images NHWC and weights [I, O/groups, H, W] do not fit each other and {self:?}");
                Err(ShapeError::new("conv_transpose", reason, &[x, w]))
            }
        }
    }

    fn apply(&self, cx: &Context<T>, shapes: (Shape, Shape), x: &[T], w: &[T], y: &mut [T]) {
        conv::backward_data(&self.conv(shapes), x, w, y, &cx.pool);
    }

    fn adjoint_x(&self, cx: &Context<T>, shapes: (Shape, Shape), y_bar: &[T], w: &[T], x_bar: &mut [T]) {
        conv::forward(&self.conv(shapes), y_bar, w, x_bar, &cx.pool);
    }

    fn adjoint_w(&self, cx: &Context<T>, shapes: (Shape, Shape), x: &[T], y_bar: &[T], w_bar: &mut [T]) {
        conv::backward_weight(&self.conv(shapes), y_bar, x, w_bar, &cx.pool);
    }

    fn extensions(&self) -> Extensions<'_, T> {
        Extensions { work: Some(self), ..Extensions::NONE }
    }
}

impl<T: Element> Work<T> for ConvTranspose {
    fn multiply_adds(&self, x: &[Shape], _y: Shape) -> u64 {
        (x[0].len() * x[1].without_first().len()) as u64
    }

    fn kernels(&self, x: &[Shape]) -> Option<KernelInfo> {
        Some(conv::kernels_for::<T>(&self.conv((x[0], x[1]))))
    }
}

pub(super) fn cases() -> Vec<Case> {
    let op = |stride, padding, output_padding, dilation, groups| {
        conv_transpose(ConvTranspose { stride, padding, output_padding, dilation, groups })
    };
    vec![
        case(op([2; 2], [0; 2], [0; 2], [1; 2], 1), vec![normal(&[2, 3, 2, 3], 0), normal(&[3, 2, 2, 2], 1)]),
        case(
            op([2, 1], [1, 0], [1, 0], [1, 2], 1),
            vec![normal(&[2, 3, 2, 2], 0), normal(&[2, 3, 3, 2], 1), normal(&[3], 2)],
        ),
        case(op([3, 2], [0, 1], [2, 1], [2, 1], 2), vec![normal(&[1, 2, 3, 4], 0), normal(&[4, 1, 2, 3], 1)]),
    ]
}
