//! Hessian blocks on a network with a shortcut, both poolings and every norm, BatchNorm in both modes, and on a tiny version of every
//! model: the pruned product, carried with the gradient, equals the dense Hessian's block; the dense Hessian equals differences
//! of gradients.

use sph_autodiff::{Tape, Var, ops, sweep};
use sph_nn::layers::{Conv2d, Followed, Geometry, Linear};
use sph_nn::models::{self, Branch, MixerSize, ModelConfig, Stem, VitSize};
use sph_nn::norms::{self, NORMS, NormRow};
use sph_nn::{
    Builder, Forward, LayerError, Mode, Model, Module, Network, ParamSpec, Probes, Real, Role, Store, losses,
};
use sph_tensor::{Array, Pool, Rng, Shape};
use std::sync::Arc;

/// conv-bn-relu-maxpool, a residual block whose shortcut is an average pooling, and the classifier.
struct Net {
    conv1: Conv2d,
    bn1: Box<dyn Model>,
    conv2: Conv2d,
    bn2: Box<dyn Model>,
    fc: Linear,
}

impl Net {
    fn build(norm: &NormRow) -> Network {
        let mut b = Builder::default();
        // Where no norm follows, layers are decoupled: their magnitudes and biases are blocks, too.
        let followed = if norm.normalizes { Followed::ByNorm } else { Followed::ByOther { decouple: true } };
        let net = Net {
            conv1: Conv2d::new(&mut b, "conv1", (2, 3), Geometry::same(3, 1), followed),
            bn1: (norm.build)(&mut b, "bn1", 3),
            conv2: Conv2d::new(&mut b, "conv2", (3, 3), Geometry::same(3, 2), followed),
            bn2: (norm.build)(&mut b, "bn2", 3),
            fc: Linear::head(&mut b, "fc", (3, 4), !norm.normalizes),
        };
        b.finish(Box::new(net))
    }
}

impl<T: Real> Module<T> for Net {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let x = self.conv1.forward(f, x)?;
        let x = T::module(&*self.bn1).forward(f, &x)?;
        let x = f.apply(ops::relu(), &[&x], &[], "relu1")?;
        let x = f.apply(ops::max_pool(3, 2, 1), &[&x], &[], "maxpool")?;
        let y = self.conv2.forward(f, &x)?;
        let y = T::module(&*self.bn2).forward(f, &y)?;
        let x = f.apply(ops::avg_pool(2, 2, 0), &[&x], &[], "avgpool")?;
        let x = f.apply(ops::add(), &[&y, &x], &[], "add")?;
        let x = f.apply(ops::relu(), &[&x], &[], "relu2")?;
        let x = f.apply(ops::global_avg_pool(), &[&x], &[], "gap")?;
        self.fc.forward(f, &x)
    }
}

const BATCH: usize = 5;

type Case = (String, Network, Mode);

/// Every norm in training mode, and BatchNorm in evaluation mode, where it differs.
fn norm_cases() -> impl Iterator<Item = Case> {
    let net = |n: &'static NormRow, mode| (format!("{} {mode:?}", n.name), Net::build(n), mode);
    NORMS.iter().map(move |n| net(n, Mode::Train)).chain([net(&NORMS[0], Mode::Eval)])
}

/// Tiny versions of the families of models.
fn model_cases() -> Vec<Case> {
    type Build = fn(&mut Builder, &ModelConfig) -> Box<dyn Model>;
    let families: [(&str, &str, bool, Build); 13] = [
        ("mlp", "bn", false, |b, c| models::mlp(b, c, &[3, 3])),
        ("resnet", "bn", false, |b, c| models::resnet(b, c, &[1, 1], &[2, 3])),
        ("resnet imagenet", "gn", false, |b, c| {
            let c = ModelConfig { stem: Some(Stem::Imagenet), ..*c };
            models::residual(b, &c, Branch::Basic, &[1], &[2])
        }),
        ("bottleneck", "bn", false, |b, c| models::residual(b, c, Branch::Bottleneck, &[1], &[2])),
        ("preact_resnet", "bn", false, |b, c| models::preact_resnet(b, c, &[1, 1], &[2, 3])),
        ("preact_resnet", "bn", true, |b, c| models::preact_resnet(b, c, &[1, 1], &[2, 2])),
        ("vgg", "none", true, |b, c| models::vgg(b, c, &[&[2], &[3]])),
        ("vgg", "bn", false, |b, c| models::vgg(b, c, &[&[2], &[3]])),
        // Two groups of four channels.
        ("vgg", "gn", false, |b, c| models::vgg(b, c, &[&[8]])),
        ("mobilenet", "bn", false, |b, c| models::mobilenet(b, c, 2, &[(3, 1), (4, 2)])),
        ("vit", "ln", false, |b, c| models::vit(b, c, &VitSize { patch: 4, dim: 4, depth: 1, heads: 2 })),
        ("vit", "rms", true, |b, c| models::vit(b, c, &VitSize { patch: 4, dim: 4, depth: 1, heads: 2 })),
        ("mlp_mixer", "ln", false, |b, c| models::mlp_mixer(b, c, &MixerSize { patch: 4, dim: 4, depth: 1 })),
    ];
    let tokens = |name: &str| ["vit", "mlp_mixer"].contains(&name);
    let case = |(name, norm, decouple, build): (&str, &str, bool, Build)| {
        let norm = norms::find(norm).unwrap();
        // Dropout, too: the masks of every pass are the same.
        let dropout = if tokens(name) { 0.2 } else { 0.0 };
        let config = ModelConfig { norm, decouple, dropout, ..ModelConfig::new(2, (8, 8), 4) };
        let mut b = Builder::default();
        let model = build(&mut b, &config);
        (format!("{name} {} decouple {decouple}", norm.name), b.finish(model), Mode::Train)
    };
    families.into_iter().map(case).collect()
}

fn cases() -> impl Iterator<Item = Case> {
    norm_cases().chain(model_cases())
}

struct Problem {
    network: Network,
    store: Store<f64>,
    images: Array<f64>,
    targets: Arc<[u32]>,
    pool: Pool<f64>,
    mode: Mode,
}

type Pass = (Tape<f64>, Vec<Var<f64>>, Var<f64>);

impl Problem {
    fn new(network: Network, mode: Mode) -> Self {
        let pool = Pool::new();
        let mut store = Store::init(&network, &pool, 3);
        let mut rng = Rng::new(9, "values", 0, 0);
        // Away from the defaults: γ = 1, β = 0 would hide mistakes.
        for (spec, value) in store.specs().to_vec().iter().zip(&mut store.values) {
            // Transformers start so small that their Hessians would be all but zero.
            let scale = if spec.is_1d() { 0.3 } else { 0.2 };
            if spec.is_second_order() || spec.role == Role::Embedding || spec.name.contains("blocks") {
                value.make_mut().iter_mut().for_each(|v| *v += scale * rng.normal());
            }
        }
        store.buffers.iter_mut().flatten().for_each(|v| *v += 0.2 * rng.uniform());
        let mut images = Array::stale(&pool, Shape::new(&[BATCH, 8, 8, 2]));
        images.make_mut().iter_mut().for_each(|v| *v = rng.normal());
        Problem { network, store, images, targets: vec![0, 3, 1, 2, 3].into(), pool, mode }
    }

    fn pass(&self, tape: Tape<f64>, probes: impl FnMut(usize) -> Probes<f64>) -> Pass {
        let mut f = Forward::on(tape, &self.store, self.mode, probes);
        let x = f.tape.constant(self.images.clone());
        let logits = f64::module(&*self.network.model).forward(&mut f, &x).unwrap();
        let loss = losses::cross_entropy(&mut f, &logits, self.targets.clone().into(), 0.1).unwrap();
        let (tape, leaves) = f.into_parts();
        (tape, leaves, loss)
    }

    fn gradient(&self) -> Vec<f64> {
        let (mut tape, leaves, loss) =
            self.pass(Tape::new(&self.pool, 1), |_| Probes { dot: None, grad: true, hvp: false });
        let adjoints = tape.backward(&loss);
        leaves.iter().flat_map(|l| adjoints.grad(l).unwrap().to_f64()).collect()
    }

    fn offsets(&self) -> Vec<usize> {
        self.store.values.iter().scan(0, |n, v| Some(std::mem::replace(n, *n + v.shape().len()))).collect()
    }

    /// Column by column from unpruned products over all parameters.
    fn dense(&self) -> Vec<Vec<f64>> {
        let (mut tape, leaves, loss) =
            self.pass(Tape::keeping(&self.pool), |_| Probes { dot: None, grad: true, hvp: false });
        tape.backward(&loss);
        let wrt: Vec<_> = leaves.iter().collect();
        let mut columns = Vec::new();
        for leaf in &leaves {
            for i in 0..leaf.value().shape().len() {
                let mut e = Array::zeros(&self.pool, leaf.value().shape().prepend(1));
                e.make_mut()[i] = 1.0;
                let rows = sweep::hvp(&mut tape, &[(leaf, e)], &wrt).unwrap();
                let zeros = |l: &Var<f64>| vec![0.0; l.value().shape().len()];
                let row =
                    |(r, l): (&Option<Array<f64>>, &Var<f64>)| r.as_ref().map_or(zeros(l), Array::to_f64);
                columns.push(rows.iter().zip(&leaves).flat_map(row).collect());
            }
        }
        columns
    }
}

/// The largest absolute value; NaN if there is one.
fn largest<'a>(values: impl IntoIterator<Item = &'a f64>) -> f64 {
    let larger = |m: f64, v: &f64| if m.is_nan() || v.is_nan() { f64::NAN } else { m.max(v.abs()) };
    values.into_iter().fold(0.0, larger)
}

#[test]
fn the_dense_hessian_equals_differences_of_gradients() {
    for (name, network, mode) in cases() {
        let mut p = Problem::new(network, mode);
        let dense = p.dense();
        let scale = largest(dense.iter().flatten());
        let step = 1e-5;
        let mut column = 0;
        for param in 0..p.store.values.len() {
            for i in 0..p.store.values[param].shape().len() {
                let mut at = |shift: f64| {
                    p.store.values[param].make_mut()[i] += shift;
                    let g = p.gradient();
                    p.store.values[param].make_mut()[i] -= shift;
                    g
                };
                let (up, down) = (at(step), at(-step));
                for (row, h) in dense[column].iter().enumerate() {
                    let difference = (up[row] - down[row]) / (2.0 * step);
                    assert!(
                        (h - difference).abs() < 1e-6 * scale,
                        "{name} [{row}, {column}]: {h} {difference}"
                    );
                }
                column += 1;
            }
        }
    }
}

#[test]
fn pruned_block_products_equal_the_dense_hessians_block() {
    for (case, network, mode) in cases() {
        let p = Problem::new(network, mode);
        let (dense, offsets, gradient) = (p.dense(), p.offsets(), p.gradient());
        assert!(p.store.specs().iter().any(ParamSpec::is_second_order), "{case} has no block");
        for block in 0..p.store.values.len() {
            if !p.store.specs()[block].is_second_order() {
                continue;
            }
            let name = &p.store.specs()[block].name;
            let c = p.store.values[block].shape().len();
            let shape = p.store.values[block].shape().prepend(c + 1);
            // K = C + 1 probes in one sweep: e_1 … e_C and 1.
            let mut probes = Array::zeros(&p.pool, shape);
            (0..c).for_each(|i| probes.make_mut()[i * c + i] = 1.0);
            probes.make_mut()[c * c..].fill(1.0);
            let (mut tape, leaves, loss) = p.pass(Tape::new(&p.pool, c + 1), |i| Probes {
                dot: (i == block).then(|| probes.clone()),
                grad: true,
                hvp: i == block,
            });
            let adjoints = tape.backward(&loss);
            let got = adjoints.hvp(&leaves[block]).unwrap();
            let entry = |i: usize, j: usize| dense[offsets[block] + j][offsets[block] + i];
            let scale = largest(&(0..c * c).map(|k| entry(k / c, k % c)).collect::<Vec<_>>());
            for i in 0..c {
                for j in 0..c {
                    let error = (got.part(j)[i] - entry(i, j)).abs();
                    assert!(error <= 1e-10 * scale, "{case} {name}[{i}, {j}]: {error:e}");
                }
                let row_sum: f64 = (0..c).map(|j| entry(i, j)).sum();
                let error = (got.part(c)[i] - row_sum).abs();
                assert!(error <= 1e-10 * scale, "{case} {name}: row sum {i}: {error:e}");
            }
            // The gradient of the same passes is the plain one, bit for bit or to rounding of shared sums.
            let carried: Vec<f64> = leaves.iter().flat_map(|l| adjoints.grad(l).unwrap().to_f64()).collect();
            let error = largest(&carried.iter().zip(&gradient).map(|(a, b)| a - b).collect::<Vec<_>>());
            assert_eq!(carried.len(), gradient.len());
            assert!(error <= 1e-12 * largest(&gradient), "{case} {name}: gradient {error:e}");
        }
    }
}

/// The Hessian of the whole network is symmetric to rounding.
#[test]
fn the_dense_hessian_is_symmetric() {
    let dense = Problem::new(Net::build(&NORMS[0]), Mode::Train).dense();
    let scale = largest(dense.iter().flatten());
    for (i, row) in dense.iter().enumerate() {
        for (j, v) in row.iter().enumerate() {
            assert!((v - dense[j][i]).abs() <= 1e-10 * scale, "[{i}, {j}]");
        }
    }
}

#[test]
fn a_jvp_is_the_directional_derivative_of_the_loss() {
    let p = Problem::new(Net::build(&NORMS[0]), Mode::Train);
    let (mut tape, leaves, loss) =
        p.pass(Tape::keeping(&p.pool), |_| Probes { dot: None, grad: true, hvp: false });
    let mut rng = Rng::new(4, "jvp", 0, 0);
    let tangents: Vec<_> = leaves
        .iter()
        .map(|l| {
            let mut v = Array::stale(&p.pool, l.value().shape().prepend(1));
            v.make_mut().iter_mut().for_each(|v| *v = rng.normal());
            (l, v)
        })
        .collect();
    let slope = sweep::jvp(&mut tape, &tangents, &loss).unwrap().as_slice()[0];
    let v: Vec<f64> = tangents.iter().flat_map(|(_, v)| v.to_f64()).collect();
    let want: f64 = p.gradient().iter().zip(&v).map(|(g, v)| g * v).sum();
    assert!((slope - want).abs() < 1e-12 * want.abs(), "{slope} {want}");
}
