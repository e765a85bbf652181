//! AdaHessian's direction (Yao, Gholami, Shen, Mustafa, Keutzer and Mahoney 2021): m̂/(v̂^{k/2} + ε), with averages of g and of h²,
//! h = |z⊙Hz| for one random sign per entry, z over all parameters at once.
//!
//! On a convolution's weights h is averaged over the kernel's taps.

use super::scale_by_adam::{mean_after, square_after};
use super::{Draw, PerParam, load_arrays, replace, save_arrays};
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

/// AdaHessian's direction.
#[derive(Debug)]
pub struct ScaleByAdaHessian<T: Element> {
    config: AdaHessianConfig,
    m: PerParam<T>,
    v: PerParam<T>,
    h: PerParam<T>,
    count: u64,
    /// The sweep of the coming answer, and its probes.
    planned: Option<(usize, Sweep<T>)>,
    /// h after the step at hand, where it was measured anew, and its gradients, of which the averages are made when it is taken.
    next_h: PerParam<T>,
    gradients: PerParam<T>,
}

impl<T: Element> ScaleByAdaHessian<T> {
    /// Averages that know nothing yet.
    pub fn new(config: AdaHessianConfig) -> Self {
        ScaleByAdaHessian {
            config,
            m: Vec::new(),
            v: Vec::new(),
            h: Vec::new(),
            count: 0,
            planned: None,
            next_h: Vec::new(),
            gradients: Vec::new(),
        }
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
        [&mut self.next_h, &mut self.gradients].into_iter().for_each(|a| *a = vec![None; cx.specs.len()]);
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
                self.next_h[i] = Some(h);
            }
        }
        let t = T::from_f64;
        let ((b1, b2), k) = (self.config.betas, self.config.power);
        let count = self.count + 1;
        let (c1, c2) = (1.0 / (1.0 - power(b1, count)), 1.0 / (1.0 - power(b2, count)));
        let (c1, mean, square, eps) = (t(c1), mean_after(b1), square_after(b2), t(self.config.eps));
        // (v̂)^{k/2}
        let root = |v: T| {
            if k == 1.0 { (t(c2) * v).sqrt() } else { t(libm::pow(c2 * v.to_f64(), 0.5 * k)) }
        };
        let direction = |m: T, v: T| c1 * m / (root(v) + eps);
        for &i in cx.members {
            let Some(h) = self.next_h[i].as_ref().or(self.h[i].as_ref()) else { continue };
            let Some(g) = updates[i].take() else { continue };
            let mut d = Array::stale(g.pool(), g.shape());
            match (&self.m[i], &self.v[i]) {
                (Some(m), Some(v)) => {
                    let arrays = [m, v, &g, h].map(Array::as_slice);
                    map::zip(d.make_mut(), arrays, |[m, v, g, h]| direction(mean(m, g), square(v, h)));
                }
                _ => map::binary(d.make_mut(), g.as_slice(), h.as_slice(), |g, h| {
                    direction(mean(T::ZERO, g), square(T::ZERO, h))
                }),
            }
            updates[i] = Some(d);
            self.gradients[i] = Some(g);
        }
        Ok(())
    }

    fn commit(&mut self) {
        self.count += 1;
        replace(&mut self.h, &mut self.next_h);
        for (i, g) in self.gradients.drain(..).enumerate() {
            let (Some(g), Some(h)) = (g, &self.h[i]) else { continue };
            let fresh = || Array::zeros(g.pool(), g.shape());
            let (m, v) = (self.m[i].get_or_insert_with(fresh), self.v[i].get_or_insert_with(fresh));
            map::update(m.make_mut(), g.as_slice(), mean_after(self.config.betas.0));
            map::update(v.make_mut(), h.as_slice(), square_after(self.config.betas.1));
        }
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
        self.count = from.take_number_after(cx.step, &format!("{prefix}.count"), 0)?;
        Ok(())
    }
}
