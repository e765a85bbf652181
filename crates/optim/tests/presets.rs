//! Every optimizer on every toy objective: it makes progress, and its state survives a checkpoint.

use sph_optim::curvature::probes::{Ones, Probe, probes};
use sph_optim::curvature::schedules::All;
use sph_optim::curvature::{Factors, FisherLabels};
use sph_optim::presets::{self, AdaHessian, Adam, AdamW, Context, Kfac, Krylov, Sgd, SphDrs};
use sph_optim::settings::Settings;
use sph_optim::transforms::{Backtrack, ClipGradient, ClipMode, Drs, DrsConfig, random_signs};
use sph_optim::{
    Answer, AnyRule, Choice, Curvature, Directions, EvalError, Group, Optimizer, Overrides, ParamSpec,
    Request, Role, Rule, SettingsError, StateDict, Sweep,
};
use sph_tensor::{Array, Pool, Shape};
use std::sync::Arc;

/// A function of a weight matrix and a 1-D scale, with gradient and diagonal Hessian written by hand.
struct Toy {
    specs: Vec<ParamSpec>,
    values: Vec<Array<f64>>,
    /// (value, first, second derivative) of one coordinate; the loss is their sum.
    f: fn(usize, f64) -> (f64, f64, f64),
}

fn bowl(i: usize, x: f64) -> (f64, f64, f64) {
    let a = [0.5, 1.0, 4.0][i % 3];
    (0.5 * a * (x - 1.0) * (x - 1.0), a * (x - 1.0), a)
}

/// Curvature of either sign.
fn double_well(_i: usize, x: f64) -> (f64, f64, f64) {
    (0.25 * x.powi(4) - 0.5 * x * x - 0.1 * x, x.powi(3) - x - 0.1, 3.0 * x * x - 1.0)
}

fn log_cosh(_i: usize, x: f64) -> (f64, f64, f64) {
    let t = (x - 2.0).tanh();
    ((x - 2.0).cosh().ln(), t, 1.0 - t * t)
}

impl Toy {
    fn new(f: fn(usize, f64) -> (f64, f64, f64)) -> Self {
        let specs =
            vec![ParamSpec::new("w", &[2, 3], Role::Weight), ParamSpec::new("g", &[4], Role::NormScale)];
        let pool = Pool::new();
        let values = specs.iter().map(|s| Array::full(&pool, Shape::new(&s.shape), 0.3)).collect();
        Toy { specs, values, f }
    }

    fn map(&self, param: usize, f: impl Fn(usize, f64) -> f64) -> Vec<f64> {
        self.values[param].as_slice().iter().enumerate().map(|(i, x)| f(i, *x)).collect()
    }

    fn loss(&self) -> f64 {
        (0..2).flat_map(|p| self.map(p, |i, x| (self.f)(i, x).0)).sum()
    }
}

impl Curvature<f64> for Toy {
    fn params(&self) -> &[ParamSpec] {
        &self.specs
    }
    fn values(&self) -> &[Array<f64>] {
        &self.values
    }
    fn evaluate(&mut self, want: &Request<f64>, out: &mut Answer<f64>) -> Result<(), EvalError> {
        out.loss = self.loss();
        let gradient = |p: usize| self.map(p, |i, x| (self.f)(i, x).1);
        out.gradient = (0..2)
            .map(|p| Some(Array::from_slice(self.values[p].pool(), self.values[p].shape(), &gradient(p))))
            .collect();
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
        for (p, v) in sweep.tangents.iter().filter(|(p, _)| sweep.rows.contains(p)) {
            let h = self.map(p, |i, x| (self.f)(i, x).2);
            let product: Vec<f64> = v.as_slice().iter().zip(h.iter().cycle()).map(|(v, h)| v * h).collect();
            out.insert(p, Array::from_slice(v.pool(), v.shape(), &product));
        }
        Ok(())
    }
    fn loss_at(&mut self, step: &Directions<f64>) -> Result<f64, EvalError> {
        let moved = |p: usize| {
            let step = step.get(p).map(|s| s.to_f64());
            self.map(p, |i, x| (self.f)(i, x + step.as_ref().map_or(0.0, |s| s[i])).0)
        };
        Ok((0..2).flat_map(moved).sum())
    }
    fn kronecker_factors(
        &mut self,
        layers: &[(usize, Option<usize>)],
        _labels: &FisherLabels,
    ) -> Result<Vec<Option<Factors<f64>>>, EvalError> {
        let matrix = |n: usize, entries: &[f64]| {
            Array::from_slice(self.values[0].pool(), Shape::new(&[n, n]), entries)
        };
        let factors = || Factors { a: matrix(3, &A), g: matrix(2, &G) };
        Ok(layers.iter().map(|l| (*l == (0, None)).then(factors)).collect())
    }
    fn apply(&mut self, updates: &[Option<Array<f64>>]) {
        for (value, update) in self.values.iter_mut().zip(updates) {
            if let Some(update) = update {
                value.accumulate(update);
            }
        }
    }
}

/// The Kronecker factors of the weight matrix, as if it were a layer's.
const A: [f64; 9] = [2.0, 0.5, 0.0, 0.5, 1.0, 0.2, 0.0, 0.2, 0.8];
const G: [f64; 4] = [1.5, -0.3, -0.3, 0.7];

fn build(name: &str, specs: &[ParamSpec]) -> Optimizer<f64> {
    let rule = match name {
        "sph" => AnyRule::new(SphDrs { tau: 0.1, ..SphDrs::default() }),
        "krylov" => AnyRule::new(Krylov { size: 2, trust_radius: None, ..Krylov::default() }),
        "sgd" => AnyRule::new(Sgd { nesterov: true, ..Sgd::default() }),
        "adam" => AnyRule::new(Adam::default()),
        "adahessian" => AnyRule::new(AdaHessian { betas: (0.9, 0.99), ..AdaHessian::default() }),
        "kfac" => AnyRule::new(Kfac { seed: 1, factor_every: 3, inverse_every: 2, ..Kfac::default() }),
        "adamw" => AnyRule::new(AdamW { weight_decay: 0.001, ..AdamW::default() }),
        "drs" => AnyRule::new(DrsConfig { refresh: 3, ..DrsConfig::default() }),
        other => panic!("{other} has no toy settings: add them"),
    };
    rule.build(specs).unwrap()
}

#[test]
fn every_optimizer_makes_progress_on_every_objective() {
    for row in presets::all() {
        for f in [bowl, double_well, log_cosh] {
            let mut toy = Toy::new(f);
            let mut optimizer = build(row.name, toy.params());
            let start = toy.loss();
            for _ in 0..300 {
                optimizer.step(&mut toy, 0.02).unwrap();
            }
            // Gradients are small at the end, on the matrix and on the scale.
            let slope = |p: usize| toy.map(p, |i, x| (f)(i, x).1.abs()).into_iter().fold(0.0, f64::max);
            assert!(
                toy.loss() < start && slope(0) < 0.05 && slope(1) < 0.05,
                "{}: {} {}",
                row.name,
                slope(0),
                slope(1)
            );
        }
    }
}

#[test]
fn saved_state_goes_on_bit_for_bit() {
    for row in presets::all() {
        let mut toy = Toy::new(double_well);
        let mut optimizer = build(row.name, toy.params());
        for _ in 0..7 {
            optimizer.step(&mut toy, 0.02).unwrap();
        }
        let state = optimizer.save(toy.values());
        let mut twin = Toy::new(double_well);
        twin.values = toy.values.clone();
        let mut restored = build(row.name, twin.params());
        restored.load(twin.values(), state.clone()).unwrap();
        for _ in 0..5 {
            optimizer.step(&mut toy, 0.02).unwrap();
            restored.step(&mut twin, 0.02).unwrap();
        }
        (0..2).for_each(|p| assert_eq!(toy.values[p].as_slice(), twin.values[p].as_slice(), "{}", row.name));
        // So is state of which a part is missing, or of another size.
        for name in state.arrays.keys() {
            let mut less = state.clone();
            less.arrays.remove(name);
            let e = build(row.name, toy.params()).load(toy.values(), less);
            assert!(e.is_err_and(|e| e.to_string().contains("is missing")), "{} without {name}", row.name);
            let mut other = state.clone();
            let one = Array::full(toy.values[0].pool(), Shape::new(&[1]), 1.0);
            other.arrays.insert(name.clone(), one);
            let e = build(row.name, toy.params()).load(toy.values(), other);
            assert!(e.is_err_and(|e| e.to_string().contains("expected")), "{} with another {name}", row.name);
        }
        for name in state.numbers.keys() {
            let mut less = state.clone();
            less.numbers.remove(name);
            let e = build(row.name, toy.params()).load(toy.values(), less);
            // Without its visits a block's average belongs to nobody.
            assert!(e.is_err(), "{} without {name}", row.name);
        }
        // Another optimizer's state is refused.
        let mut foreign = state;
        foreign.numbers.insert("someone.else".into(), 1);
        assert!(build(row.name, toy.params()).load(toy.values(), foreign).is_err());
    }
}

#[test]
fn a_loss_that_is_not_finite_does_not_move_the_point() {
    let both = |toy: &Toy| [0, 1].map(|p| toy.values[p].to_f64());
    let mut toy = Toy::new(|_, _| (f64::NAN, 1.0, 1.0));
    let before = both(&toy);
    let e = build("sph", toy.params()).step(&mut toy, 0.1).unwrap_err();
    assert!(matches!(e, EvalError::NonFiniteLoss(_)));
    assert_eq!(both(&toy), before);
    let mut toy = Toy::new(|i, _| (1.0, if i == 3 { f64::INFINITY } else { 1.0 }, 1.0));
    let e = build("sgd", toy.params()).step(&mut toy, 0.1).unwrap_err();
    assert!(matches!(e, EvalError::NonFiniteUpdate(name) if name == "w"));
    assert_eq!(both(&toy), before);
}

/// Everything that an optimizer knows, bit for bit, and the point.
fn bits(state: &StateDict<f64>, toy: &Toy) -> Vec<(String, Vec<u64>)> {
    let of = |a: &Array<f64>| a.as_slice().iter().map(|v| v.to_bits()).collect();
    let arrays = state.arrays.iter().map(|(name, a)| (name.clone(), of(a)));
    let numbers = state.numbers.iter().map(|(name, n)| (name.clone(), vec![*n]));
    let values = toy.values.iter().zip(&toy.specs).map(|(v, s)| (s.name.clone(), of(v)));
    arrays.chain(numbers).chain(values).collect()
}

/// A step that is refused changes nothing: what comes after it is what would have come without it.
#[test]
fn a_step_happens_whole_or_not_at_all() {
    type Build = Box<dyn Fn(&[ParamSpec]) -> Optimizer<f64>>;
    let mut builds: Vec<(String, Build)> = Vec::new();
    for row in presets::all() {
        builds.push((row.name.into(), Box::new(|specs| build(row.name, specs))));
    }
    builds.push(("sgd without Nesterov".into(), Box::new(|specs| Sgd::default().build(specs).unwrap())));
    for probe in probes() {
        let name = probe.name().to_string();
        let settings = SphDrs { probe, tau: 0.1, schedule: Arc::new(All), ..SphDrs::default() };
        builds.push((name, Box::new(move |specs| settings.build(specs).unwrap())));
    }
    // Any rule moves the rest.
    for rest in presets::all().into_iter().filter(|r| r.is_rule()) {
        let given = Settings::default().with("first-order", rest.name).with("rest.weight-decay-1d", 0.1);
        let choice = Choice::new("sph", given, &Context::default()).unwrap();
        let build = move |specs: &[ParamSpec]| choice.build(specs, &[], &Context::default()).unwrap();
        builds.push((format!("sph beside {}", rest.name), Box::new(build)));
    }
    for (name, build) in builds {
        // Refused as the first step, and after one, two, … of them: averages are there or not, measured anew or not.
        for before in 0..5 {
            let (mut toy, mut twin) = (Toy::new(double_well), Toy::new(double_well));
            let (mut optimizer, mut undisturbed) = (build(toy.params()), build(twin.params()));
            for _ in 0..before {
                optimizer.step(&mut toy, 0.02).unwrap();
                undisturbed.step(&mut twin, 0.02).unwrap();
            }
            let kept = bits(&optimizer.save(toy.values()), &toy);
            // The last block's gradient is not a number; the loss is not; the direction is finite, its multiple is not.
            for (f, lr) in [
                (
                    |i, x| {
                        let (v, g, h) = double_well(i, x);
                        (v, if i == 3 { f64::NAN } else { g }, h)
                    },
                    0.02,
                ),
                (
                    |i, x| {
                        let (_, g, h) = double_well(i, x);
                        (f64::NAN, g, h)
                    },
                    0.02,
                ),
                (double_well, f64::INFINITY),
            ] as [(fn(usize, f64) -> (f64, f64, f64), f64); 3]
            {
                toy.f = f;
                let e = optimizer.step(&mut toy, lr).unwrap_err();
                assert!(e.not_finite().is_some(), "{name}: {e}");
                assert_eq!(
                    bits(&optimizer.save(toy.values()), &toy),
                    kept,
                    "{name} after {before} steps, lr {lr}"
                );
            }
            toy.f = double_well;
            for _ in 0..4 {
                optimizer.step(&mut toy, 0.02).unwrap();
                undisturbed.step(&mut twin, 0.02).unwrap();
            }
            let [got, want] =
                [(&optimizer, &toy), (&undisturbed, &twin)].map(|(o, t)| bits(&o.save(t.values()), t));
            assert_eq!(got, want, "{name} after {before} steps");
        }
    }
}

/// K-FAC's first direction is (G + √λ/π I)⁻¹ W̄ (A + π√λ I)⁻¹: multiplied by the damped factors it is the gradient again.
#[test]
fn kfac_preconditions_layers_by_their_damped_factors() {
    let settings = Kfac { momentum: 0.0, weight_decay: 0.0, damping: 0.04, ..Kfac::default() };
    let moved = first_step(settings.build(&Toy::new(bowl).specs).unwrap());
    let direction = |i: usize, j: usize| -moved[0][3 * i + j];
    let pi = f64::sqrt((3.8 / 3.0) / (2.2 / 2.0));
    let damped =
        |m: &[f64], n: usize, i: usize, j: usize, by: f64| m[n * i + j] + if i == j { by } else { 0.0 };
    for i in 0..2 {
        for j in 0..3 {
            let mut back = 0.0;
            for k in 0..2 {
                for l in 0..3 {
                    back += damped(&G, 2, i, k, 0.2 / pi) * direction(k, l) * damped(&A, 3, l, j, 0.2 * pi);
                }
            }
            let gradient = bowl(3 * i + j, 0.3).1;
            assert!((back - gradient).abs() < 1e-12, "{i} {j}: {back} {gradient}");
        }
    }
    // What belongs to no layer takes the plain step.
    assert!((0..4).all(|i| (moved[1][i] + bowl(i, 0.3).1).abs() < 1e-15));
}

/// SGD on ½x² from x = 0.3 multiplies it by 1 − lr. With lr = 10 it falls for the first time when halved three times.
#[test]
fn a_step_is_halved_until_it_does_not_raise_the_loss() {
    let after = |halvings, f: fn(usize, f64) -> (f64, f64, f64), lr| {
        let mut toy = Toy::new(f);
        let sgd = Sgd { momentum: 0.0, weight_decay: 0.0, ..Sgd::default() }.build(toy.params()).unwrap();
        let watched = sgd.followed_by("backtrack", Box::new(Backtrack { halvings }));
        let own = Overrides { lr_mult: 2.0, ..Overrides::default() };
        let mut optimizer = watched.with_overrides(vec![own; 2]);
        optimizer.step(&mut toy, 0.5 * lr).unwrap();
        let all: Vec<f64> = toy.values.iter().flat_map(Array::to_f64).collect();
        assert!(all.iter().all(|v| *v == all[0]), "one part of the step: {all:?}");
        all[0] / 0.3
    };
    let square = |_, x: f64| (0.5 * x * x, x, 1.0);
    for (halvings, part) in [(1, 0.5), (2, 0.25), (3, 0.125), (9, 0.125)] {
        assert!((after(halvings, square, 10.0) - (1.0 - 10.0 * part)).abs() < 1e-14, "{halvings}");
    }
    assert!((after(9, square, 1.5) + 0.5).abs() < 1e-14, "a step that lowers the loss stays as it is");
    // The logarithm is not a number where the step leads, until it is an eighth: 0.3 − 0.05·lr·part.
    let barrier = |_, x: f64| (0.05 * x - 0.0 * x.ln(), 0.05, 0.0);
    assert!((0.3 * after(9, barrier, 40.0) - 0.05).abs() < 1e-14);
}

/// D = τ m / (|d| + ε) with d the bias-corrected average of signed row sums, written out for three visits.
#[test]
fn the_blocks_step_is_the_stated_one() {
    let mut toy = Toy::new(double_well);
    let s = SphDrs { tau: 0.2, eps: 0.01, momentum: 0.5, weight_decay_1d: 0.1, ..SphDrs::default() };
    let mut optimizer = s.build(toy.params()).unwrap();
    let (mut x, mut m, mut d) = (0.3f64, 0.0, 0.0);
    for n in 1..=3 {
        let (_, g, h) = double_well(0, x);
        m = 0.5 * m + g;
        d = 0.9 * d + 0.1 * h;
        let corrected: f64 = d / (1.0 - 0.9f64.powi(n));
        x -= 0.05 * (0.2 * m / (corrected.abs() + 0.01) + 0.1 * x);
        optimizer.step(&mut toy, 0.05).unwrap();
        let got = toy.values[1].as_slice()[0];
        assert!((got - x).abs() < 1e-14, "visit {n}: {got} {x}");
    }
}

#[test]
fn the_multiplier_of_a_blocks_step_is_capped() {
    // τ/(|d| + ε) is 0.2/(0.73 + 0.01) at the beginning.
    let end = |max_multiplier| {
        let mut toy = Toy::new(double_well);
        let s = SphDrs { tau: 0.2, eps: 0.01, momentum: 0.0, max_multiplier, ..SphDrs::default() };
        s.build(toy.params()).unwrap().step(&mut toy, 1.0).unwrap();
        (0.3 - toy.values[1].as_slice()[0]) / double_well(0, 0.3).1
    };
    assert!((end(Some(0.05)) - 0.05).abs() < 1e-14);
    assert!((end(Some(0.5)) - 0.2 / 0.74).abs() < 1e-14 && end(None) == end(Some(0.5)));
}

/// AdaHessian's own probes: signs, other ones for another seed, parameter or step.
#[test]
fn random_signs_are_drawn_by_seed_parameter_and_step() {
    let draw = |seed, param, step| {
        let mut z = [0.0; 64];
        (random_signs(seed).0)(param, step, &mut z);
        z
    };
    let z = draw(1, 2, 3);
    assert!(z.contains(&1.0) && z.contains(&-1.0) && z.iter().all(|z| z.abs() == 1.0));
    assert_eq!(z, draw(1, 2, 3));
    assert!(z != draw(2, 2, 3) && z != draw(1, 3, 3) && z != draw(1, 2, 4));
}

/// Where the block is diagonal, all probes find the same curvature and take the same step.
#[test]
fn all_probes_agree_on_a_diagonal_block() {
    // Four curvatures of both signs, which stand still.
    let quadratic = |i: usize, x: f64| {
        let a = [1.0, -2.0, 0.5, 3.0][i % 4];
        (0.5 * a * x * x, a * x, a)
    };
    let end = |probe: Arc<dyn Probe>| {
        let mut toy = Toy::new(quadratic);
        let s =
            SphDrs { probe, schedule: Arc::new(All), curvature_decay: 0.0, tau: 0.2, ..SphDrs::default() };
        let mut optimizer = s.build(toy.params()).unwrap();
        // Two whole cycles of `hadamard`, and one visit more.
        (0..9).for_each(|_| assert!(optimizer.step(&mut toy, 0.05).is_ok()));
        toy.values[1].to_f64()
    };
    let want = end(Arc::new(Ones));
    assert_eq!(want.len(), 4);
    for probe in probes() {
        let got = end(probe.clone());
        let close = |(g, w): (&f64, &f64)| assert!((g - w).abs() < 1e-12, "{}: {g} {w}", probe.name());
        got.iter().zip(&want).for_each(close);
    }
}

/// The settings under which the two-dimensional step is Newton's in its subspace: lr 1, no damping, Q measured at every step.
fn undamped() -> SphDrs {
    let drs = DrsConfig {
        refresh: 1,
        lambda: 0.0,
        lambda_min: 0.0,
        delta: 0.0,
        weight_decay: 0.01,
        ..DrsConfig::default()
    };
    SphDrs { rest: AnyRule::new(drs), ..SphDrs::default() }
}

/// On a strictly convex quadratic each step ends in the minimiser of its subspace: the new gradient (decay's part included) is
/// orthogonal to both directions.
#[test]
fn drs_minimises_a_quadratic_over_each_subspace() {
    let mut toy = Toy::new(|i, x| {
        let (a, at) = (0.5 + i as f64, 1.0 + 0.7 * i as f64);
        (0.5 * a * (x - at) * (x - at), a * (x - at), a)
    });
    let mut optimizer = undamped().build(toy.params()).unwrap();
    let gradient = |toy: &Toy| toy.map(0, |i, x| (toy.f)(i, x).1 + 0.01 * x);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut last: Option<Vec<f64>> = None;
    // Six coordinates with six curvatures: conjugate directions end after six steps.
    for step in 0..6 {
        let (g, before) = (gradient(&toy), toy.values[0].to_f64());
        optimizer.step(&mut toy, 1.0).unwrap();
        let after = gradient(&toy);
        let scale = dot(&g, &g);
        assert!(dot(&after, &g).abs() < 1e-9 * scale, "step {step}: {}", dot(&after, &g) / scale);
        if let Some(d) = &last {
            assert!(dot(&after, d).abs() < 1e-9 * (scale * dot(d, d)).sqrt(), "step {step}: last direction");
        }
        last = Some(toy.values[0].as_slice().iter().zip(&before).map(|(a, b)| a - b).collect());
    }
    assert!(gradient(&toy).iter().all(|g| g.abs() < 1e-9), "{:?}", gradient(&toy));
}

/// With rates of their own, parameters move in the subspace of −Mg and the last displacement, and to its minimiser: what is remembered and
/// what the loss is tried at is the step that is taken.
#[test]
fn drs_keeps_to_the_rates_of_single_parameters() {
    let f = |i: usize, x: f64| {
        let (a, at) = (0.5 + i as f64, 1.0 + 0.7 * i as f64);
        (0.5 * a * (x - at) * (x - at), a * (x - at), a)
    };
    let rates = [3.0, 0.25];
    let config = DrsConfig {
        weight_decay: 0.0,
        refresh: 1,
        lambda: 0.0,
        lambda_min: 0.0,
        delta: 0.0,
        ..DrsConfig::default()
    };
    let mut toy = Toy::new(f);
    let group = Group { name: "both", members: vec![0, 1], chain: vec![Box::new(Drs::new(config)) as _] };
    let own = |lr_mult| Overrides { lr_mult, ..Overrides::default() };
    let mut optimizer = Optimizer::new(toy.params(), vec![group]).with_overrides(rates.map(own).to_vec());
    let flat = |of: &dyn Fn(usize) -> Vec<f64>| [of(0), of(1)].concat();
    let gradient = |toy: &Toy| flat(&|p| toy.map(p, |i, x| f(i, x).1));
    let point = |toy: &Toy| flat(&|p| toy.values[p].to_f64());
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut last: Option<Vec<f64>> = None;
    for step in 0..6 {
        let (g, before) = (gradient(&toy), point(&toy));
        let scaled: Vec<f64> = g.iter().enumerate().map(|(i, g)| rates[i / 6] * g).collect();
        optimizer.step(&mut toy, 1.0).unwrap();
        let after = gradient(&toy);
        assert!(dot(&after, &scaled).abs() < 1e-9 * dot(&g, &scaled), "step {step}");
        if let Some(d) = &last {
            assert!(
                dot(&after, d).abs() < 1e-9 * (dot(&g, &g) * dot(d, d)).sqrt(),
                "step {step}: last direction"
            );
        }
        let moved: Vec<f64> = point(&toy).iter().zip(&before).map(|(a, b)| a - b).collect();
        let state = optimizer.save(toy.values());
        let kept = flat(&|p| state.arrays[&format!("both.drs.last.{}", toy.specs[p].name)].to_f64());
        assert!(
            kept.iter().zip(&moved).all(|(k, m)| (k - m).abs() < 1e-14),
            "step {step}: {kept:?} {moved:?}"
        );
        last = Some(moved);
    }
}

#[test]
fn drs_makes_progress_where_curvature_is_negative_and_its_state_goes_on() {
    for f in [bowl, double_well, log_cosh] {
        let settings = SphDrs {
            tau: 0.1,
            rest: AnyRule::new(DrsConfig { refresh: 3, ..DrsConfig::default() }),
            ..SphDrs::default()
        };
        let mut toy = Toy::new(f);
        let mut optimizer = settings.build(toy.params()).unwrap();
        let start = toy.loss();
        (0..100).for_each(|_| assert!(optimizer.step(&mut toy, 0.2).is_ok()));
        assert!(toy.loss() < start && toy.map(0, |i, x| (f)(i, x).1.abs()).iter().all(|g| *g < 0.05));
        let mut twin = Toy::new(f);
        twin.values = toy.values.clone();
        let mut restored = settings.build(twin.params()).unwrap();
        restored.load(twin.values(), optimizer.save(toy.values())).unwrap();
        for _ in 0..5 {
            optimizer.step(&mut toy, 0.2).unwrap();
            restored.step(&mut twin, 0.2).unwrap();
        }
        (0..2).for_each(|p| assert_eq!(toy.values[p].as_slice(), twin.values[p].as_slice()));
    }
}

/// Beside AdamW the weights move as AdamW moves them, and blocks as they do beside SGD.
#[test]
fn adamw_moves_the_weights_and_curvature_the_blocks() {
    let adamw = AdamW { betas: (0.8, 0.95), eps: 1e-6, weight_decay: 0.1, weight_decay_1d: 0.0 };
    let sph = |rest| SphDrs { tau: 0.2, rest, ..SphDrs::default() };
    let ends = |build: &dyn Fn(&[ParamSpec]) -> Optimizer<f64>| {
        let mut toy = Toy::new(double_well);
        let mut optimizer = build(toy.params());
        (0..20).for_each(|_| assert!(optimizer.step(&mut toy, 0.02).is_ok()));
        toy.values
    };
    let both = ends(&|specs| sph(AnyRule::new(adamw.clone())).build(specs).unwrap());
    assert_eq!(both[0].as_slice(), ends(&|specs| adamw.build(specs).unwrap())[0].as_slice());
    let beside_sgd = ends(&|specs| sph(AnyRule::new(Sgd::default())).build(specs).unwrap());
    assert_eq!(both[1].as_slice(), beside_sgd[1].as_slice());
}

/// A loss that the model does not foresee rising is not stepped into.
#[test]
fn drs_takes_back_a_step_that_rises_too_far() {
    // Nearly flat where we stand, a wall where the step would end.
    let mut toy = Toy::new(|_, x| if x < 0.31 { (1.0 - 0.1 * x, -0.1, 1e-3) } else { (100.0, 0.0, 0.0) });
    let settings = SphDrs { rest: AnyRule::new(DrsConfig::default()), ..SphDrs::default() };
    let mut optimizer = settings.build(toy.params()).unwrap();
    let before = toy.values[0].to_f64();
    optimizer.step(&mut toy, 1.0).unwrap();
    assert_eq!(toy.values[0].to_f64(), before);
}

#[test]
fn frozen_parameters_stay_and_blocks_follow_names() {
    let mut toy = Toy::new(bowl);
    toy.specs[0].frozen = true;
    let settings = SphDrs { selection: Some("g".parse().unwrap()), ..SphDrs::default() };
    let mut optimizer = settings.build(toy.params()).unwrap();
    let before = toy.values.clone();
    optimizer.step(&mut toy, 0.1).unwrap();
    assert_eq!(toy.values[0].as_slice(), before[0].as_slice());
    assert_ne!(toy.values[1].as_slice(), before[1].as_slice());
    for (selection, message) in [("w", "'w' selects nothing"), ("nowhere*", "'nowhere*'"), ("head", "'head'")]
    {
        let settings = SphDrs { selection: Some(selection.parse().unwrap()), ..SphDrs::default() };
        let e = settings.build::<f64>(toy.params()).unwrap_err().to_string();
        assert!(e.contains(message), "{selection}: {e}");
    }
}

/// The parameters' displacements in a first step with learning rate 1.
fn first_step(optimizer: Optimizer<f64>) -> Vec<Vec<f64>> {
    let (mut toy, mut optimizer) = (Toy::new(bowl), optimizer);
    let before = toy.values.clone();
    optimizer.step(&mut toy, 1.0).unwrap();
    let moved = |(after, before): (&Array<f64>, &Array<f64>)| {
        after.as_slice().iter().zip(before.as_slice()).map(|(a, b)| a - b).collect()
    };
    toy.values.iter().zip(&before).map(moved).collect()
}

/// The gradient of both groups is clipped as one; curvature and what is done with it are not.
#[test]
fn clipping_bounds_the_gradient_over_all_groups() {
    let specs = Toy::new(bowl).specs;
    let plain = || Sgd { momentum: 0.0, weight_decay: 0.0, ..Sgd::default() }.build(&specs).unwrap();
    let clip = |mode, limit| plain().preceded_by("clip", Box::new(ClipGradient { mode, limit }));
    let free = first_step(plain());
    let norm = free.iter().flatten().map(|v| v * v).sum::<f64>().sqrt();
    let clipped = first_step(clip(ClipMode::Norm, 0.25 * norm));
    for (c, f) in clipped.iter().flatten().zip(free.iter().flatten()) {
        assert!((c - 0.25 * f).abs() < 1e-6 * norm, "{c} {f}");
    }
    assert_eq!(first_step(clip(ClipMode::Norm, 1.01 * norm)), free);
    let clipped = first_step(clip(ClipMode::Value, 0.5));
    for (c, f) in clipped.iter().flatten().zip(free.iter().flatten()) {
        assert_eq!(*c, f.clamp(-0.5, 0.5));
    }
    // Gradients of both signs.
    let mut toy =
        Toy::new(|i, x| (if i % 2 == 0 { x } else { -x }, if i % 2 == 0 { 1.0 } else { -1.0 }, 0.0));
    clip(ClipMode::Value, 0.5).step(&mut toy, 1.0).unwrap();
    assert_eq!(toy.values[1].to_f64(), [0.3 - 0.5, 0.3 + 0.5, 0.3 - 0.5, 0.3 + 0.5]);
    // The step that is divided by curvature is proportional to the clipped gradient and longer than the bound.
    let newton =
        || SphDrs { momentum: 0.0, tau: 100.0, eps: 1e-9, ..SphDrs::default() }.build(&specs).unwrap();
    let limited =
        newton().preceded_by("clip", Box::new(ClipGradient { mode: ClipMode::Norm, limit: 0.25 * norm }));
    let (limited, free) = (first_step(limited), first_step(newton()));
    for (c, f) in limited[1].iter().zip(&free[1]) {
        assert!((c - 0.25 * f).abs() < 1e-5 * f.abs() && c.abs() > norm, "{c} {f}");
    }
}

#[test]
fn a_parameter_can_have_settings_of_its_own() {
    let specs = Toy::new(bowl).specs;
    let sgd = |momentum, weight_decay| Sgd { momentum, nesterov: true, weight_decay, weight_decay_1d: 0.0 };
    let own =
        |o: Overrides| sgd(0.9, 0.01).build(&specs).unwrap().with_overrides(vec![o, Overrides::default()]);
    let default = Overrides::default();
    let free = first_step(sgd(0.9, 0.01).build(&specs).unwrap());
    let doubled = first_step(own(Overrides { lr_mult: 2.0, ..default }));
    assert_eq!(doubled[0], free[0].iter().map(|v| 2.0 * v).collect::<Vec<_>>());
    let changed = first_step(own(Overrides { momentum: Some(0.5), weight_decay: Some(0.3), ..default }));
    assert_eq!(changed[0], first_step(sgd(0.5, 0.3).build(&specs).unwrap())[0]);
    // The other group is as it was.
    assert!(doubled[1] == free[1] && changed[1] == free[1]);

    // A parameter without momentum has no state of it, and a checkpoint none to give back.
    let build = || own(Overrides { momentum: Some(0.0), ..default });
    let (mut toy, mut optimizer) = (Toy::new(bowl), build());
    optimizer.step(&mut toy, 0.1).unwrap();
    let state = optimizer.save(toy.values());
    assert!(state.arrays.keys().eq(["1d.momentum.g"]));
    build().load(toy.values(), state).unwrap();
}

/// A row's usual values are those of its type, so that a library's user and a flag's mean the same by saying nothing.
#[test]
fn usual_values_are_the_types_own() {
    let row = |name: &str| {
        let choice = Choice::new(name, Settings::default(), &Context::default()).unwrap();
        format!("{:?}", choice.rule(&Context::default()).unwrap())
    };
    assert_eq!(row("sph"), format!("{:?}", SphDrs::default()));
    assert_eq!(row("krylov"), format!("{:?}", Krylov::default()));
    assert_eq!(row("sgd"), format!("{:?}", Sgd::default()));
    assert_eq!(row("adam"), format!("{:?}", Adam::default()));
    assert_eq!(row("adamw"), format!("{:?}", AdamW::default()));
    assert_eq!(row("adahessian"), format!("{:?}", AdaHessian::default()));
    assert_eq!(row("kfac"), format!("{:?}", Kfac::default()));
    assert_eq!(row("drs"), format!("{:?}", DrsConfig::default()));
    let given = Settings::default().with("preset", "seed");
    let seed = Choice::new("sph", given, &Context::default()).unwrap();
    assert_eq!(format!("{:?}", seed.rule(&Context::default()).unwrap()), format!("{:?}", SphDrs::seed()));
}

/// What a builder takes is the same whether a flag or a program says it.
#[test]
fn builders_check_their_ranges() {
    let specs = Toy::new(bowl).specs;
    let rules = [
        AnyRule::new(Sgd { momentum: 1.0, ..Sgd::default() }),
        AnyRule::new(Adam { betas: (0.9, 1.0), ..Adam::default() }),
        AnyRule::new(AdamW { weight_decay: -0.1, ..AdamW::default() }),
        AnyRule::new(AdaHessian { power: 0.0, ..AdaHessian::default() }),
        AnyRule::new(Kfac { damping: 0.0, ..Kfac::default() }),
        AnyRule::new(DrsConfig { max_rise: 0.5, ..DrsConfig::default() }),
        AnyRule::new(Krylov { size: 0, ..Krylov::default() }),
        AnyRule::new(SphDrs { tau: f64::INFINITY, ..SphDrs::default() }),
        // The other half's settings are its own to check.
        AnyRule::new(SphDrs {
            rest: AnyRule::new(Sgd { momentum: -0.1, ..Sgd::default() }),
            ..SphDrs::default()
        }),
    ];
    let names = [
        "momentum",
        "opt-betas",
        "weight-decay",
        "hessian-power",
        "damping",
        "max-rise",
        "krylov-size",
        "tau",
        "momentum",
    ];
    for (rule, name) in rules.iter().zip(names) {
        match rule.build::<f64>(&specs) {
            Err(SettingsError::Value { setting, .. }) => assert_eq!(setting, name),
            other => panic!("{rule:?}: {other:?}"),
        }
    }
}

/// `rest.NAME` is for the rule for the rest, NAME for both, and what is nobody's is refused.
#[test]
fn settings_reach_the_halves_that_have_them() {
    let cx = Context::default();
    let rule = |given: Settings| {
        Choice::new("sph", given, &cx)
            .map(|c| format!("{:?}", c.rule(&cx).unwrap()))
            .map_err(|e| e.to_string())
    };
    let both = rule(Settings::default().with("momentum", 0.5)).unwrap();
    assert!(both.starts_with("SphDrs { momentum: 0.5") && both.contains("Sgd { momentum: 0.5"), "{both}");
    let one = rule(Settings::default().with("momentum", 0.5).with("rest.momentum", 0.1)).unwrap();
    assert!(one.starts_with("SphDrs { momentum: 0.5") && one.contains("Sgd { momentum: 0.1"), "{one}");
    let e = rule(Settings::default().with("rest.tau", 0.5)).unwrap_err();
    assert!(e.contains("`rest.tau`"), "{e}");
    for name in ["rest.lr", "rest.curvature-batch"] {
        let given = Settings::default().with("first-order", "adahessian").with(name, 0.5);
        assert!(rule(given).is_err(), "{name} would be read by nobody");
    }
    let given = Settings::default().with("opt-betas", (0.8, 0.9));
    assert_eq!(rule(given).unwrap_err(), "`opt-betas` needs `first-order` adam or adamw or adahessian");
    let given = Settings::default().with("first-order", "krylov");
    assert!(rule(given).unwrap_err().contains("`first-order` krylov must be one of"));
}
