//! Losses beside "a class an image": numbers and tokens agree with PyTorch, in the whole batch and in parts, and train from files to records.

use safetensors::{Dtype, SafeTensors};
use sph_autodiff::{Role, Var, ops};
use sph_data::{Answers, IGNORED, Values};
use sph_nn::layers::Linear;
use sph_nn::losses::Loss;
use sph_nn::models::{self, ModelConfig};
use sph_nn::{Builder, Forward, Init, LayerError, Model, Module, Network, Real, norms};
use sph_optim::curvature::Accumulate;
use sph_optim::presets::Kfac;
use sph_optim::{Answer, Curvature, Directions, Request, Rule, Sweep};
use sph_tensor::{Array, Pool, Shape};
use sph_train::{Batch, Objective};
use std::collections::HashMap;

/// What PyTorch computed (`tools/make_golden.py`).
struct Golden(HashMap<String, (Vec<usize>, Vec<f64>)>);

impl Golden {
    fn read() -> Self {
        let path = format!("{}/tests/golden/losses.safetensors", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(path).unwrap();
        let read = |view: safetensors::tensor::TensorView<'_>| {
            let words = view.data().as_chunks::<8>().0.iter();
            let values = match view.dtype() {
                Dtype::F64 => words.map(|w| f64::from_le_bytes(*w)).collect(),
                _ => words.map(|w| i64::from_le_bytes(*w) as f64).collect(),
            };
            (view.shape().to_vec(), values)
        };
        let file = SafeTensors::deserialize(&bytes).unwrap();
        Golden(file.tensors().into_iter().map(|(name, view)| (name, read(view))).collect())
    }

    fn get(&self, name: &str) -> &(Vec<usize>, Vec<f64>) {
        &self.0[name]
    }

    /// The network of a case with its parameters, and its batch.
    fn case(&self, case: &str) -> (Objective<f64>, Batch<f64>) {
        let (network, loss) = match case {
            "tokens" => (tokens(7, 3), Loss::CrossEntropy),
            "mse" => (mlp(), Loss::Mse),
            _ => (mlp(), Loss::Bce),
        };
        let mut f = Objective::new(network, &Pool::new(), 0);
        f.loss = loss;
        let names: Vec<_> = f.store.specs().iter().map(|s| s.name.clone()).collect();
        for (name, value) in names.iter().zip(&mut f.store.values) {
            value.make_mut().copy_from_slice(&self.get(&format!("{case}.param.{name}")).1);
        }
        let (shape, values) = self.get(&format!("{case}.input"));
        let images = Array::from_slice(f.pool(), Shape::new(shape), values);
        let (shape, target) = self.get(&format!("{case}.target"));
        let targets = match loss {
            Loss::CrossEntropy => {
                target.iter().map(|t| if *t < 0.0 { IGNORED } else { *t as u32 }).collect::<Vec<_>>().into()
            }
            _ => Answers::Values(Values { shape: shape.clone(), values: target.clone().into() }),
        };
        (f, Batch::new(images, targets))
    }
}

fn mlp() -> Network {
    let mut b = Builder::default();
    let model = models::mlp(&mut b, &ModelConfig::new(5, (1, 1), 2), &[4, 3]);
    b.finish(model)
}

/// Embedding, norm, linear: logits [N, T, V].
struct Tokens {
    table: usize,
    norm: Box<dyn Model>,
    fc: Linear,
}

fn tokens(vocabulary: usize, dim: usize) -> Network {
    let mut b = Builder::default();
    let init = Init::Normal(1.0);
    let table = b.param("embedding.weight".into(), &[vocabulary, dim], Role::Weight, init);
    let norm = norms::NORMS.iter().find(|n| n.name == "ln").unwrap().tokens.unwrap();
    let norm = norm(&mut b, "norm", dim);
    let fc = Linear::head(&mut b, "fc", (dim, vocabulary), false);
    b.finish(Box::new(Tokens { table, norm, fc }))
}

impl<T: Real> Module<T> for Tokens {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let shape = x.value().shape();
        let indices: Vec<u32> = x.value().as_slice().iter().map(|v| v.to_f64() as u32).collect();
        let rows = ops::embedding(indices.into(), shape);
        let table = f.param(self.table).clone();
        let y = f.apply(rows, &[&table], &[], "embedding")?;
        let y = T::module(&*self.norm).forward(f, &y)?;
        self.fc.forward(f, &y)
    }
}

#[track_caller]
fn close(got: &[f64], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(0.0f64, |m, w| m.max(w.abs()));
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= tolerance * scale, "{what}: {g}, not {w}, of {scale}");
    }
}

/// Loss, gradient and one product with the Hessian.
fn evaluated(f: &mut impl Curvature<f64>, golden: &Golden, case: &str) -> Answer<f64> {
    let all: Vec<usize> = (0..f.params().len()).collect();
    let mut sweep = Sweep { rows: all.clone(), ..Sweep::default() };
    for &i in &all {
        let v = &golden.get(&format!("{case}.v.{}", f.params()[i].name)).1;
        let pool = f.values()[i].pool().clone();
        sweep.tangents.insert(i, Array::from_slice(&pool, f.values()[i].shape().prepend(1), v));
    }
    let mut out = Answer::default();
    f.evaluate(&Request { gradient: all, sweeps: vec![sweep], keep: false }, &mut out).unwrap();
    out
}

#[test]
fn loss_gradient_and_products_agree_with_pytorch() {
    let golden = Golden::read();
    for case in ["mse", "bce", "tokens"] {
        let (mut f, batch) = golden.case(case);
        f.set_batch(batch);
        let out = evaluated(&mut f, &golden, case);
        close(&[out.loss], &golden.get(&format!("{case}.loss")).1, 1e-12, case);
        let mut checked = 0;
        for (i, spec) in f.params().iter().enumerate() {
            for (got, what) in [
                (out.gradient[i].as_ref().unwrap().as_slice(), "grad"),
                (out.products[0].get(i).unwrap().as_slice(), "hv"),
            ] {
                close(got, &golden.get(&format!("{case}.{what}.{}", spec.name)).1, 1e-9, &spec.name);
                checked += 1;
            }
        }
        assert_eq!(checked, 2 * if case == "tokens" { 5 } else { 8 });
    }
}

/// The mean over examples of their gradients is the gradient, whatever an example is.
#[test]
fn gradients_by_example_add_up() {
    let golden = Golden::read();
    for (case, examples) in [("mse", 6), ("bce", 6), ("tokens", 24 - 4)] {
        let (mut f, batch) = golden.case(case);
        f.set_batch(batch);
        let out = evaluated(&mut f, &golden, case);
        let blocks: Vec<usize> = (0..f.params().len()).collect();
        for (g, &b) in f.per_example_gradients(&blocks).unwrap().iter().zip(&blocks) {
            let c = f.params()[b].len();
            assert_eq!(g.len(), examples * c, "{case}");
            let mean: Vec<f64> =
                (0..c).map(|i| g.chunks(c).map(|row| row[i]).sum::<f64>() / examples as f64).collect();
            close(&mean, out.gradient[b].as_ref().unwrap().as_slice(), 1e-10, &f.params()[b].name);
        }
    }
}

/// Tokens that are ignored make parts unequal: a part has the weight of what counts in it.
#[test]
fn parts_have_the_weight_of_what_counts() {
    let golden = Golden::read();
    let (mut f, batch) = golden.case("tokens");
    f.set_batch(batch.clone());
    let whole = evaluated(&mut f, &golden, "tokens");
    let Answers::Classes(targets) = &batch.targets else { panic!() };
    let part = |range: std::ops::Range<usize>| {
        let of = |len: usize| range.start * len..range.end * len;
        let images = &batch.images.as_slice()[of(4)];
        let images = Array::from_slice(f.pool(), Shape::new(&[range.len(), 4]), images);
        Batch::new(images, targets[of(4)].to_vec())
    };
    let parts = vec![part(0..1), part(1..4), part(4..6)];
    assert_eq!(parts.iter().map(Batch::counted).collect::<Vec<_>>(), [1, 11, 8]);
    f.set_parts(parts);
    let out = evaluated(&mut Accumulate(&mut f), &golden, "tokens");
    close(&[out.loss], &[whole.loss], 1e-12, "loss");
    for (i, spec) in f.params().iter().enumerate() {
        let of = |answer: &Answer<f64>| {
            let product = answer.products[0].get(i).unwrap().to_f64();
            [answer.gradient[i].as_ref().unwrap().to_f64(), product].concat()
        };
        close(&of(&out), &of(&whole), 1e-10, &spec.name);
    }
    // The first samples with all of their tokens.
    let first = batch.first(2);
    assert_eq!((first.len(), first.counted(), first.images.shape().dims()), (2, 5, &[2, 4][..]));
    let Answers::Classes(two) = &first.targets else { panic!() };
    assert_eq!(two[..], targets[..8]);
    let (_, numbers) = golden.case("mse");
    let Answers::Values(three) = numbers.first(3).targets else { panic!() };
    let Answers::Values(all) = &numbers.targets else { panic!() };
    assert_eq!((&three.shape[..], &three.values[..]), (&[3, 2][..], &all.values[..6]));
}

#[test]
fn what_has_no_meaning_is_refused() {
    let golden = Golden::read();
    let (mut f, batch) = golden.case("mse");
    let refused = |f: &mut Objective<f64>, batch: &Batch<f64>| {
        f.set_batch(batch.clone());
        f.evaluate(&Request::default(), &mut Answer::default()).unwrap_err().to_string()
    };
    // The Fisher matrix of a distribution over classes.
    f.set_batch(batch.clone());
    let mut kfac = Kfac::default().build(f.params()).unwrap();
    let e = kfac.step(&mut f, 0.1).unwrap_err().to_string();
    assert!(e.contains("kfac") && e.contains("`loss` mse"), "{e}");
    // Numbers in another arrangement, and none at all.
    let Answers::Values(values) = &batch.targets else { panic!() };
    let turned = Values { shape: vec![2, 6], ..values.clone() };
    let e = refused(&mut f, &Batch::new(batch.images.clone(), turned));
    assert!(e.contains("layer 'loss'") && e.contains("[2, 6]") && e.contains("[6×2]"), "{e}");
    let e = refused(&mut f, &Batch::new(batch.images.clone(), vec![0; 6]));
    assert!(e.contains("no numbers to be answered"), "{e}");
    f.loss = Loss::CrossEntropy;
    assert!(refused(&mut f, &batch).contains("no classes to be answered"));
    // An output that is no loss.
    f.loss = Loss::Graph;
    let e = refused(&mut f, &batch);
    assert!(e.contains("[6×2]") && e.contains("a single number"), "{e}");
    f.loss = Loss::Bce;
    let large = Values { values: vec![1.5; 12].into(), ..values.clone() };
    assert!(refused(&mut f, &Batch::new(batch.images.clone(), large)).contains("1.5 is not in [0, 1]"));
}

/// A network that computes its loss itself, of two inputs.
struct Distance {
    scale: usize,
}

impl<T: Real> Module<T> for Distance {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let other = f.more_inputs[0].value().to_f64();
        let y = f.apply(ops::linear(), &[x], &[self.scale], "scale")?;
        f.apply(ops::mse(other.into()), &[&y], &[], "distance")
    }
}

#[test]
fn a_network_may_compute_its_loss_of_several_inputs() {
    let mut b = Builder::default();
    let scale = b.param("scale".into(), &[1, 1], Role::Weight, Init::Constant(3.0));
    let mut f = Objective::<f64>::new(b.finish(Box::new(Distance { scale })), &Pool::new(), 0);
    f.loss = Loss::Graph;
    let array = |values: [f64; 2]| Array::from_slice(f.pool(), Shape::new(&[2, 1]), &values);
    let batch = Batch::of_inputs(array([1.0, 2.0]), vec![array([4.0, 5.0])]);
    let half = batch.first(1);
    f.set_batch(batch);
    let mut sweep = Sweep { rows: vec![0], ..Sweep::default() };
    sweep.tangents.insert(0, Array::from_slice(f.pool(), Shape::new(&[1, 1, 1]), &[1.0]));
    let mut out = Answer::default();
    f.evaluate(&Request { gradient: vec![0], sweeps: vec![sweep], keep: false }, &mut out).unwrap();
    // ((3 − 4)² + (6 − 5)²)/2, −1 + 2·1, 1 + 4.
    let product = |d: &Directions<f64>| d.get(0).unwrap().as_slice()[0];
    let gradient = out.gradient[0].as_ref().unwrap().as_slice()[0];
    assert_eq!((out.loss, gradient, product(&out.products[0])), (1.0, 1.0, 5.0));
    let e = f.per_example_gradients(&[0]).unwrap_err().to_string();
    assert!(e.contains("`loss` graph"), "{e}");
    assert_eq!(f.evaluate_on(&half).unwrap().0, 1.0);
}
