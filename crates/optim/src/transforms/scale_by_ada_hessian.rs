//! AdaHessian's direction (Yao, Gholami, Shen, Mustafa, Keutzer and Mahoney 2021): m̂/(v̂^{k/2} + ε), with averages of g and of h²,
//! h = |z⊙Hz| for one random sign per entry, z over all parameters at once.
//!
//! On a convolution's weights h is averaged over the kernel's taps.

use super::{Draw, PerParam, load_arrays, save_arrays};
use crate::curvature::{Answer, Curvature, EvalError, Request, Sweep};
use crate::ema::power;
use crate::state::{StateDict, StateError};
use crate::transform::{Transform, UpdateContext};
use sph_tensor::{Array, Element, Rng, kernels::map};
use std::sync::Arc;

/// Writes the probe of a parameter at a step.
pub type DrawProbe = Draw<dyn Fn(usize, u64, &mut [f64]) + Send + Sync>;

/// Settings of [`ScaleByAdaHessian`].
#[derive(Debug, Clone)]
pub struct AdaHessianConfig {
    /// Decays of the averages of g and h².
    pub betas: (f64, f64),
    /// Guards the division.
    pub eps: f64,
    /// k in (0, 1].
    pub power: f64,
    /// Products at each `every`-th step only; between them h stays.
    pub every: u64,
    /// The probes; [`random_signs`] by default.
    pub draw: DrawProbe,
}

/// Random signs by (seed, parameter, step).
pub fn random_signs(seed: u64) -> DrawProbe {
    Draw(Arc::new(move |param, step, z| {
        let mut rng = Rng::new(seed, "adahess", param as u64, step);
        z.iter_mut().for_each(|z| *z = rng.sign());
    }))
}

/// See the module.
#[derive(Debug)]
pub struct ScaleByAdaHessian<T: Element> {
    config: AdaHessianConfig,
    m: PerParam<T>,
    v: PerParam<T>,
    h: PerParam<T>,
    count: u64,
    /// The sweep of the coming answer, and its probes.
    planned: Option<(usize, Sweep<T>)>,
}

impl<T: Element> ScaleByAdaHessian<T> {
    /// Averages that know nothing yet.
    pub fn new(config: AdaHessianConfig) -> Self {
        ScaleByAdaHessian { config, m: Vec::new(), v: Vec::new(), h: Vec::new(), count: 0, planned: None }
    }
}

/// The mean of every run of `n` entries in the place of each of them.
fn average_runs<T: Element>(h: &mut [T], n: usize) {
    for run in h.chunks_exact_mut(n) {
        let mean = run.iter().map(|v| v.to_f64()).sum::<f64>() / n as f64;
        run.fill(T::from_f64(mean));
    }
}

impl<T: Element> Transform<T> for ScaleByAdaHessian<T> {
    fn name(&self) -> &'static str {
        "adahessian"
    }

    fn request(&mut self, cx: &UpdateContext<'_, T>, want: &mut Request<T>) {
        self.planned = None;
        if !cx.step.is_multiple_of(self.config.every.max(1)) {
            return;
        }
        let mut sweep = Sweep { rows: cx.members.to_vec(), ..Sweep::default() };
        for &i in cx.members {
            let value = &cx.values[i];
            let mut z = vec![0.0; value.shape().len()];
            (self.config.draw.0)(i, cx.step, &mut z);
            let mut part = Array::stale(value.pool(), value.shape().prepend(1));
            part.make_mut().iter_mut().zip(z).for_each(|(o, z)| *o = T::from_f64(z));
            sweep.tangents.insert(i, part);
        }
        self.planned = Some((want.sweeps.len(), sweep.clone()));
        want.sweeps.push(sweep);
    }

    fn update(
        &mut self,
        cx: &UpdateContext<'_, T>,
        _f: &mut dyn Curvature<T>,
        answer: &Answer<T>,
        updates: &mut [Option<Array<T>>],
    ) -> Result<(), EvalError> {
        [&mut self.m, &mut self.v, &mut self.h].into_iter().for_each(|a| a.resize(cx.specs.len(), None));
        if let Some((number, sweep)) = self.planned.take() {
            for (i, z) in sweep.tangents.iter() {
                let value = &cx.values[i];
                let mut h = Array::zeros(value.pool(), value.shape());
                // A product that is absent is zero.
                if let Some(hz) = answer.products[number].get(i) {
                    map::binary(h.make_mut(), z.as_slice(), hz.as_slice(), |z, hz| (z * hz).abs());
                }
                if let [_, _, height, width] = *cx.specs[i].shape {
                    average_runs(h.make_mut(), height * width);
                }
                self.h[i] = Some(h);
            }
        }
        self.count += 1;
        let t = T::from_f64;
        let ((b1, b2), k) = (self.config.betas, self.config.power);
        let (c1, c2) = (1.0 / (1.0 - power(b1, self.count)), 1.0 / (1.0 - power(b2, self.count)));
        let (c1, b1, r1, b2, r2, eps) = (t(c1), t(b1), t(1.0 - b1), t(b2), t(1.0 - b2), t(self.config.eps));
        // (v̂)^{k/2}
        let root = |v: T| {
            if k == 1.0 { (t(c2) * v).sqrt() } else { t(libm::pow(c2 * v.to_f64(), 0.5 * k)) }
        };
        for &i in cx.members {
            let (Some(g), Some(h)) = (&mut updates[i], &self.h[i]) else { continue };
            let fresh = || Array::zeros(g.pool(), g.shape());
            let m = self.m[i].get_or_insert_with(fresh);
            let v = self.v[i].get_or_insert_with(fresh);
            map::update(m.make_mut(), g.as_slice(), |m, g| b1 * m + r1 * g);
            map::update(v.make_mut(), h.as_slice(), |v, h| b2 * v + r2 * h * h);
            map::binary(g.make_mut(), m.as_slice(), v.as_slice(), |m, v| c1 * m / (root(v) + eps));
        }
        Ok(())
    }

    fn save(&self, cx: &UpdateContext<'_, T>, prefix: &str, to: &mut StateDict<T>) {
        for (name, arrays) in [("mean", &self.m), ("square", &self.v), ("hessian", &self.h)] {
            save_arrays(cx, &format!("{prefix}.{name}"), arrays, to);
        }
        to.numbers.insert(format!("{prefix}.count"), self.count);
    }

    fn load(
        &mut self,
        cx: &UpdateContext<'_, T>,
        prefix: &str,
        from: &mut StateDict<T>,
    ) -> Result<(), StateError> {
        for (name, arrays) in [("mean", &mut self.m), ("square", &mut self.v), ("hessian", &mut self.h)] {
            load_arrays(cx, &format!("{prefix}.{name}"), arrays, from)?;
        }
        self.count = from.take_number(&format!("{prefix}.count"));
        Ok(())
    }
}
