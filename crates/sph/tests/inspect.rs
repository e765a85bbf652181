//! `sph inspect` as a user meets it, and its figures against their definitions.

mod common;
#[path = "common/well_formed.rs"]
mod well_formed;

use common::sph;
use serde_json::Value;
use sph_nn::models::{self, ModelConfig};
use sph_tensor::{Array, Pool, Rng, Shape};
use sph_train::inspect::{InspectionSettings, NetworkSettings, QUANTITIES, inspect};
use sph_train::{Batch, Objective};
use well_formed::well_formed;

fn stdout(flags: &str) -> String {
    let out = sph(flags).output().unwrap();
    assert!(out.status.success(), "{flags}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[track_caller]
fn mistake(flags: &str, words: &[&str]) {
    let out = sph(flags).output().unwrap();
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{flags}: {stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{flags}: {stderr}");
    words.iter().for_each(|w| assert!(stderr.contains(w), "{flags}: no {w:?} in {stderr}"));
    assert!(out.stdout.is_empty(), "{flags}: found out before the computation");
}

#[test]
fn table_csv_json_and_report() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let flags = format!(
        "inspect --model resnet8 --batch-size 16 --batches 2 --probes 2 --lanczos-steps 6 --top 2 --csv {0}/a.csv --report \
         {0}/a.html --dump {0}/a.safetensors",
        dir.path().display()
    );
    let table = stdout(&flags);
    for word in
        ["layer3.0.bn2.weight", "off/diag", "F row-sum err", "±", "median over blocks", "77754 parameters"]
    {
        assert!(table.contains(word), "no {word} in {table}");
    }

    let record: Value = serde_json::from_str(&stdout(&format!("{flags} --json --threads 1"))).unwrap();
    assert_eq!((record["model"].as_str(), record["batches"].as_u64()), (Some("resnet8"), Some(2)));
    let blocks = record["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), 18);
    for q in QUANTITIES {
        for block in blocks {
            for part in ["mean", "standard_error"] {
                assert!(block[q.name][part].is_number(), "{} {part}: {block}", q.name);
            }
        }
        assert!(record["over_blocks"][q.name]["median"].is_number());
    }
    let network = &record["network"];
    assert_eq!(network["eigenvalues"].as_array().unwrap().len(), 2);
    assert_eq!(network["eigenvalues"][0]["values"].as_array().unwrap().len(), 2);
    assert!(network["trace"]["standard_error"].is_number() && network["density"]["at"].is_array());

    let csv = std::fs::read_to_string(file("a.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().map(|l| l.split(',').collect()).collect();
    assert_eq!(rows.len(), 19);
    assert!(rows.iter().all(|r| r.len() == 3 + 2 * QUANTITIES.len()));
    let column = rows[0].iter().position(|h| *h == "off_diagonal_ratio").unwrap();
    let cell: f64 = rows[1][column].parse().unwrap();
    assert_eq!(cell, blocks[0]["off_diagonal_ratio"]["mean"].as_f64().unwrap());

    let page = std::fs::read_to_string(file("a.html")).unwrap();
    well_formed(&page);
    // The name of SVG's language, the policy that forbids everything outside, and the empty icon.
    let harmless = ["xmlns=\"http://www.w3.org/2000/svg\"", "http-equiv", "href=\"data:,\""];
    let outside = harmless.iter().fold(page.clone(), |page, words| page.replace(words, ""));
    for word in ["http", "<script", "src=", "url(", "@import", "href"] {
        assert!(!outside.contains(word), "the page needs {word}");
    }
    // Bars, density, and two heat maps for each block.
    assert_eq!(page.matches("<svg").count(), 2 + 2 * 18);
    for word in
        ["Summary", "layer3.0.bn2.bias", "empirical Fisher", "log scale", "standard error over 2 batches"]
    {
        assert!(page.contains(word), "no {word} on the page");
    }

    // The same bits on any number of threads; only the time differs.
    let mut again: Value = serde_json::from_str(&stdout(&format!("{flags} --json --threads 2"))).unwrap();
    again["seconds"] = record["seconds"].clone();
    assert_eq!(again, record);
    // The dump is of the first batch, whatever else is looked at.
    let first = std::fs::read(file("a.safetensors")).unwrap();
    stdout(&format!(
        "inspect --model resnet8 --batch-size 16 --no-network --dump {}",
        file("b.safetensors").display()
    ));
    assert!(first == std::fs::read(file("b.safetensors")).unwrap());
}

#[test]
fn models_without_blocks_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("a.html");
    let flags = format!("inspect --model mlp --norm none --batch-size 8 --report {}", report.display());
    let table = stdout(&flags);
    assert!(
        table.contains("no second-order blocks") && table.contains("whole network, 13130 parameters"),
        "{table}"
    );
    let page = std::fs::read_to_string(report).unwrap();
    well_formed(&page);
    assert!(page.contains("no second-order blocks") && page.matches("<svg").count() == 1);
    let table = stdout("inspect --model mlp --batch-size 8 --no-network");
    assert!(table.contains("bn1.weight") && !table.contains("whole network"), "{table}");
}

#[test]
fn mistakes_are_one_line_before_anything_is_computed() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    mistake("inspect --model mlp --batches 23", &["--batches 23", "--batch-size 64", "1437"]);
    mistake("inspect --model mlp --batches 0", &["--batches"]);
    mistake("inspect --model mlp --top 101", &["--top"]);
    mistake("inspect --model mlp --probes 1", &["--probes"]);
    mistake("inspect --model mlp --no-network --top 3", &["--no-network", "--top"]);
    mistake(&format!("inspect --model mlp --report {out}/no/a.html"), &["a.html", "cannot write"]);
    mistake(&format!("inspect --model mlp --csv {out}"), &["not a file"]);
    mistake(&format!("inspect --model mlp --csv {out}/a --report {out}/a"), &["two outputs"]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left");
}

fn mlp() -> (Objective<f64>, Batch<f64>) {
    let config = ModelConfig::new(1, (6, 6), 4);
    let f = Objective::new(models::build("mlp", &config).unwrap(), &Pool::new(), 5);
    let mut rng = Rng::new(6, "inspect", 0, 0);
    let mut images = Array::stale(f.pool(), Shape::new(&[24, 6, 6, 1]));
    images.make_mut().iter_mut().for_each(|v| *v = rng.normal());
    let targets: Vec<u32> = (0..24).map(|_| rng.below(4) as u32).collect();
    (f, Batch::new(images, targets))
}

/// Blocks too large for a dense Hessian have the same figures, by random probes.
#[test]
fn estimates_for_large_blocks_agree_with_dense_blocks() {
    let find = |dense_limit: usize| {
        let (mut f, batch) = mlp();
        let settings = InspectionSettings { dense_limit, block_probes: 2048, network: None, seed: 1 };
        inspect(&mut f, [batch], &settings, &mut |_| ()).unwrap()
    };
    let (dense, probed) = (find(256), find(63));
    assert_eq!([dense.blocks.len(), probed.blocks.len()], [6, 6]);
    for (a, b) in dense.blocks.iter().zip(&probed.blocks) {
        assert!(a.dense && !b.dense);
        for q in ["off_diagonal_ratio", "row_sum_error"] {
            let (truth, estimate) = (a.get(q).unwrap().mean, b.get(q).unwrap().mean);
            assert!((estimate / truth - 1.0).abs() < 0.1, "{} {q}: {estimate}, {truth}", a.name);
        }
        assert_eq!(a.get("row_sum_max"), b.get("row_sum_max"));
        assert!(b.get("negative_eigenvalues").is_none() && b.get("fisher_trace").is_none());
    }
    assert!(probed.first.hessian.is_empty() && probed.first.row_sums.len() == 6);
}

/// A block of which an eigenvalue is exactly 0 has an infinite condition number, and counts.
#[test]
fn singular_blocks_count_in_the_median() {
    let (mut f, batch) = mlp();
    // Nothing reads the second half of the first layer's outputs: in evaluation mode their scales and shifts have no curvature.
    let next = f.store.specs().iter().position(|s| s.name == "fc2.weight").unwrap();
    let inputs = f.store.specs()[next].shape[1];
    let weights = f.store.values[next].make_mut();
    (0..weights.len()).filter(|i| i % inputs >= inputs / 2).for_each(|i| weights[i] = 0.0);
    f.mode = sph_nn::Mode::Eval;
    let settings = InspectionSettings { network: None, ..InspectionSettings::default() };
    let found = inspect(&mut f, [batch], &settings, &mut |_| ()).unwrap();
    let condition = |name: &str| {
        let block = found.blocks.iter().find(|b| b.name == name).unwrap();
        block.get("condition_number").unwrap().mean
    };
    assert_eq!([condition("bn1.weight"), condition("bn1.bias")], [f64::INFINITY; 2]);
    assert!(condition("bn3.weight").is_finite());
    assert_eq!(found.spread("condition_number").unwrap().max, f64::INFINITY);
    let of = |q: &str| found.blocks.iter().filter(|b| b.get(q).is_some()).count();
    assert_eq!([of("condition_number"), of("off_diagonal_ratio")], [6, 6]);
    let json = serde_json::to_value(&found.blocks[0]).unwrap();
    assert_eq!(json["condition_number"]["mean"], "inf");
}

/// A figure whose standard error exceeds it is marked as one that is not known.
#[test]
fn figures_that_are_not_known_are_marked() {
    let flags = "inspect --model mlp --batch-size 64 --lanczos-steps 4 --top 0 --seed";
    let trace = |table: &str| -> (f64, f64, bool) {
        let line = table.lines().find(|l| l.starts_with("whole network")).unwrap();
        let (mean, error) = line.rsplit_once("trace ").unwrap().1.split_once('±').unwrap();
        let number = |s: &str| s.parse::<f64>().unwrap();
        (number(mean), number(error.trim_end_matches('?')), error.ends_with('?'))
    };
    let note = "? the figure is smaller than its standard error: take more --probes";
    let mut marked = 0;
    for seed in 0..12 {
        let table = stdout(&format!("{flags} {seed} --probes 2"));
        let (mean, error, mark) = trace(&table);
        assert!(mark == table.contains(note), "{table}");
        // As far as what is printed can tell.
        assert!(if mark { error >= mean.abs() } else { error <= mean.abs() }, "{table}");
        marked += usize::from(mark);
    }
    assert!(marked > 0, "no seed gave such a figure");
    // Over batches the blocks' figures have errors: the note stands where a mark does, and nowhere else.
    for seed in 0..6 {
        let table = stdout(
            &format!("{flags} {seed} --batches 2 --no-network").replace(" --lanczos-steps 4 --top 0", ""),
        );
        assert_eq!(table.matches('?').count() > 0, table.contains("? the figure is smaller"), "{table}");
    }
}

#[test]
fn several_batches_are_averaged_with_probes_of_their_own() {
    let (mut f, batch) = mlp();
    let network = NetworkSettings { top: 2, probes: 4, steps: 5, ..NetworkSettings::default() };
    let settings = InspectionSettings { network: Some(network), ..InspectionSettings::default() };
    let found = inspect(&mut f, [batch.clone(), batch], &settings, &mut |_| ()).unwrap();
    // The same batch twice: no spread, but for the probes'.
    let ratio = found.blocks[0].get("off_diagonal_ratio").unwrap();
    assert!(ratio.standard_error.unwrap() < 1e-12);
    let network = found.network.unwrap();
    assert!(network.trace.standard_error.unwrap() > 0.0);
    let values = &network.eigenvalues[0].values;
    assert!((values[0] / values[1] - 1.0).abs() < 1e-3);
    assert!(inspect(&mut f, [], &settings, &mut |_| ()).is_err());
}
