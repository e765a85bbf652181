//! Bias over the last axis or axes: y = x + b;  ẏ = ẋ + ḃ;  x̄ = ȳ, b̄ = Σ_rows ȳ;  x̄̇ = ȳ̇, b̄̇ = Σ_rows ȳ̇.

use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use crate::ops::{Case, case, normal};
use sph_tensor::{Array, Element, Shape, ShapeError, kernels::map, kernels::reduce};

/// Addition of a bias; made by [`bias`].
#[derive(Debug)]
pub struct Bias;

/// x + b, where b's axes are x's last ones (leading axes of extent 1 aside): a bias per channel, or embeddings of positions.
pub fn bias() -> Bias {
    Bias
}

/// `out = Σ_rows x`.
pub(crate) fn row_sum<T: Element>(x: &[T], out: &mut [T]) {
    let [sums] = reduce::channel_sums([x], [], out.len(), |[x], []| [x]);
    out.iter_mut().zip(sums).for_each(|(o, s)| *o = T::from_f64(s));
}

impl<T: Element> Op<T> for Bias {
    fn name(&self) -> &'static str {
        "bias"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        let own: Vec<usize> = x[1].dims().iter().copied().skip_while(|&d| d == 1).collect();
        if x[0].dims().ends_with(&own) && x[1].len() > 0 {
            Ok(x[0])
        } else {
            Err(ShapeError::new("bias", "the bias does not match the last axes", x))
        }
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, _keep: Keep) -> (Array<T>, Residuals<T>) {
        let mut value = cx.array(y);
        let (x, b) = (x[0].as_slice(), x[1].as_slice());
        map::per_channel(value.make_mut(), [x], [b], b.len(), |[x], [b]| x + b);
        (value, Residuals::none())
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T> {
        let b_bar = need.has(1).then(|| {
            let mut b_bar = cx.array(r.x[1]);
            row_sum(y_bar.as_slice(), b_bar.make_mut());
            b_bar
        });
        vec![need.has(0).then(|| y_bar.clone()), b_bar]
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        let Some(b_dot) = x_dot[1] else { return x_dot[0].expect("a tangent").clone() };
        cx.each_probe(r.y, |k, y_dot| {
            let b_dot = b_dot.part(k);
            match x_dot[0] {
                Some(x) => map::per_channel(y_dot, [x.part(k)], [b_dot], b_dot.len(), |[x], [b]| x + b),
                None => map::per_channel(y_dot, [], [b_dot], b_dot.len(), |[], [b]| b),
            }
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
        let Some(y_bar_dot) = y_bar_dot else { return vec![None, None] };
        let b_bar_dot = need.has(1).then(|| cx.each_probe(r.x[1], |k, out| row_sum(y_bar_dot.part(k), out)));
        vec![need.has(0).then(|| y_bar_dot.clone()), b_bar_dot]
    }

    fn tangents_read(&self, _need: &InputSet) -> InputSet {
        InputSet::NONE
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(Bias, vec![normal(&[5, 3], 0), normal(&[3], 1)]),
        case(Bias, vec![normal(&[2, 3, 2, 4], 0), normal(&[4], 1)]),
        case(Bias, vec![normal(&[2, 3, 4], 0), normal(&[1, 3, 4], 1)]),
    ]
}
