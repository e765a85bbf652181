//! 2-D convolution (cross-correlation, as everywhere in deep learning): y = x ∗ w, bilinear in x and w.
//! x is NHWC, w is OIHW; any kernel size, strides, zero padding and dilation, any number of groups.

use crate::extensions::{Extensions, KroneckerFactors, Work, factors};
use crate::op::{Context, Record};
use crate::ops::{Case, case, normal};
use crate::rules::{Bilinear, BilinearOp};
use sph_tensor::kernels::conv::{self, Conv, KernelInfo};
use sph_tensor::kernels::window::{Window, gather};
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Settings of a 2-D convolution, those of the height first; made an op by [`convolution`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// Steps between output pixels, at least 1.
    pub stride: [usize; 2],
    /// Zeros on both sides.
    pub padding: [usize; 2],
    /// Distances of taps, at least 1.
    pub dilation: [usize; 2],
    /// Groups of channels.
    pub groups: usize,
}

/// x ∗ w; a third input is a bias `[O]`. With groups of channels w is [O, I/groups, H, W], and the outputs of a group see its inputs alone, as in
/// PyTorch.
pub fn convolution(settings: Convolution) -> BilinearOp<Convolution> {
    BilinearOp(settings)
}

/// [`convolution`] with one stride (≥ 1) and one zero padding for both axes.
pub fn conv2d(stride: usize, pad: usize) -> BilinearOp<Convolution> {
    grouped_conv2d(stride, pad, 1)
}

/// [`conv2d`] in groups of channels.
pub fn grouped_conv2d(stride: usize, pad: usize, groups: usize) -> BilinearOp<Convolution> {
    convolution(Convolution { stride: [stride; 2], padding: [pad; 2], dilation: [1; 2], groups })
}

impl Convolution {
    /// The window that slides over images NHWC.
    pub(super) fn window(&self, [n, h, w, c]: [usize; 4], kernel: [usize; 2]) -> Window {
        let (stride, pad, dilation) = (self.stride, self.padding, self.dilation);
        Window { stride, pad, dilation, ..Window::square([n, h, w, c], kernel, 1, 0) }
    }

    fn geometry(&self, x: Shape, w: Shape) -> Option<Conv> {
        let (&[n, h, width, c], &[out, i, kh, kw]) = (x.dims(), w.dims()) else { return None };
        let window = self.window([n, h, width, c], [kh, kw]);
        let groups = self.groups;
        let fits = groups > 0 && i * groups == c && out % groups == 0 && window.fits();
        fits.then_some(Conv { window, out, groups })
    }

    fn conv(&self, (x, w): (Shape, Shape)) -> Conv {
        self.geometry(x, w).expect("checked by output_shape")
    }
}

impl<T: Element> Bilinear<T> for Convolution {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn output_shape(&self, x: Shape, w: Shape) -> Result<Shape, ShapeError> {
        let reason = "images NHWC and weights OIHW do not fit each other";
        self.geometry(x, w)
            .map(|c| c.output_shape())
            .ok_or_else(|| ShapeError::new("conv2d", reason, &[x, w]))
    }

    fn apply(&self, cx: &Context<T>, shapes: (Shape, Shape), x: &[T], w: &[T], y: &mut [T]) {
        conv::forward(&self.conv(shapes), x, w, y, &cx.pool);
    }

    fn adjoint_x(&self, cx: &Context<T>, shapes: (Shape, Shape), y_bar: &[T], w: &[T], x_bar: &mut [T]) {
        conv::backward_data(&self.conv(shapes), y_bar, w, x_bar, &cx.pool);
    }

    fn adjoint_w(&self, cx: &Context<T>, shapes: (Shape, Shape), x: &[T], y_bar: &[T], w_bar: &mut [T]) {
        conv::backward_weight(&self.conv(shapes), x, y_bar, w_bar, &cx.pool);
    }

    fn extensions(&self) -> Extensions<'_, T> {
        // The block of a grouped convolution is no single Kronecker product.
        let kronecker = (self.groups == 1).then_some(self as &dyn KroneckerFactors<T>);
        Extensions { work: Some(self), kronecker, ..Extensions::NONE }
    }
}

impl<T: Element> Work<T> for Convolution {
    fn multiply_adds(&self, x: &[Shape], y: Shape) -> u64 {
        (y.len() * (x[1].len() / x[1][0])) as u64
    }

    fn kernels(&self, x: &[Shape]) -> Option<KernelInfo> {
        Some(conv::kernels_for::<T>(&self.conv((x[0], x[1]))))
    }
}

impl<T: Element> KroneckerFactors<T> for Convolution {
    fn kronecker_factors(
        &self,
        cx: &Context<T>,
        r: &Record<T>,
        y_bar: &Array<T>,
        bias: bool,
    ) -> [Array<T>; 2] {
        let Conv { window: g, out, .. } = self.conv((r.x[0], r.x[1]));
        let (x, taps) = (r.residuals.at(0).as_slice(), g.kh * g.kw);
        let rows = |first: usize, to: &mut [T]| {
            let mut patches = cx.array(Shape::new(&[to.len()]));
            gather(&g, x, first, patches.make_mut());
            // Patches run over taps, then channels; weights over channels, then taps.
            let pairs = to.chunks_exact_mut(g.patch()).zip(patches.as_slice().chunks_exact(g.patch()));
            for (to, from) in pairs {
                to.iter_mut().enumerate().for_each(|(i, to)| *to = from[i % taps * g.c + i / taps]);
            }
        };
        factors(cx, (g.n, g.oh() * g.ow()), (g.patch(), out), y_bar.as_slice(), bias, rows)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let settings =
        |stride, padding, dilation, groups| convolution(Convolution { stride, padding, dilation, groups });
    vec![
        case(conv2d(1, 1), vec![normal(&[2, 4, 5, 3], 0), normal(&[4, 3, 3, 3], 1)]),
        case(conv2d(2, 1), vec![normal(&[2, 5, 4, 2], 0), normal(&[3, 2, 3, 3], 1)]),
        case(conv2d(2, 0), vec![normal(&[2, 4, 4, 3], 0), normal(&[2, 3, 1, 1], 1)]),
        case(grouped_conv2d(2, 1, 3), vec![normal(&[2, 4, 5, 3], 0), normal(&[3, 1, 3, 3], 1)]),
        case(grouped_conv2d(1, 1, 2), vec![normal(&[2, 3, 4, 4], 0), normal(&[6, 2, 3, 3], 1)]),
        case(conv2d(1, 1), vec![normal(&[2, 3, 4, 2], 0), normal(&[3, 2, 3, 3], 1), normal(&[3], 2)]),
        case(conv2d(1, 2), vec![normal(&[1, 4, 3, 2], 0), normal(&[2, 2, 2, 5], 1)]),
        case(settings([2, 1], [0, 2], [1, 2], 1), vec![normal(&[2, 5, 4, 2], 0), normal(&[3, 2, 2, 3], 1)]),
        case(settings([1, 2], [2, 1], [3, 1], 2), vec![normal(&[1, 6, 5, 4], 0), normal(&[2, 2, 3, 2], 1)]),
        case(settings([1, 2], [1, 0], [2, 1], 3), vec![normal(&[2, 5, 4, 3], 0), normal(&[3, 1, 2, 2], 1)]),
    ]
}
