//! A batch in parts: the step of every optimizer is that of the whole batch, to rounding; masks and statistics are those of the parts.

use sph_nn::losses::{Mixed, Targets};
use sph_nn::models::{self, ModelConfig};
use sph_nn::{Builder, norms};
use sph_optim::AnyRule;
use sph_optim::Rule;
use sph_optim::curvature::Accumulate;
use sph_optim::curvature::probes::{Dense, Rademacher};
use sph_optim::curvature::schedules::{All, Joint};
use sph_optim::presets::{AdaHessian, Adam, AdamW, Kfac, Krylov, Sgd, SphDrs};
use sph_optim::transforms::{Backtrack, ClipGradient, ClipMode, DrsConfig};
use sph_optim::{Answer, Curvature, Directions, Optimizer, Overrides, ParamSpec, Request, Sweep};
use sph_tensor::{Array, Pool, Rng, Shape};
use sph_train::{Batch, Objective};
use std::ops::Range;
use std::sync::Arc;

const IMAGES: usize = 12;

fn network(norm: &str, dropout: f64) -> Objective<f64> {
    let norm = norms::NORMS.iter().find(|n| n.name == norm).unwrap();
    let config = ModelConfig { norm, dropout, ..ModelConfig::new(2, (4, 4), 3) };
    let mut b = Builder::default();
    let model = match dropout {
        0.0 => models::resnet(&mut b, &config, &[1, 1], &[4, 8]),
        _ => models::mlp_mixer(&mut b, &config, &models::MixerSize { patch: 2, dim: 8, depth: 1 }),
    };
    let mut f = Objective::new(b.finish(model), &Pool::new(), 1);
    f.smoothing = 0.1;
    f
}

/// Images of the `step`-th batch with mixed labels.
fn part(f: &Objective<f64>, step: u64, range: Range<usize>) -> Batch<f64> {
    let mut rng = Rng::new(2, "parts", step, 0);
    let pixels: Vec<f64> = (0..IMAGES * 32).map(|_| rng.normal()).collect();
    let mix: Vec<Mixed> =
        range.clone().map(|i| Mixed { class: i as u32 % 2, share: 0.1 * (i % 4) as f64 }).collect();
    let classes: Targets = range.clone().map(|i| (i * i % 3) as u32).collect();
    let targets = classes.mixed(mix.into());
    let pixels = &pixels[range.start * 32..range.end * 32];
    Batch::new(Array::from_slice(f.pool(), Shape::new(&[range.len(), 4, 4, 2]), pixels), targets)
}

/// Losses of a few steps and the parameters after them, with the batch cut at `cuts`.
fn train(build: impl Fn(&[ParamSpec]) -> Optimizer<f64>, norm: &str, cuts: &[usize]) -> (Vec<f64>, Vec<f64>) {
    let mut f = network(norm, 0.0);
    let mut optimizer = build(f.params());
    let mut losses = Vec::new();
    for step in 0..8 {
        let mut parts: Vec<Batch<f64>> = cuts.windows(2).map(|c| part(&f, step, c[0]..c[1])).collect();
        let report = if parts.len() == 1 {
            f.set_batch(parts.remove(0));
            optimizer.step(&mut f, 0.02)
        } else {
            f.set_parts(parts);
            optimizer.step(&mut Accumulate(&mut f), 0.02)
        };
        losses.push(report.unwrap().loss);
    }
    (losses, f.values().iter().flat_map(Array::to_f64).collect())
}

#[track_caller]
fn close(a: &[f64], b: &[f64], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let scale = b.iter().map(|b| b.abs()).fold(0.0, f64::max);
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= 1e-9 * scale, "{what}: {a} {b} of {scale}");
    }
}

#[test]
fn parts_give_the_step_of_the_whole_batch() {
    type Build = Box<dyn Fn(&[ParamSpec]) -> Optimizer<f64>>;
    let sph = |change: fn(&mut SphDrs)| -> Build {
        Box::new(move |specs| {
            let mut settings = SphDrs { tau: 0.05, eps: 1e-2, ..SphDrs::default() };
            change(&mut settings);
            settings.build(specs).unwrap()
        })
    };
    let builds: Vec<(&str, Build)> = vec![
        ("sgd", Box::new(|specs| Sgd::default().build(specs).unwrap())),
        (
            "clipped sgd",
            Box::new(|specs| {
                let clip = ClipGradient { mode: ClipMode::Norm, limit: 0.1 };
                Sgd::default().build(specs).unwrap().preceded_by("clip", Box::new(clip))
            }),
        ),
        ("sph", sph(|_| ())),
        ("sph, joint", sph(|s| (s.schedule, s.probe) = (Arc::new(Joint), Arc::new(Rademacher)))),
        (
            "sph, several sweeps",
            sph(|s| {
                s.schedule = Arc::new(All);
                s.probe = Arc::new(Dense);
            }),
        ),
        ("sph, adamw", sph(|s| s.rest = AnyRule::new(AdamW::default()))),
        ("drs", sph(|s| s.rest = AnyRule::new(DrsConfig { refresh: 2, ..DrsConfig::default() }))),
        ("krylov", Box::new(|specs| Krylov { size: 3, ..Krylov::default() }.build(specs).unwrap())),
        ("adam", Box::new(|specs| Adam::default().build(specs).unwrap())),
        ("adamw", Box::new(|specs| AdamW::default().build(specs).unwrap())),
        (
            "backtracked sgd",
            Box::new(|specs| {
                // A rate at which some of the steps are halved.
                let own = Overrides { lr_mult: 100.0, ..Overrides::default() };
                let sgd = Sgd::default()
                    .build(specs)
                    .unwrap()
                    .followed_by("backtrack", Box::new(Backtrack { halvings: 3 }));
                sgd.with_overrides(vec![own; specs.len()])
            }),
        ),
        ("adahessian", Box::new(|specs| AdaHessian::default().build(specs).unwrap())),
        ("kfac", Box::new(|specs| Kfac { factor_every: 2, ..Kfac::default() }.build(specs).unwrap())),
    ];
    for (name, build) in builds {
        let whole = train(&build, "gn", &[0, IMAGES]);
        for cuts in [&[0, 4, 8, 12][..], &[0, 5, 10, 12]] {
            let parts = train(&build, "gn", cuts);
            close(&parts.0, &whole.0, &format!("{name}: losses"));
            close(&parts.1, &whole.1, &format!("{name}: parameters"));
        }
        // What is compared moves: another batch gives other parameters.
        let fewer = train(&build, "gn", &[0, 4, 8]);
        assert!(fewer.1 != whole.1, "{name}");
    }
}

#[test]
fn statistics_are_taken_and_masks_drawn_part_by_part() {
    // As in PyTorch: running statistics move once for every part.
    let mut f = network("bn", 0.0);
    let mut sgd = Sgd::default().build(f.params()).unwrap();
    f.set_parts(vec![part(&f, 0, 0..6), part(&f, 0, 6..12)]);
    sgd.step(&mut Accumulate(&mut f), 0.0).unwrap();
    let accumulated = f.store.buffers.clone();
    let mut f = network("bn", 0.0);
    let mut sgd = Sgd::default().build(f.params()).unwrap();
    for range in [0..6, 6..12] {
        f.set_batch(part(&f, 0, range));
        sgd.step(&mut f, 0.0).unwrap();
    }
    assert_eq!(accumulated, f.store.buffers);
    assert_ne!(accumulated, network("bn", 0.0).store.buffers);

    // The masks of a part are those that it would have as a batch of its own.
    let losses = |parts: bool| {
        let mut f = network("ln", 0.5);
        let mut sgd = Sgd::default().build(f.params()).unwrap();
        let (a, b) = (part(&f, 0, 0..6), part(&f, 0, 6..12));
        if parts {
            f.set_parts(vec![a, b]);
            return sgd.step(&mut Accumulate(&mut f), 0.0).unwrap().loss;
        }
        let mut one = |batch| {
            f.set_batch(batch);
            sgd.step(&mut f, 0.0).unwrap().loss
        };
        let (first, second) = (one(a.clone()), one(b));
        // The rate is 0: it is the mask that differs.
        assert_ne!(first, one(a));
        0.5 * first + 0.5 * second
    };
    close(&[losses(true)], &[losses(false)], "loss under dropout");
}

/// A step that is refused moves neither parameters nor running statistics, whichever part it fails in.
#[test]
fn a_refused_step_leaves_running_statistics_alone() {
    for (parts, poisoned) in [(false, None), (true, None), (true, Some(1))] {
        let batches = |f: &Objective<f64>, step| match parts {
            true => vec![part(f, step, 0..6), part(f, step, 6..12)],
            false => vec![part(f, step, 0..12)],
        };
        let ends = |disturbed: bool| {
            let mut f = network("bn", 0.0);
            let mut sgd = Sgd::default().build(f.params()).unwrap();
            for step in 0..3 {
                if disturbed && step == 1 {
                    let mut bad = batches(&f, 7);
                    if let Some(i) = poisoned {
                        bad[i].images.make_mut()[0] = f64::NAN;
                    }
                    f.set_parts(bad);
                    let lr = if poisoned.is_some() { 0.1 } else { f64::INFINITY };
                    let e = sgd.step(&mut Accumulate(&mut f), lr).unwrap_err();
                    assert!(e.not_finite().is_some(), "{e}");
                }
                f.set_parts(batches(&f, step));
                sgd.step(&mut Accumulate(&mut f), 0.1).unwrap();
            }
            (f.store.buffers, f.store.values.iter().map(Array::to_f64).collect::<Vec<_>>())
        };
        assert_eq!(ends(true), ends(false), "{parts} {poisoned:?}");
    }
}

/// `curvature_fraction`: the gradient and the running statistics are those of the whole batch, products those of its first images,
/// carried with the gradient or asked for after it.
#[test]
fn curvature_can_be_that_of_a_part_of_the_batch() {
    let sweep = |f: &Objective<f64>| {
        let block = f.params().iter().position(|p| p.name == "bn1.weight").unwrap();
        let mut tangents = Directions::default();
        tangents.insert(block, Array::full(f.pool(), f.values()[block].shape().prepend(1), 1.0));
        Sweep { tangents, rows: vec![block] }
    };
    let evaluate = |fraction: f64, images: Range<usize>, keep: bool| {
        let mut f = network("bn", 0.0);
        f.curvature_fraction = fraction;
        f.set_batch(part(&f, 0, images));
        let sweep = sweep(&f);
        let sweeps = if keep { vec![] } else { vec![sweep.clone()] };
        let want = Request { gradient: (0..f.params().len()).collect(), sweeps, keep };
        let mut answer = Answer::default();
        f.evaluate(&want, &mut answer).unwrap();
        let mut product = Directions::default();
        match keep {
            true => f.hvp(&sweep, &mut product).unwrap(),
            false => product = answer.products.pop().unwrap(),
        }
        f.apply(&[]);
        let gradient: Vec<f64> = answer.gradient.iter().flatten().flat_map(Array::to_f64).collect();
        let product: Vec<f64> = product.iter().flat_map(|(_, p)| p.to_f64()).collect();
        (answer.loss, gradient, product, f.store.buffers.clone())
    };
    let (whole, sample) = (evaluate(1.0, 0..IMAGES, false), evaluate(1.0, 0..5, false));
    assert_ne!(whole.2, sample.2);
    for keep in [false, true] {
        // 0.35 · 12 = 4.2 images are 5.
        let mixed = evaluate(0.35, 0..IMAGES, keep);
        assert_eq!((mixed.0, &mixed.1, &mixed.3), (whole.0, &whole.1, &whole.3), "keep {keep}");
        close(&mixed.2, &sample.2, "product");
    }
}
