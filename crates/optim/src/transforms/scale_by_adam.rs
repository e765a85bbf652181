//! Adam's direction (Kingma and Ba 2015): m̂/(√v̂ + ε) with bias-corrected averages of g and g².

use super::{PerParam, load_arrays, save_arrays};
use crate::curvature::{Answer, Curvature, EvalError};
use crate::ema::power;
use crate::state::{StateDict, StateError};
use crate::transform::{Transform, UpdateContext};
use sph_tensor::{Array, Element, kernels::map};

/// See the module.
#[derive(Debug)]
pub struct ScaleByAdam<T: Element> {
    betas: (f64, f64),
    eps: f64,
    m: PerParam<T>,
    v: PerParam<T>,
    count: u64,
}

impl<T: Element> ScaleByAdam<T> {
    /// Averages with decays `betas`; `eps` guards the division.
    pub fn new(betas: (f64, f64), eps: f64) -> Self {
        ScaleByAdam { betas, eps, m: Vec::new(), v: Vec::new(), count: 0 }
    }
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
        self.count += 1;
        let t = T::from_f64;
        let (b1, b2) = self.betas;
        let root = (1.0 - power(b2, self.count)).sqrt();
        let (c1, c2) = (t(1.0 / (1.0 - power(b1, self.count))), t(1.0 / root));
        let (b1, r1, b2, r2, eps) = (t(b1), t(1.0 - b1), t(b2), t(1.0 - b2), t(self.eps));
        for &i in cx.members {
            let Some(g) = &mut updates[i] else { continue };
            let fresh = || Array::zeros(g.pool(), g.shape());
            let m = self.m[i].get_or_insert_with(fresh);
            let v = self.v[i].get_or_insert_with(fresh);
            map::update(m.make_mut(), g.as_slice(), |m, g| b1 * m + r1 * g);
            map::update(v.make_mut(), g.as_slice(), |v, g| b2 * v + r2 * g * g);
            map::binary(g.make_mut(), m.as_slice(), v.as_slice(), |m, v| c1 * m / (c2 * v.sqrt() + eps));
        }
        Ok(())
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
        self.count = from.take_number(&format!("{prefix}.count"));
        Ok(())
    }
}
