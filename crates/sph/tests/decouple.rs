//! Decoupled layers: which they are, that conversion keeps the function, and that they train.

mod common;

use common::sph;
use sph_nn::models::{self, ModelConfig};
use sph_nn::{Role, norms};
use sph_optim::Curvature;
use sph_optim::second_order_blocks;
use sph_tensor::{Array, Pool, Rng, Shape};
use sph_train::files::{ModelFile, save_model};
use sph_train::{Batch, ModelInfo, Objective};

fn objective(norm: &str, decouple: bool, seed: u64) -> Objective<f64> {
    let norm = norms::find(norm).unwrap();
    let config = ModelConfig { norm, decouple, ..ModelConfig::new(1, (8, 8), 10) };
    Objective::new(models::build("resnet8", &config).unwrap(), &Pool::new(), seed)
}

fn batch(pool: &Pool<f64>) -> Batch<f64> {
    let mut rng = Rng::new(5, "decouple", 0, 0);
    let mut images = Array::stale(pool, Shape::new(&[4, 8, 8, 1]));
    images.make_mut().iter_mut().for_each(|v| *v = rng.normal());
    Batch::new(images, vec![3, 1, 4, 1])
}

#[test]
fn auto_decouples_exactly_the_layers_that_no_norm_follows() {
    let magnitudes = |norm: &str, decouple| -> Vec<String> {
        let f = objective(norm, decouple, 0);
        f.params().iter().filter(|s| s.role == Role::Magnitude).map(|s| s.name.clone()).collect()
    };
    assert_eq!(magnitudes("bn", true), ["fc.weight_g"]);
    assert_eq!(magnitudes("none", true).len(), 10);
    assert!(magnitudes("none", false).is_empty());
    // γ and bias of the 9 convolutions, γ of the classifier: its bias stays first-order.
    let f = objective("none", true, 0);
    assert_eq!(second_order_blocks(f.params()).len(), 19);
    assert!(second_order_blocks(f.params()).iter().all(|&b| f.params()[b].name != "fc.bias"));
}

#[test]
fn conversion_of_a_checkpoint_keeps_its_outputs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plain.safetensors");
    let plain = objective("none", false, 1);
    let info = ModelInfo {
        model: "resnet8".into(),
        graph: None,
        graph_file: None,
        norm: "none".into(),
        decouple: false,
        stem: None,
        dataset: "digits".into(),
        data: Default::default(),
        input: (8, 8, 1),
        class_names: (0..10).map(|i| i.to_string()).collect(),
        normalisation: sph_data::Normalisation { mean: vec![0.0], std: vec![1.0] },
        loss: "cross-entropy".into(),
    };
    save_model(&path, &plain.store, &info).unwrap();
    // Other initial values, so that nothing but the file can make the outputs equal.
    let mut decoupled = objective("none", true, 2);
    ModelFile::read(&path).unwrap().load(&mut decoupled.store).unwrap();
    let (loss, logits) = plain.evaluate_on(&batch(plain.pool())).unwrap();
    let (converted_loss, converted) = decoupled.evaluate_on(&batch(decoupled.pool())).unwrap();
    assert!((loss - converted_loss).abs() < 1e-12 * loss.abs());
    for (a, b) in logits.as_slice().iter().zip(converted.as_slice()) {
        assert!((a - b).abs() < 1e-12 * (1.0 + a.abs()), "{a} {b}");
    }
    // A row of zeros has no direction.
    let mut dead = objective("none", false, 1);
    let conv1 = dead.params().iter().position(|s| s.name == "conv1.weight").unwrap();
    dead.store.values[conv1].make_mut()[..9].fill(0.0);
    save_model(&path, &dead.store, &info).unwrap();
    let e = ModelFile::read(&path).unwrap().load(&mut decoupled.store).unwrap_err();
    assert!(e.to_string().contains("layer 'conv1'"), "{e}");
}

#[test]
fn a_model_without_norms_trains_decoupled() {
    let dir = tempfile::tempdir().unwrap();
    let flags = format!(
        "train --norm none --decouple auto --lr 0.02 --warmup-epochs 1 --epochs 4 --json --runs {}",
        dir.path().display()
    );
    let out = sph(&flags).output().unwrap();
    let stderr = String::from_utf8_lossy(&out.stderr);
    let record: serde_json::Value =
        serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{stderr}"));
    assert!(record["test_accuracy"].as_f64().unwrap() > 0.8, "{record}");
}
