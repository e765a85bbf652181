//! `sph inspect` as a user meets it, and its figures against their definitions.

mod common;

use common::sph;
use serde_json::Value;
use sph::inspection::{InspectionSettings, NetworkSettings, QUANTITIES, inspect};
use sph::{Batch, Objective};
use sph_nn::models::{self, ModelConfig};
use sph_tensor::{Array, Pool, Rng, Shape};

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

/// Every tag is closed, in order; text has no stray < or &.
fn well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page.strip_prefix("<!DOCTYPE html>").unwrap();
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        assert!(!tag.contains('<'), "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().unwrap());
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
    for (i, _) in page.match_indices('&') {
        let entity = page[i..].split(';').next().unwrap();
        assert!(["&amp", "&lt", "&gt", "&quot"].contains(&entity), "{entity}");
    }
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
    let targets = (0..24).map(|_| rng.below(4) as u32).collect();
    (f, Batch { images, targets })
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
