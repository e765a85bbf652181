//! What the probes find on a real network, and the step that `dense` takes.

use sph_nn::models::{self, ModelConfig};
use sph_nn::{Builder, Mode};
use sph_optim::Rule;
use sph_optim::analysis::{Hessian, block};
use sph_optim::curvature::probes::{self, probes};
use sph_optim::curvature::schedules::{All, Cyclic, Joint, Schedule};
use sph_optim::presets::{Krylov, SphDrs};
use sph_optim::second_order_blocks;
use sph_optim::{Answer, Curvature, Optimizer, Request, Sweep};
use sph_tensor::{Array, Pool, Rng, Shape};
use sph_train::{Batch, Objective};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A small ResNet with parameters away from their defaults, and a batch.
fn network() -> Objective<f64> {
    let config = ModelConfig::new(2, (4, 4), 3);
    let mut b = Builder::default();
    let model = models::resnet(&mut b, &config, &[1, 1, 1], &[3, 4, 5]);
    let mut f = Objective::new(b.finish(model), &Pool::new(), 1);
    let mut rng = Rng::new(2, "probes", 0, 0);
    let blocks = second_order_blocks(f.params());
    for block in blocks {
        f.store.values[block].make_mut().iter_mut().for_each(|v| *v += 0.3 * rng.normal());
    }
    let mut images = Array::stale(f.pool(), Shape::new(&[6, 4, 4, 2]));
    images.make_mut().iter_mut().for_each(|v| *v = rng.normal());
    f.set_batch(Batch::new(images, vec![0, 1, 2, 2, 0, 1]));
    // Every visit sees the same Hessian: nothing moves, statistics neither.
    f.mode = Mode::Train;
    f
}

type Blocks = BTreeMap<String, Vec<f64>>;

/// Averages by block; with decay 0, what the last visit found.
fn averages(optimizer: &Optimizer<f64>, f: &Objective<f64>) -> Blocks {
    let prefix = "blocks.curvature.average.";
    let state = optimizer.save(f.values());
    state.arrays.iter().filter_map(|(n, a)| Some((n.strip_prefix(prefix)?.to_string(), a.to_f64()))).collect()
}

fn last_visit(probe: &str, schedule: impl Schedule + 'static, seed: u64) -> SphDrs {
    let (probe, schedule) = (probes::find(probe).unwrap(), Arc::new(schedule));
    SphDrs { probe, schedule, curvature_decay: 0.0, momentum: 0.0, seed, ..SphDrs::default() }
}

fn visit(settings: &SphDrs, steps: usize) -> Blocks {
    let mut f = network();
    let mut optimizer = settings.build(f.params()).unwrap();
    (0..steps).for_each(|_| assert!(optimizer.step(&mut f, 0.0).unwrap().curvature));
    averages(&optimizer, &f)
}

/// Every block, dense, straight from products with unit vectors.
fn dense_blocks() -> Blocks {
    let mut f = network();
    let mut blocks = Blocks::new();
    for block in second_order_blocks(f.params()) {
        let c = f.params()[block].len();
        let mut e = Array::zeros(f.pool(), Shape::new(&[c, c]));
        (0..c).for_each(|i| e.make_mut()[i * c + i] = 1.0);
        let mut sweep = Sweep { rows: vec![block], ..Sweep::default() };
        sweep.tangents.insert(block, e);
        let mut out = Answer::default();
        f.evaluate(&Request { sweeps: vec![sweep], ..Request::default() }, &mut out).unwrap();
        blocks.insert(f.params()[block].name.clone(), out.products[0].get(block).unwrap().to_f64());
    }
    blocks
}

fn diagonals() -> Blocks {
    let diagonal = |h: Vec<f64>| -> Vec<f64> {
        let c = h.len().isqrt();
        (0..c).map(|i| h[i * c + i]).collect()
    };
    dense_blocks().into_iter().map(|(n, h)| (n, diagonal(h))).collect()
}

#[track_caller]
fn close(got: &Blocks, want: &Blocks, tolerance: f64) {
    assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
    for (name, want) in want {
        let scale = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        assert_eq!(got[name].len(), want.len(), "{name}");
        for (g, w) in got[name].iter().zip(want) {
            assert!((g - w).abs() <= tolerance * scale, "{name}: {g} {w}");
        }
    }
}

#[test]
fn exact_finds_the_diagonal_and_dense_the_block() {
    close(&visit(&last_visit("exact", All, 0), 1), &diagonals(), 1e-12);
    close(&visit(&last_visit("dense", All, 0), 1), &dense_blocks(), 1e-12);
    // Cyclic visits find the same, block by block: 18 of them.
    close(&visit(&last_visit("exact", Cyclic, 0), 18), &diagonals(), 1e-12);
}

#[test]
fn ones_finds_row_sums_in_every_schedule_that_visits_blocks_alone() {
    let sums = |h: &Vec<f64>| h.chunks(h.len().isqrt()).map(|row| row.iter().sum()).collect();
    let want: Blocks = dense_blocks().iter().map(|(n, h)| (n.clone(), sums(h))).collect();
    close(&visit(&last_visit("ones", All, 0), 1), &want, 1e-10);
    close(&visit(&last_visit("ones", Cyclic, 0), 18), &want, 1e-10);
}

#[test]
fn hadamards_mean_over_whole_cycles_is_the_diagonal() {
    // Orders are 4, 4 and 8: after 8 visits every block has ended a cycle.
    close(&visit(&last_visit("hadamard", All, 0), 8), &diagonals(), 1e-10);
}

/// The mean over 4,096 probes lies within 5 standard errors of `want`, seed fixed beforehand.
fn unbiased(probe: &str, schedule: impl Schedule + 'static, want: &Blocks) {
    let mut f = network();
    let mut optimizer = last_visit(probe, schedule, 2024).build(f.params()).unwrap();
    let n = 4096.0;
    let mut sums: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for _ in 0..n as usize {
        optimizer.step(&mut f, 0.0).unwrap();
        for (name, found) in averages(&optimizer, &f) {
            let sums = sums.entry(name).or_insert_with(|| vec![(0.0, 0.0); found.len()]);
            sums.iter_mut().zip(found).for_each(|(s, v)| *s = (s.0 + v, s.1 + v * v));
        }
    }
    for (name, want) in want {
        for ((sum, squares), want) in sums[name].iter().zip(want) {
            let mean = sum / n;
            let error = ((squares / n - mean * mean).max(0.0) / n).sqrt();
            assert!((mean - want).abs() <= 5.0 * error + 1e-12, "{probe} {name}: {mean} ± {error}, {want}");
        }
    }
}

#[test]
fn rademacher_is_unbiased_for_the_diagonal() {
    unbiased("rademacher", All, &diagonals());
}

#[test]
fn joint_is_unbiased_for_both_probes() {
    unbiased("rademacher", Joint, &diagonals());
    let sums = |h: &Vec<f64>| h.chunks(h.len().isqrt()).map(|row| row.iter().sum()).collect();
    unbiased("ones", Joint, &dense_blocks().iter().map(|(n, h)| (n.clone(), sums(h))).collect());
}

/// Saddle-free Newton: θ − lr τ (|H|+ε)⁻¹ g, with |H| by Jacobi's rotations instead of the library's decomposition.
#[test]
fn the_dense_step_is_saddle_free_newton() {
    let mut f = network();
    let settings = SphDrs { tau: 0.1, eps: 0.01, ..last_visit("dense", All, 0) };
    let mut optimizer = settings.build(f.params()).unwrap();
    let mut answer = Answer::default();
    let all = (0..f.params().len()).collect();
    f.evaluate(&Request { gradient: all, ..Request::default() }, &mut answer).unwrap();
    let before: Vec<_> = f.values().to_vec();
    let blocks = dense_blocks();
    optimizer.step(&mut f, 1.0).unwrap();
    for block in second_order_blocks(f.params()) {
        let g = answer.gradient[block].as_ref().unwrap().to_f64();
        let c = g.len();
        let mut system = absolute(&blocks[&f.params()[block].name], c);
        (0..c).for_each(|i| system[i * c + i] += 0.01);
        let direction = solve(&system, &g);
        let moved: Vec<f64> =
            f.values()[block].to_f64().iter().zip(before[block].to_f64()).map(|(a, b)| b - a).collect();
        let scale = direction.iter().fold(0.0f64, |m, d| m.max(0.1 * d.abs()));
        for (m, d) in moved.iter().zip(&direction) {
            assert!((m - 0.1 * d).abs() <= 1e-10 * scale, "{}: {m} {}", f.params()[block].name, 0.1 * d);
        }
    }
}

/// D = (|H₁| + ε)⁻¹ g over all blocks together, once the Krylov space is the whole space.
#[test]
fn krylov_in_the_whole_space_is_the_dense_saddle_free_newton_step() {
    let mut f = network();
    let blocks = second_order_blocks(f.params());
    let (hessian, gradient) = f.undisturbed(|f| {
        let mut h = Hessian::new(f, &blocks).unwrap();
        (block(&mut h).unwrap(), h.gradient().to_vec())
    });
    let n = gradient.len();
    let mut system = absolute(hessian.entries(), n);
    (0..n).for_each(|i| system[i * n + i] += 0.01);
    let direction = solve(&system, &gradient);
    let scale = direction.iter().fold(0.0f64, |m, d| m.max(d.abs()));
    let furthest = |size: usize| {
        let mut f = network();
        let before = f.values().to_vec();
        let krylov = Krylov { size, eps: 0.01, trust_radius: None, ..Krylov::default() };
        krylov.build(f.params()).unwrap().step(&mut f, 0.5).unwrap();
        let moved = blocks.iter().flat_map(|&b| {
            let after = f.values()[b].to_f64();
            before[b].to_f64().into_iter().zip(after).map(|(b, a)| 2.0 * (b - a)).collect::<Vec<_>>()
        });
        let moved: Vec<f64> = moved.collect();
        assert_eq!(moved.len(), direction.len());
        let larger = |m: f64, d: f64| if m.is_nan() || d.is_nan() { f64::NAN } else { m.max(d) };
        moved.iter().zip(&direction).map(|(m, d)| (m - d).abs()).fold(0.0, larger) / scale
    };
    assert!(furthest(n) < 1e-8, "{}", furthest(n));
    // A small space does not know it all.
    assert!(furthest(5) > 1e-3, "{}", furthest(5));
}

/// |H| = V|Λ|Vᵀ by Jacobi's rotations.
fn absolute(h: &[f64], n: usize) -> Vec<f64> {
    let (mut a, mut v) = (h.to_vec(), vec![0.0; n * n]);
    (0..n).for_each(|i| v[i * n + i] = 1.0);
    for _ in 0..60 {
        for p in 0..n {
            for q in p + 1..n {
                if a[p * n + q] == 0.0 {
                    continue;
                }
                let angle = 0.5 * (2.0 * a[p * n + q]).atan2(a[q * n + q] - a[p * n + p]);
                let (s, c) = angle.sin_cos();
                let rotate = |m: &mut [f64], i: usize, j: usize| {
                    let (x, y) = (m[i], m[j]);
                    (m[i], m[j]) = (c * x - s * y, s * x + c * y);
                };
                (0..n).for_each(|k| rotate(&mut a, p * n + k, q * n + k));
                (0..n).for_each(|k| rotate(&mut a, k * n + p, k * n + q));
                (0..n).for_each(|k| rotate(&mut v, k * n + p, k * n + q));
            }
        }
    }
    let entry = |i: usize, j: usize| (0..n).map(|k| v[i * n + k] * a[k * n + k].abs() * v[j * n + k]).sum();
    (0..n * n).map(|k| entry(k / n, k % n)).collect()
}

/// Gaussian elimination with partial pivoting.
fn solve(a: &[f64], b: &[f64]) -> Vec<f64> {
    let n = b.len();
    let mut rows: Vec<Vec<f64>> = (0..n).map(|i| [&a[i * n..(i + 1) * n], &b[i..=i]].concat()).collect();
    for i in 0..n {
        let pivot = (i..n).max_by(|&p, &q| rows[p][i].abs().total_cmp(&rows[q][i].abs())).unwrap();
        rows.swap(i, pivot);
        for j in 0..n {
            if j != i {
                let factor = rows[j][i] / rows[i][i];
                let row = rows[i].clone();
                rows[j].iter_mut().zip(row).for_each(|(v, r)| *v -= factor * r);
            }
        }
    }
    (0..n).map(|i| rows[i][n] / rows[i][i]).collect()
}

#[test]
fn settings_that_make_no_sense_say_what_to_do() {
    let f = network();
    let refusal = |s: SphDrs| s.build::<f64>(f.params()).unwrap_err().to_string();
    assert!(refusal(last_visit("exact", Joint, 0)).contains("use 'cyclic' or 'all'"));
    let absolute = sph_optim::curvature::estimator::Averaging::Absolute;
    let biased = SphDrs { averaging: absolute, ..last_visit("rademacher", All, 0) };
    assert!(refusal(biased).contains("use 'signed'"));
    let mut wide = f.params().to_vec();
    wide[1].shape = vec![100_000];
    let dense = last_visit("dense", All, 0);
    let e = dense.build::<f64>(&wide).unwrap_err().to_string();
    assert!(e.contains("'bn1.weight' has 100000 entries"), "{e}");
    assert!(
        SphDrs::default()
            .build::<f64>(&wide[..1])
            .unwrap_err()
            .to_string()
            .contains("no second-order blocks")
    );
    // Every probe has a place in these tests.
    assert_eq!(
        probes().iter().map(|p| p.name().to_string()).collect::<Vec<_>>(),
        ["ones", "rademacher", "hadamard", "exact", "dense"]
    );
}
