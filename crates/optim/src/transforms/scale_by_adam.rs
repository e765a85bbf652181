//! Adam's direction (Kingma and Ba 2015): m̂/(√v̂ + ε) with bias-corrected averages of g and g².

use super::{PerParam, load_arrays, save_arrays};
use crate::curvature::{Answer, Curvature, EvalError};
use crate::ema::power;
use crate::state::{StateDict, StateError};
use crate::transform::{Transform, UpdateContext};
use sph_tensor::{Array, Element, kernels::map};

/// Adam's direction.
#[derive(Debug)]
pub struct ScaleByAdam<T: Element> {
    betas: (f64, f64),
    eps: f64,
    m: PerParam<T>,
    v: PerParam<T>,
    count: u64,
    /// The gradients of the step at hand. The averages after it follow from them, and are made when it is taken.
    gradients: PerParam<T>,
}

impl<T: Element> ScaleByAdam<T> {
    /// Averages with decays `betas`; `eps` guards the division.
    pub fn new(betas: (f64, f64), eps: f64) -> Self {
        ScaleByAdam { betas, eps, m: Vec::new(), v: Vec::new(), count: 0, gradients: Vec::new() }
    }
}

/// The average of g with decay β after one more.
pub(super) fn mean_after<T: Element>(beta: f64) -> impl Fn(T, T) -> T + Sync + Copy {
    let (decay, rest) = (T::from_f64(beta), T::from_f64(1.0 - beta));
    #[inline(always)]
    move |m, g| decay * m + rest * g
}

/// The average of g² with decay β after one more.
pub(super) fn square_after<T: Element>(beta: f64) -> impl Fn(T, T) -> T + Sync + Copy {
    let (decay, rest) = (T::from_f64(beta), T::from_f64(1.0 - beta));
    #[inline(always)]
    move |v, g| decay * v + rest * g * g
}

impl<T: Element> Transform<T> for ScaleByAdam<T> {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn update(
        &mut self,
        cx: &UpdateContext<'_, T>,
        _f: &mut dyn Curvature<T>,
        _answer: &Answer<T>,
        updates: &mut [Option<Array<T>>],
    ) -> Result<(), EvalError> {
        self.m.resize(cx.specs.len(), None);
        self.v.resize(cx.specs.len(), None);
        self.gradients = vec![None; cx.specs.len()];
        let t = T::from_f64;
        let (b1, b2) = self.betas;
        let count = self.count + 1;
        let root = (1.0 - power(b2, count)).sqrt();
        let (c1, c2) = (t(1.0 / (1.0 - power(b1, count))), t(1.0 / root));
        let (mean, square, eps) = (mean_after(b1), square_after(b2), t(self.eps));
        let direction = |m: T, v: T| c1 * m / (c2 * v.sqrt() + eps);
        for &i in cx.members {
            let Some(g) = updates[i].take() else { continue };
            let mut d = Array::stale(g.pool(), g.shape());
            match (&self.m[i], &self.v[i]) {
                (Some(m), Some(v)) => {
                    let arrays = [m.as_slice(), v.as_slice(), g.as_slice()];
                    map::zip(d.make_mut(), arrays, |[m, v, g]| direction(mean(m, g), square(v, g)));
                }
                _ => map::unary(d.make_mut(), g.as_slice(), |g| {
                    direction(mean(T::ZERO, g), square(T::ZERO, g))
                }),
            }
            updates[i] = Some(d);
            self.gradients[i] = Some(g);
        }
        Ok(())
    }

    fn commit(&mut self) {
        self.count += 1;
        for (i, g) in self.gradients.drain(..).enumerate() {
            let Some(g) = g else { continue };
            let fresh = || Array::zeros(g.pool(), g.shape());
            let (m, v) = (self.m[i].get_or_insert_with(fresh), self.v[i].get_or_insert_with(fresh));
            map::update(m.make_mut(), g.as_slice(), mean_after(self.betas.0));
            map::update(v.make_mut(), g.as_slice(), square_after(self.betas.1));
        }
    }

    fn save(&self, cx: &UpdateContext<'_, T>, prefix: &str, to: &mut StateDict<T>) {
        save_arrays(cx, &format!("{prefix}.mean"), &self.m, to);
        save_arrays(cx, &format!("{prefix}.square"), &self.v, to);
        to.numbers.insert(format!("{prefix}.count"), self.count);
    }

    fn load(
        &mut self,
        cx: &UpdateContext<'_, T>,
        prefix: &str,
        from: &mut StateDict<T>,
    ) -> Result<(), StateError> {
        load_arrays(cx, &format!("{prefix}.mean"), &mut self.m, from)?;
        load_arrays(cx, &format!("{prefix}.square"), &mut self.v, from)?;
        self.count = from.take_number_after(cx.step, &format!("{prefix}.count"), 0)?;
        Ok(())
    }
}
