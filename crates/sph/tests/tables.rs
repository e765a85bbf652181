//! Every file of a menu folder is registered in its table: a new probe or data set that nobody can name is a mistake.

use std::collections::BTreeSet;
use std::path::Path;

fn files(folder: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let stem = |e: std::fs::DirEntry| e.path().file_stem().unwrap().to_string_lossy().into_owned();
    std::fs::read_dir(path).unwrap().map(|e| stem(e.unwrap())).filter(|n| n != "mod").collect()
}

/// Compares a folder with names from its table; `aside` are files that serve the others.
fn check<'a>(folder: &str, rows: impl IntoIterator<Item = &'a str>, aside: &[&str]) {
    let rows: BTreeSet<String> = rows.into_iter().map(String::from).collect();
    let mut files = files(folder);
    aside.iter().for_each(|a| assert!(files.remove(*a), "{folder}/{a}.rs is gone"));
    assert_eq!(files, rows, "{folder}");
}

#[test]
fn every_menu_file_has_a_row() {
    check(
        "nn/src/norms",
        sph_nn::norms::NORMS.iter().map(|r| match r.name {
            "bn" => "batch_norm",
            "gn" => "group_norm",
            "ln" => "layer_norm",
            "in" => "instance_norm",
            "rms" => "rms_norm",
            other => other,
        }),
        &["grouped"],
    );
    check(
        "nn/src/models",
        sph_nn::models::MODELS
            .iter()
            .map(|r| r.name.trim_end_matches(char::is_numeric).trim_end_matches("_tiny")),
        &[],
    );
    let probes = sph_optim::curvature::probes::probes();
    check("optim/src/curvature/probes", probes.iter().map(|p| p.name()), &[]);
    let rectifiers = sph_optim::curvature::rectifiers::rectifiers();
    check("optim/src/curvature/rectifiers", rectifiers.iter().map(|r| r.name()), &[]);
    let schedules = sph_optim::curvature::schedules::schedules();
    check("optim/src/curvature/schedules", schedules.iter().map(|s| s.name()), &[]);
    let names: Vec<String> = sph_nn::losses::LOSSES.iter().map(|l| l.0.replace('-', "_")).collect();
    check("nn/src/losses", names.iter().map(String::as_str), &[]);
    let names: Vec<String> = sph_optim::lr::SCHEDULES.iter().map(|r| r.name.replace('-', "_")).collect();
    check("optim/src/lr", names.iter().map(String::as_str), &[]);
    check(
        "data/src/augment",
        sph_data::augment::AUGMENTATIONS
            .iter()
            .map(|r| if r.name == "erasing" { "random_erasing" } else { r.name }),
        &[],
    );
    check(
        "optim/src/presets",
        sph_optim::presets::all().into_iter().map(|r| match r.name {
            "sph" => "sph_drs",
            "adahessian" => "ada_hessian",
            other => other,
        }),
        &[],
    );
    check("data/src/corrupt", sph_data::corrupt::CORRUPTIONS.iter().map(|r| r.name), &["filter"]);
    let names: Vec<String> = sph_data::sets::DATASETS.iter().map(|r| r.name.replace('-', "_")).collect();
    let names = names.iter().map(|n| if n.starts_with("cifar") { "cifar" } else { n });
    check("data/src/sets", names, &["arrays", "labels"]);
}
