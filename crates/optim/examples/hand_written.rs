//! An optimizer sees a loss through the `Curvature` trait alone. Here the loss is a function written by hand, without a
//! tape: L(γ) = ½ Σ aᵢ (γᵢ − 1)², whose Hessian is diagonal, so that H·1 is its diagonal and the step is Newton's.
//!
//! Run with `cargo run --release -p sph-optim --example hand_written`.

use sph_optim::Rule;
use sph_optim::presets::SphDrs;
use sph_optim::{Answer, Curvature, Directions, EvalError, ParamSpec, Request, Role, Sweep};
use sph_tensor::{Array, Pool, Shape};

struct Quadratic {
    specs: Vec<ParamSpec>,
    point: Vec<Array<f64>>,
    a: Vec<f64>,
}

impl Quadratic {
    fn new(a: &[f64]) -> Self {
        let spec = ParamSpec::new("gamma", &[a.len()], Role::NormScale);
        let point = Array::zeros(&Pool::new(), Shape::new(&spec.shape));
        Quadratic { specs: vec![spec], point: vec![point], a: a.to_vec() }
    }

    fn loss(&self, point: &[f64]) -> f64 {
        self.a.iter().zip(point).map(|(a, p)| 0.5 * a * (p - 1.0) * (p - 1.0)).sum()
    }
}

impl Curvature<f64> for Quadratic {
    fn params(&self) -> &[ParamSpec] {
        &self.specs
    }

    fn values(&self) -> &[Array<f64>] {
        &self.point
    }

    fn evaluate(&mut self, want: &Request<f64>, out: &mut Answer<f64>) -> Result<(), EvalError> {
        let point = &self.point[0];
        let gradient: Vec<f64> = self.a.iter().zip(point.as_slice()).map(|(a, p)| a * (p - 1.0)).collect();
        out.loss = self.loss(point.as_slice());
        out.gradient = vec![Some(Array::from_slice(point.pool(), point.shape(), &gradient))];
        out.products.clear();
        for sweep in &want.sweeps {
            let mut product = Directions::default();
            self.hvp(sweep, &mut product)?;
            out.products.push(product);
        }
        Ok(())
    }

    fn hvp(&mut self, sweep: &Sweep<f64>, out: &mut Directions<f64>) -> Result<(), EvalError> {
        out.clear();
        for (param, v) in sweep.tangents.iter().filter(|(param, _)| sweep.rows.contains(param)) {
            let product: Vec<f64> =
                v.as_slice().iter().zip(self.a.iter().cycle()).map(|(v, a)| a * v).collect();
            out.insert(param, Array::from_slice(v.pool(), v.shape(), &product));
        }
        Ok(())
    }

    fn loss_at(&mut self, step: &Directions<f64>) -> Result<f64, EvalError> {
        let mut point = self.point[0].to_f64();
        if let Some(step) = step.get(0) {
            point.iter_mut().zip(step.as_slice()).for_each(|(p, s)| *p += s);
        }
        Ok(self.loss(&point))
    }

    fn apply(&mut self, updates: &[Option<Array<f64>>]) {
        for (point, update) in self.point.iter_mut().zip(updates) {
            if let Some(update) = update {
                point.accumulate(update);
            }
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Curvatures over four decades, on which one learning rate would not do.
    let mut f = Quadratic::new(&[0.01, 1.0, 100.0]);
    let settings = SphDrs { momentum: 0.0, tau: 1.0, eps: 1e-12, ..SphDrs::default() };
    let mut optimizer = settings.build(f.params())?;
    for step in 0..3 {
        let report = optimizer.step(&mut f, 1.0)?;
        println!("step {step}: loss {:.3e}", report.loss);
    }
    let end = f.loss_at(&Directions::default())?;
    println!("end:    loss {end:.3e} at {:?}", f.values()[0].as_slice());
    assert!(end < 1e-20, "Newton's method solves a quadratic in one step");
    Ok(())
}
