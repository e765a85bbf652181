//! What BatchNorm normalizes by where its parameters are frozen: PyTorch's `eval()` on the layer.

use sph_nn::models::{self, ModelConfig};
use sph_nn::{Builder, NormStatistics};
use sph_optim::analysis::{Hessian, block};
use sph_optim::presets::{Sgd, SphDrs};
use sph_optim::{Answer, Curvature, Request, Rule};
use sph_tensor::{Array, Pool, Rng, Shape};
use sph_train::{Batch, Objective};

/// A small ResNet whose parameters and running statistics are away from their initial values, and a batch.
fn network() -> Objective<f64> {
    let mut b = Builder::default();
    let model = models::resnet(&mut b, &ModelConfig::new(2, (8, 8), 3), &[1, 1, 1], &[3, 4, 5]);
    let mut f = Objective::new(b.finish(model), &Pool::new(), 1);
    let mut rng = Rng::new(2, "frozen", 0, 0);
    for value in &mut f.store.values {
        value.make_mut().iter_mut().for_each(|v| *v += 0.1 * rng.normal());
    }
    for buffer in f.store.buffers.iter_mut().filter(|b| b.len() > 1) {
        buffer.iter_mut().for_each(|v| *v += 0.2 * rng.uniform());
    }
    let mut images = Array::stale(f.pool(), Shape::new(&[6, 8, 8, 2]));
    images.make_mut().iter_mut().for_each(|v| *v = rng.normal());
    f.set_batch(Batch::new(images, vec![0, 1, 2, 2, 0, 1]));
    f
}

fn trained(f: &Objective<f64>) -> Vec<usize> {
    (0..f.params().len()).filter(|&i| !f.params()[i].frozen).collect()
}

fn gradient(f: &mut Objective<f64>, of: &[usize]) -> Vec<f64> {
    let mut answer = Answer::default();
    f.evaluate(&Request { gradient: of.to_vec(), ..Request::default() }, &mut answer).unwrap();
    of.iter().flat_map(|&i| answer.gradient[i].as_ref().unwrap().to_f64()).collect()
}

/// The buffers by name that `step` changed.
fn moved(f: &mut Objective<f64>, step: impl FnOnce(&mut Objective<f64>)) -> Vec<String> {
    let before = f.store.buffers.clone();
    step(f);
    let names = f.store.buffer_specs().iter().map(|s| s.name.clone());
    let changed = names.zip(before.iter().zip(&f.store.buffers)).filter(|(_, (a, b))| a != b);
    changed.map(|(name, _)| name).collect()
}

#[test]
fn a_frozen_norm_computes_as_in_evaluation_and_keeps_its_statistics() {
    let mut f = network();
    let all: Vec<String> = f.store.buffer_specs().iter().map(|s| s.name.clone()).collect();
    let evaluated = f.evaluate_on(&f.current_batch().unwrap().clone()).unwrap().1;
    let step = |f: &mut Objective<f64>| {
        Sgd::default().build(f.params()).unwrap().step(f, 0.1).unwrap();
    };
    let logits = |f: &mut Objective<f64>| {
        gradient(f, &trained(f));
        f.logits().unwrap().to_f64()
    };
    f.store.freeze(|s| !s.head);
    assert_eq!(logits(&mut f), evaluated.to_f64());
    assert_eq!(moved(&mut f, step), [""; 0]);
    // One of the two parameters is enough to train a layer.
    f.store.freeze(|s| s.name != "layer1.0.bn2.bias" && !s.head);
    let expected: Vec<&String> = all.iter().filter(|n| n.starts_with("layer1.0.bn2.")).collect();
    assert_eq!(moved(&mut f, step).iter().collect::<Vec<_>>(), expected);
    assert_eq!(f.store.norms(true).collect::<Vec<_>>(), ["layer1.0.bn2"]);
    f.store.norm_statistics = NormStatistics::Batch;
    assert_eq!(moved(&mut f, step), all);
    f.store.norm_statistics = NormStatistics::Running;
    f.store.freeze(|_| false);
    let batch = f.current_batch().unwrap().clone();
    assert_eq!(logits(&mut f), f.evaluate_on(&batch).unwrap().1.to_f64());
    assert_eq!(moved(&mut f, step), [""; 0]);
}

/// The Hessian of a network with frozen norms and one that is trained, against differences of its gradient; and a step with its curvature.
#[test]
fn curvature_is_that_of_the_loss_with_frozen_statistics() {
    let mut f = network();
    f.store.freeze(|s| !s.name.starts_with("layer2.0.bn1.") && !s.head);
    let params = trained(&f);
    let dense = f.undisturbed(|f| block(&mut Hessian::new(f, &params).unwrap()).unwrap());
    let batch = f.current_batch().unwrap().clone();
    const H: f64 = 1e-5;
    let (mut row, mut largest, mut worst) = (0, 0.0f64, 0.0f64);
    for &p in &params {
        for i in 0..f.params()[p].len() {
            let mut at = |by: f64| {
                f.store.values[p].make_mut()[i] += by;
                f.set_batch(batch.clone());
                gradient(&mut f, &params)
            };
            let (up, down) = (at(H), at(-2.0 * H));
            at(H);
            for (j, (up, down)) in up.iter().zip(&down).enumerate() {
                let (found, truth) = (dense.entries()[row * dense.size() + j], (up - down) / (2.0 * H));
                largest = largest.max(truth.abs());
                worst = worst.max((found - truth).abs());
            }
            row += 1;
        }
    }
    assert_eq!(row, dense.size());
    assert!(worst < 1e-6 * largest, "{worst} of {largest}");
    // The second-order block is one of them, and its step sees the same network.
    let before = f.store.buffers.clone();
    let report = SphDrs::default().build(f.params()).unwrap().step(&mut f, 0.1).unwrap();
    assert!(report.curvature);
    let kept = f.store.buffer_specs().iter().zip(before.iter().zip(&f.store.buffers));
    for (spec, (before, now)) in kept {
        assert_eq!(before != now, spec.name.starts_with("layer2.0.bn1."), "{}", spec.name);
    }
}
