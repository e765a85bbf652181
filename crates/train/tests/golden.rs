//! Comparison with files that PyTorch wrote (`tools/make_golden.py`): losses, gradients, Hessian blocks, and steps of the
//! optimizers, all in float64.

use safetensors::{Dtype, SafeTensors};
use sph_nn::models::{self, MixerSize, ModelConfig, VitSize};
use sph_nn::norms;
use sph_nn::{Builder, Mode, Model};
use sph_optim::AnyRule;
use sph_optim::Rule;
use sph_optim::curvature::FisherLabels;
use sph_optim::presets::{AdaHessian, AdamW, Kfac, Sgd, SphDrs};
use sph_optim::second_order_blocks;
use sph_optim::transforms::Draw;
use sph_optim::{Answer, Curvature, Directions, Optimizer, Request, Sweep};
use sph_tensor::{Array, Pool, Shape};
use sph_train::{Batch, Objective};
use std::collections::HashMap;

type Build = fn(&mut Builder, &ModelConfig) -> Box<dyn Model>;

fn tiny_resnet(b: &mut Builder, config: &ModelConfig) -> Box<dyn Model> {
    models::resnet(b, config, &[1, 1, 1], &[4, 8, 16])
}

/// A golden file: name → (shape, values).
struct Golden(HashMap<String, (Vec<usize>, Vec<f64>)>);

impl Golden {
    fn read(name: &str) -> Self {
        let path = format!("{}/tests/golden/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(path).unwrap();
        let read = |view: safetensors::tensor::TensorView<'_>| {
            let words = view.data().chunks_exact(8).map(|w| <[u8; 8]>::try_from(w).unwrap());
            let halves = view.data().chunks_exact(4).map(|w| <[u8; 4]>::try_from(w).unwrap());
            let values = match view.dtype() {
                Dtype::F32 => halves.map(|w| f64::from(f32::from_le_bytes(w))).collect(),
                Dtype::F64 => words.map(f64::from_le_bytes).collect(),
                Dtype::I64 => words.map(|w| i64::from_le_bytes(w) as f64).collect(),
                other => panic!("{other:?}"),
            };
            (view.shape().to_vec(), values)
        };
        let file = SafeTensors::deserialize(&bytes).unwrap();
        Golden(file.tensors().into_iter().map(|(name, view)| (name, read(view))).collect())
    }

    fn get(&self, name: &str) -> &[f64] {
        &self.0.get(name).unwrap_or_else(|| panic!("no {name} in the golden file")).1
    }

    /// Batch `index` of `input` (one more leading axis when there are several).
    fn batch(&self, pool: &Pool<f64>, index: usize) -> Batch<f64> {
        let dims = &self.0["input"].0;
        let &[n, c, h, w] = &dims[dims.len() - 4..] else { panic!() };
        let x = &self.get("input")[index * n * c * h * w..];
        let mut images = Array::stale(pool, Shape::new(&[n, h, w, c]));
        for (i, v) in images.make_mut().iter_mut().enumerate() {
            let (image, pixel, channel) = (i / (h * w * c), i / c % (h * w), i % c);
            *v = x[(image * c + channel) * h * w + pixel];
        }
        let targets: Vec<u32> =
            self.get("target")[index * n..(index + 1) * n].iter().map(|t| *t as u32).collect();
        Batch::new(images, targets)
    }

    /// The tiny ResNet with the parameters and buffers under these prefixes.
    fn objective(&self, param: &str, buffer: &str) -> Objective<f64> {
        self.objective_with(norms::DEFAULT, param, buffer)
    }

    fn objective_with(&self, norm: &'static norms::NormRow, param: &str, buffer: &str) -> Objective<f64> {
        self.objective_of(norm, false, tiny_resnet, param, buffer)
    }

    fn objective_of(
        &self,
        norm: &'static norms::NormRow,
        decouple: bool,
        build: Build,
        param: &str,
        buffer: &str,
    ) -> Objective<f64> {
        let config = ModelConfig { norm, decouple, ..ModelConfig::new(3, (8, 8), 5) };
        let mut b = Builder::default();
        let model = build(&mut b, &config);
        let mut objective = Objective::new(b.finish(model), &Pool::new(), 0);
        let names: Vec<_> = objective.store.specs().iter().map(|s| s.name.clone()).collect();
        for (name, value) in names.iter().zip(&mut objective.store.values) {
            value.make_mut().copy_from_slice(self.get(&format!("{param}.{name}")));
        }
        let names: Vec<_> = objective.store.buffer_specs().iter().map(|s| s.name.clone()).collect();
        for (name, value) in names.iter().zip(&mut objective.store.buffers) {
            if !name.ends_with("num_batches_tracked") {
                value.copy_from_slice(self.get(&format!("{buffer}.{name}")));
            }
        }
        objective
    }
}

#[track_caller]
fn close(got: &[f64], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(0.0f64, |m, w| m.max(w.abs()));
    for (g, w) in got.iter().zip(want) {
        // A NaN is none of it either.
        assert!((g - w).abs() <= tolerance * scale, "{what}: {g}, not {w}, of {scale}");
    }
}

fn identity(pool: &Pool<f64>, c: usize) -> Array<f64> {
    let mut e = Array::zeros(pool, Shape::new(&[c, c]));
    (0..c).for_each(|i| e.make_mut()[i * c + i] = 1.0);
    e
}

#[test]
fn loss_gradient_and_hessian_blocks_agree_with_pytorch() {
    let golden = Golden::read("resnet_tiny");
    for (case, mode, smoothing) in
        [("train", Mode::Train, 0.0), ("eval", Mode::Eval, 0.0), ("smooth", Mode::Train, 0.1)]
    {
        let mut f = golden.objective("param", "buffer");
        (f.mode, f.smoothing) = (mode, smoothing);
        let pool = f.pool().clone();
        let all: Vec<usize> = (0..f.params().len()).collect();
        for (block, hessian) in derivatives_agree(&golden, &mut f, case) {
            let name = f.params()[block].name.clone();
            let mut out = Answer::default();
            // `ones` gives its row sums, and so does a product asked for after the gradient.
            let c = f.params()[block].len();
            let mut ones = Sweep { rows: vec![block], ..Sweep::default() };
            ones.tangents.insert(block, Array::full(&pool, Shape::new(&[1, c]), 1.0));
            let want = Request { gradient: all.clone(), sweeps: vec![ones.clone()], keep: false };
            f.evaluate(&want, &mut out).unwrap();
            let sums: Vec<f64> =
                (0..c).map(|i| (0..c).map(|j| hessian.as_slice()[i * c + j]).sum()).collect();
            let row_sum = golden.get(&format!("{case}.row_sum.{name}"));
            close(
                out.products[0].get(block).unwrap().as_slice(),
                row_sum,
                1e-9,
                &format!("{case} row sum {name}"),
            );
            close(
                out.products[0].get(block).unwrap().as_slice(),
                &sums,
                1e-10,
                &format!("{case} sums {name}"),
            );
            f.evaluate(&Request { keep: true, ..Request::default() }, &mut out).unwrap();
            let mut after = Directions::default();
            f.hvp(&ones, &mut after).unwrap();
            close(after.get(block).unwrap().as_slice(), row_sum, 1e-9, &format!("{case} after {name}"));
        }
    }
}

#[test]
fn the_full_hessian_vector_product_agrees_with_pytorch() {
    let golden = Golden::read("resnet_tiny");
    let mut f = golden.objective("param", "buffer");
    f.set_batch(golden.batch(f.pool(), 0));
    let all: Vec<usize> = (0..f.params().len()).collect();
    let mut sweep = Sweep { rows: all.clone(), ..Sweep::default() };
    for &i in &all {
        let v = golden.get(&format!("train.hvp.v.{}", f.params()[i].name));
        sweep.tangents.insert(i, Array::from_slice(f.pool(), f.values()[i].shape().prepend(1), v));
    }
    let check = |f: &Objective<f64>, products: &Directions<f64>, what: &str| {
        for &i in &all {
            let name = &f.params()[i].name;
            let got = products.get(i).unwrap().as_slice();
            // The classifier's bias has curvature near zero in some directions; compare with the scale of its block.
            close(got, golden.get(&format!("train.hvp.hv.{name}")), 1e-9, &format!("{what} {name}"));
        }
    };
    let mut want = Request { gradient: all.clone(), sweeps: vec![sweep], keep: false };
    let mut out = Answer::default();
    f.evaluate(&want, &mut out).unwrap();
    check(&f, &out.products[0], "combined");
    want.keep = true;
    f.evaluate(&want, &mut out).unwrap();
    check(&f, &out.products[0], "after the gradient");
}

#[test]
fn running_statistics_agree_with_pytorch() {
    let golden = Golden::read("resnet_tiny");
    let mut f = golden.objective("param", "buffer");
    f.set_batch(golden.batch(f.pool(), 0));
    f.evaluate(&Request::default(), &mut Answer::default()).unwrap();
    // They move with the point.
    f.apply(&[]);
    for (spec, value) in f.store.buffer_specs().iter().zip(&f.store.buffers) {
        if !spec.name.ends_with("num_batches_tracked") {
            close(value, golden.get(&format!("train.buffer_after.{}", spec.name)), 1e-12, &spec.name);
        }
    }
}

/// Takes `steps` steps on the recorded batches and compares with the parameters recorded at `marks`.
fn follow(
    golden: &Golden,
    mut optimizer: Optimizer<f64>,
    mut f: Objective<f64>,
    lr: f64,
    prefix: &str,
    marks: &[usize],
    tolerance: f64,
) {
    for step in 1..=*marks.last().unwrap() {
        f.set_batch(golden.batch(f.pool(), step - 1));
        let report = optimizer.step(&mut f, lr).unwrap();
        let losses = golden.get(&format!("{prefix}losses"));
        close(&[report.loss], &losses[step - 1..step], tolerance, &format!("{prefix}loss {step}"));
        if marks.contains(&step) {
            for (spec, value) in f.params().iter().zip(f.values()) {
                let want = golden.get(&format!("{prefix}param{step}.{}", spec.name));
                close(value.as_slice(), want, tolerance, &format!("{prefix}{} after step {step}", spec.name));
            }
        }
    }
}

#[test]
fn the_ancestors_step_agrees_with_pytorch_over_20_steps() {
    let golden = Golden::read("seed_steps");
    let f = golden.objective("param0", "buffer0");
    let seed = SphDrs::seed();
    let optimizer = seed.build(f.params()).unwrap();
    follow(&golden, optimizer, f, 0.1, "", &[1, 10, 20], 1e-8);
    let f = golden.objective("param0", "buffer0");
    let decayed = SphDrs {
        weight_decay_1d: 5e-4,
        rest: AnyRule::new(Sgd { weight_decay_1d: 5e-4, ..Sgd::default() }),
        ..seed
    };
    let optimizer = decayed.build(f.params()).unwrap();
    follow(&golden, optimizer, f, 0.1, "wd.", &[20], 1e-8);
}

#[test]
fn sgd_and_adamw_agree_with_pytorch_over_10_steps() {
    let golden = Golden::read("sgd_adamw");
    let f = golden.objective("param0", "buffer0");
    let sgd = Sgd { nesterov: true, weight_decay_1d: 5e-4, ..Sgd::default() };
    let optimizer = sgd.build(f.params()).unwrap();
    follow(&golden, optimizer, f, 0.1, "sgd.", &[10], 1e-10);
    let f = golden.objective("param0", "buffer0");
    let adamw = AdamW { weight_decay_1d: 0.05, ..AdamW::default() };
    let optimizer = adamw.build(f.params()).unwrap();
    follow(&golden, optimizer, f, 1e-2, "adamw.", &[10], 1e-10);
}

/// Loss, logits, gradients and every block of `f` as recorded under `case`, gradient and block from one combined sweep of K = C
/// probes; the blocks by parameter number.
fn derivatives_agree(golden: &Golden, f: &mut Objective<f64>, case: &str) -> Vec<(usize, Array<f64>)> {
    f.set_batch(golden.batch(f.pool(), 0));
    let (all, pool): (Vec<usize>, _) = ((0..f.params().len()).collect(), f.pool().clone());
    let blocks = second_order_blocks(f.params());
    assert!(!blocks.is_empty(), "{case}");
    let mut found = Vec::new();
    for block in blocks {
        let (name, shape) = (f.params()[block].name.clone(), f.values()[block].shape());
        let c = shape.len();
        let mut sweep = Sweep { rows: vec![block], ..Sweep::default() };
        sweep.tangents.insert(block, identity(&pool, c).reshape(shape.prepend(c)));
        let want = Request { gradient: all.clone(), sweeps: vec![sweep], keep: false };
        let mut out = Answer::default();
        f.evaluate(&want, &mut out).unwrap();
        close(&[out.loss], golden.get(&format!("{case}.loss")), 1e-9, case);
        close(f.logits().unwrap().as_slice(), golden.get(&format!("{case}.logits")), 1e-9, case);
        for &i in &all {
            let name = &f.params()[i].name;
            let got = out.gradient[i].as_ref().unwrap().as_slice();
            let want = golden.get(&format!("{case}.grad.{name}"));
            // A shift of a token's channels alike, which LayerNorm takes away: zero, up to rounding, on both sides.
            if want.iter().all(|w| w.abs() < 1e-15) {
                assert!(got.iter().all(|g| g.abs() < 1e-15), "{case} grad {name} is zero in PyTorch");
                continue;
            }
            close(got, want, 1e-9, &format!("{case} grad {name}"));
        }
        let hessian = out.products[0].get(block).unwrap();
        let want = golden.get(&format!("{case}.hessian.{name}"));
        close(hessian.as_slice(), want, 1e-9, &format!("{case} hessian {name}"));
        found.push((block, hessian.clone()));
    }
    found
}

#[test]
fn the_norms_over_groups_agree_with_pytorch() {
    let golden = Golden::read("norms");
    for norm in norms::NORMS.iter().filter(|n| n.normalizes && n.name != "bn") {
        let case = norm.name;
        let mut f = golden.objective_with(norm, &format!("{case}.param"), "no buffers");
        derivatives_agree(&golden, &mut f, case);
    }
}

#[test]
fn decoupled_attention_depthwise_and_mixer_blocks_agree_with_pytorch() {
    let golden = Golden::read("blocks");
    let cases: [(&str, &str, bool, Build); 4] = [
        ("decoupled", "none", true, tiny_resnet),
        ("attention", "ln", false, |b, c| {
            models::vit(b, c, &VitSize { patch: 4, dim: 8, depth: 2, heads: 2 })
        }),
        ("depthwise", "bn", false, |b, c| models::mobilenet(b, c, 4, &[(8, 1), (12, 2)])),
        ("mixer", "ln", false, |b, c| models::mlp_mixer(b, c, &MixerSize { patch: 4, dim: 8, depth: 1 })),
    ];
    for (case, norm, decouple, build) in cases {
        let (norm, param, buffer) =
            (norms::find(norm).unwrap(), format!("{case}.param"), format!("{case}.buffer"));
        let mut f = golden.objective_of(norm, decouple, build, &param, &buffer);
        derivatives_agree(&golden, &mut f, case);
    }
}

#[test]
fn adahessian_and_kfac_agree_with_pytorch_over_20_steps() {
    let golden = Golden::read("adahessian_kfac");
    let f = golden.objective("param0", "buffer0");
    let names: Vec<String> = f.params().iter().map(|s| s.name.clone()).collect();
    let probes: HashMap<(usize, u64), Vec<f64>> = (0..names.len())
        .flat_map(|i| (0..20).map(move |step| (i, step)))
        .map(|(i, step)| ((i, step), golden.get(&format!("adahessian.z{}.{}", step + 1, names[i])).to_vec()))
        .collect();
    let draw = move |i: usize, step: u64, z: &mut [f64]| z.copy_from_slice(&probes[&(i, step)]);
    let draw = Some(Draw(std::sync::Arc::new(draw) as _));
    let settings = AdaHessian { weight_decay_1d: 5e-4, draw, ..AdaHessian::default() };
    let optimizer = settings.build(f.params()).unwrap();
    follow(&golden, optimizer, f, 0.15, "adahessian.", &[1, 10, 20], 1e-6);

    let f = golden.objective("param0", "buffer0");
    let labels: Vec<u32> = golden.get("kfac.labels").iter().map(|l| *l as u32).collect();
    let batch = labels.len() / 20;
    let given = move |step: u64| FisherLabels::Given(labels[step as usize * batch..][..batch].into());
    let labels = Some(Draw(std::sync::Arc::new(given) as _));
    let settings = Kfac { damping: 0.01, factor_every: 1, inverse_every: 3, labels, ..Kfac::default() };
    let optimizer = settings.build(f.params()).unwrap();
    follow(&golden, optimizer, f, 0.01, "kfac.", &[1, 10, 20], 1e-6);
}

#[test]
fn evaluation_is_plain_cross_entropy_whatever_the_training_smooths() {
    let golden = Golden::read("resnet_tiny");
    let mut f = golden.objective("param", "buffer");
    f.smoothing = 0.1;
    let (loss, logits) = f.evaluate_on(&golden.batch(f.pool(), 0)).unwrap();
    close(&[loss], golden.get("eval.loss"), 1e-9, "loss");
    close(logits.as_slice(), golden.get("eval.logits"), 1e-9, "logits");
}
