//! The other parameters: DRS's model on a real network, and parameters that are not trained.

use sph_nn::Builder;
use sph_nn::models::{self, ModelConfig};
use sph_optim::presets::SphDrs;
use sph_optim::transforms::DrsConfig;
use sph_optim::{Answer, AnyRule, Curvature, Directions, Request, Rule, Sweep};
use sph_tensor::{Array, Pool, Rng, Shape};
use sph_train::{Batch, Objective};

fn network() -> Objective<f64> {
    let config = ModelConfig::new(2, (4, 4), 3);
    let mut b = Builder::default();
    let model = models::resnet(&mut b, &config, &[1, 1], &[3, 4]);
    let mut f = Objective::new(b.finish(model), &Pool::new(), 1);
    let mut rng = Rng::new(2, "drs", 0, 0);
    let mut images = Array::stale(f.pool(), Shape::new(&[6, 4, 4, 2]));
    images.make_mut().iter_mut().for_each(|v| *v = rng.normal());
    f.set_batch(Batch::new(images, vec![0, 1, 2, 2, 0, 1]));
    f
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Gradient over `members`, and H·v by a product over them alone.
fn gradient(f: &mut Objective<f64>, members: &[usize]) -> Vec<f64> {
    let mut out = Answer::default();
    let want = Request { gradient: members.to_vec(), keep: true, ..Request::default() };
    f.evaluate(&want, &mut out).unwrap();
    members.iter().flat_map(|&i| out.gradient[i].as_ref().unwrap().to_f64()).collect()
}

/// The dense Hessian over `members` at the point of the last evaluation, from unit vectors.
fn dense(f: &mut Objective<f64>, members: &[usize]) -> Vec<Vec<f64>> {
    let mut columns = Vec::new();
    for &j in members {
        let shape = f.values()[j].shape();
        for k in 0..shape.len() {
            let mut e = Array::zeros(f.pool(), shape.prepend(1));
            e.make_mut()[k] = 1.0;
            let mut sweep = Sweep { rows: members.to_vec(), ..Sweep::default() };
            sweep.tangents.insert(j, e);
            let mut out = Directions::default();
            f.hvp(&sweep, &mut out).unwrap();
            let zeros = |i: usize| vec![0.0; f.values()[i].shape().len()];
            columns.push(members.iter().flat_map(|&i| out.get(i).map_or(zeros(i), Array::to_f64)).collect());
        }
    }
    columns
}

/// Q of the second step, as it is saved, equals the dense Hessian (with the decay's part) between the unit directions.
#[test]
fn the_two_dimensional_model_is_the_dense_hessians_restriction() {
    let mut f = network();
    let decay = 0.01;
    let drs = DrsConfig { refresh: 1, weight_decay: decay, weight_decay_1d: decay, ..DrsConfig::default() };
    let settings = SphDrs { rest: AnyRule::new(drs), ..SphDrs::default() };
    let mut optimizer = settings.build(f.params()).unwrap();
    let members: Vec<usize> = (0..f.params().len()).filter(|&i| !f.params()[i].is_second_order()).collect();
    let flat =
        |f: &Objective<f64>| -> Vec<f64> { members.iter().flat_map(|&i| f.values()[i].to_f64()).collect() };
    let before = flat(&f);
    optimizer.step(&mut f, 0.5).unwrap();
    let here = flat(&f);
    let d: Vec<f64> = here.iter().zip(&before).map(|(a, b)| a - b).collect();
    assert!(dot(&d, &d) > 0.0, "the first step was taken back");
    let plain = gradient(&mut f, &members);
    let g: Vec<f64> = plain.iter().zip(&here).map(|(g, v)| g + decay * v).collect();
    let h = dense(&mut f, &members);
    let unit = |v: &[f64], sign: f64| -> Vec<f64> {
        let norm = dot(v, v).sqrt();
        v.iter().map(|v| sign * v / norm).collect()
    };
    let p = [unit(&g, -1.0), unit(&d, 1.0)];
    let entry = |a: usize, b: usize| -> f64 {
        let hp: Vec<f64> =
            (0..here.len()).map(|i| (0..here.len()).map(|j| h[j][i] * p[b][j]).sum()).collect();
        dot(&p[a], &hp) + decay * dot(&p[a], &p[b])
    };
    let want = [entry(0, 0), entry(0, 1), entry(1, 1)];
    optimizer.step(&mut f, 0.5).unwrap();
    let saved = optimizer.save(f.values());
    for (i, want) in want.iter().enumerate() {
        let got = f64::from_bits(saved.numbers[&format!("drs.drs.q{i}")]);
        assert!((got - want).abs() < 1e-9 * want.abs(), "Q{i}: {got} {want}");
    }
}

/// Frozen weights cost nothing on the way back, and the gradient of what is trained is the same.
#[test]
fn frozen_parameters_have_no_gradient_and_change_nothing_else() {
    let mut f = network();
    let all: Vec<usize> = (0..f.params().len()).collect();
    let mut whole = Answer::default();
    f.evaluate(&Request { gradient: all.clone(), ..Request::default() }, &mut whole).unwrap();
    f.store.freeze(|s| !s.is_1d());
    let settings = SphDrs::default();
    let mut optimizer = settings.build(f.params()).unwrap();
    let before: Vec<Vec<f64>> = f.values().iter().map(Array::to_f64).collect();
    let trained: Vec<usize> = all.iter().copied().filter(|&i| !f.params()[i].frozen).collect();
    let mut part = Answer::default();
    f.evaluate(&Request { gradient: trained.clone(), ..Request::default() }, &mut part).unwrap();
    for &i in &all {
        match trained.contains(&i) {
            true => assert_eq!(
                part.gradient[i].as_ref().unwrap().as_slice(),
                whole.gradient[i].as_ref().unwrap().as_slice()
            ),
            false => assert!(part.gradient[i].is_none()),
        }
    }
    (0..3).for_each(|_| assert!(optimizer.step(&mut f, 0.1).unwrap().loss.is_finite()));
    for &i in &all {
        assert_eq!(before[i] != f.values()[i].to_f64(), trained.contains(&i), "{}", f.params()[i].name);
    }
}

/// The backward pass skips the work for frozen weights: neither their gradients nor the activations that only those read are held.
#[test]
fn frozen_parameters_take_no_memory_on_the_way_back() {
    // So many images that activations are nearly all there is.
    let peak = |frozen: bool| {
        let mut f = network();
        let mut images = Array::stale(f.pool(), Shape::new(&[256, 4, 4, 2]));
        images.make_mut().iter_mut().enumerate().for_each(|(i, v)| *v = (i % 17) as f64);
        f.set_batch(Batch::new(images, (0..256).map(|i| i % 3).collect::<Vec<u32>>()));
        f.store.freeze(|s| frozen && !s.is_1d());
        let before = f.pool().stats().live_bytes;
        let gradient = (0..f.params().len()).filter(|&i| !f.params()[i].frozen).collect();
        f.evaluate(&Request { gradient, ..Request::default() }, &mut Answer::default()).unwrap();
        (f.pool().stats().peak_bytes - before) as f64
    };
    assert!(peak(true) < 0.9 * peak(false), "{} {}", peak(true), peak(false));
}
