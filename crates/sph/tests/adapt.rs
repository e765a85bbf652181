//! `sph adapt` and `sph data corrupt` as a user meets them, on the digits.

mod common;
#[path = "common/outcome.rs"]
mod outcome;

use common::sph;
use outcome::{json, mistake, stdout};
use serde_json::Value;
use tempfile::TempDir;

/// A network on the digits; its folder.
fn trained(dir: &TempDir) -> String {
    let out = dir.path().display();
    stdout(&format!("train --model mlp --epochs 4 --val-split 0.1 --runs {out} --experiment r"));
    format!("{out}/r")
}

fn number(v: &Value) -> f64 {
    v.as_f64().unwrap()
}

/// What does not depend on time.
fn timeless(mut v: Value) -> Value {
    for key in ["step_seconds", "cpu_seconds", "peak_rss_mb"] {
        v.as_object_mut().unwrap().remove(key);
    }
    for key in ["before", "recalibrated", "final", "kept"] {
        assert!(v[key].as_object_mut().unwrap().remove("seconds").is_some());
    }
    let evaluations = v["evaluations"].as_array_mut().unwrap();
    evaluations.iter_mut().for_each(|e| drop(e.as_object_mut().unwrap().remove("seconds")));
    v
}

#[test]
fn second_order_steps_undo_an_inversion() {
    let dir = TempDir::new().unwrap();
    let run = trained(&dir);
    let adapt = format!(
        "adapt --checkpoint {run} --corrupt invert:5 --steps 20 --probe dense --lr 0.3 --eps 0.01 --keep last"
    );
    let (file, csv) = (dir.path().join("a.safetensors"), dir.path().join("a.csv"));
    let files = format!("--output {} --csv {}", file.display(), csv.display());
    let one = json(&format!("{adapt} --eval-at 5,10 --threads 1 {files}"));
    let steps: Vec<u64> =
        one["evaluations"].as_array().unwrap().iter().map(|e| e["steps"].as_u64().unwrap()).collect();
    assert_eq!(steps, [0, 5, 10, 20]);
    // Recalibration alone cannot, steps can; 3·2·64 scales and shifts are all that moves.
    let accuracy = |v: &Value| number(&v["accuracy"]);
    let gain = [&one["before"], &one["recalibrated"], &one["final"]].map(accuracy);
    assert!(gain[0] < 0.3 && gain[1] < 0.3 && gain[2] > 0.8, "{gain:?}");
    assert_eq!(
        (&one["trained_parameters"], &one["second_order_blocks"]),
        (&Value::from(384), &Value::from(6))
    );
    assert_eq!(one["train_loss"].as_array().unwrap().len(), 20);
    assert!(number(&one["train_loss"][19]) < 0.7 * number(&one["train_loss"][0]));
    // The same bits on other threads, and however often it is evaluated on the way.
    let two = json(&format!("{adapt} --threads 3"));
    assert_eq!((&two["train_loss"], &two["final"]["loss"]), (&one["train_loss"], &one["final"]["loss"]));
    let again = json(&format!("{adapt} --eval-at 5,10 --threads 2"));
    assert_eq!(timeless(one.clone()), timeless(again));
    // The file holds what was measured, and the corrupted copy is what was adapted to.
    let npz = dir.path().join("i.npz");
    stdout(&format!("data corrupt digits --corrupt invert:5 --output {}", npz.display()));
    let eval = json(&format!("eval {} --dataset npz --data-dir {}", file.display(), npz.display()));
    assert!((number(&eval["loss"]) - number(&one["final"]["loss"])).abs() < 1e-5, "{eval}");
    let rows = std::fs::read_to_string(&csv).unwrap();
    assert_eq!(rows.lines().count(), 1 + 2 + 20);
    assert!(
        rows.lines().nth(12).unwrap().starts_with("10,") && !rows.lines().nth(12).unwrap().ends_with(',')
    );
}

#[test]
fn a_step_that_raises_the_loss_is_halved() {
    let dir = TempDir::new().unwrap();
    let run = trained(&dir);
    // All images in one batch, at a rate far too large: its loss is what the next step begins with.
    let adapt = format!(
        "adapt --checkpoint {run} --corrupt invert:5 --labels 5 --steps 6 --opt sgd --lr 1000 --momentum 0 --keep last"
    );
    let losses = |flags: &str| -> Vec<f64> {
        let found = json(&format!("{adapt} {flags}"));
        found["train_loss"].as_array().unwrap().iter().map(number).collect()
    };
    let falls = |losses: &[f64]| losses.windows(2).all(|w| w[1] <= w[0]);
    let (free, watched) = (losses("--backtrack 0"), losses("--backtrack 32"));
    assert!(!falls(&free), "{free:?}");
    assert!(falls(&watched) && watched[5] < watched[0], "{watched:?}");
}

#[test]
fn averaging_changes_what_is_evaluated_and_not_the_steps() {
    let dir = TempDir::new().unwrap();
    let run = trained(&dir);
    let adapt = format!(
        "adapt --checkpoint {run} --corrupt invert:5 --labels 5 --steps 6 --eval-at 1 --opt krylov --keep last"
    );
    let file = dir.path().join("mean.safetensors");
    let last = json(&format!("{adapt} --average-steps=false"));
    let mean = json(&format!("{adapt} --output {}", file.display()));
    assert_eq!(mean["settings"]["average-steps"], true, "krylov's default");
    assert_eq!(mean["train_loss"], last["train_loss"]);
    let loss = |found: &Value, i: usize| number(&found["evaluations"][i]["loss"]);
    // The first evaluation is of no step; of one step the mean is the point.
    assert_eq!(loss(&mean, 1), loss(&last, 1));
    assert!(loss(&mean, 2) != loss(&last, 2));
    // What is written is what was evaluated.
    let again = json(&format!("adapt --checkpoint {} --corrupt invert:5 --steps 1", file.display()));
    assert_eq!(number(&again["before"]["loss"]), number(&mean["final"]["loss"]));
}

/// Steps that fit a few labelled images and nothing else are not kept: held-out labels say so, and no test image.
#[test]
fn the_best_point_by_held_out_labels_is_kept() {
    let dir = TempDir::new().unwrap();
    let run = trained(&dir);
    let (adapt, file) =
        (format!("adapt --checkpoint {run} --labels 10 --opt sgd"), dir.path().join("a.safetensors"));
    // Without a corruption the network as it was is best, and a rate like this spoils it. Under a corruption steps help.
    for (flags, point) in [
        ("--lr 1000 --momentum 0 --steps 6 --eval-at 2", "before"),
        ("--corrupt invert:5 --lr 1 --steps 20", "adapted"),
    ] {
        let found = json(&format!("{adapt} {flags} --output {}", file.display()));
        let points: Vec<&Value> =
            std::iter::once(&found["before"]).chain(found["evaluations"].as_array().unwrap()).collect();
        let loss = |p: &&&Value| number(&p["held_out"]["loss"]);
        let best = points.iter().min_by(|a, b| loss(a).total_cmp(&loss(b))).unwrap();
        assert_eq!((&found["kept"], &found["kept_point"]), (*best, &Value::from(point)), "{flags}: {found}");
        assert_eq!(
            (&found["adaptation_images"], &found["held_out_images"]),
            (&Value::from(80), &Value::from(20))
        );
        // The file holds it.
        let corrupt = flags.find("invert").map_or("", |_| "--corrupt invert:5");
        let again = json(&format!("adapt --checkpoint {} {corrupt} --steps 1", file.display()));
        assert_eq!(again["before"]["loss"], found["kept"]["loss"], "{flags}");
        let table = stdout(&format!("{adapt} {flags}"));
        assert!(table.lines().any(|l| l.starts_with(point) && l.ends_with("kept")), "{table}");
        assert!(table.contains("held-out loss") && table.contains("20 held-out labelled images"), "{table}");
        let last = json(&format!("{adapt} {flags} --keep last"));
        assert_eq!((&last["kept"], &last["held_out_images"]), (&last["final"], &Value::from(0)));
        assert!(last["final"]["held_out"].is_null());
    }
    let few = sph(&format!("adapt --checkpoint {run} --labels 1 --steps 1 --json")).output().unwrap();
    assert!(String::from_utf8_lossy(&few.stderr).contains("raise --labels or --keep-split"));
    assert_eq!(serde_json::from_slice::<Value>(&few.stdout).unwrap()["kept"]["steps"], 1);
}

#[test]
fn krylov_takes_curvature_from_a_quarter_and_8_to_32_images() {
    let dir = TempDir::new().unwrap();
    let adapt = format!("adapt --checkpoint {} --corrupt fog:3 --steps 1 --opt krylov", trained(&dir));
    for (flags, images) in [
        ("--batch-size 2", 2),
        ("--batch-size 16", 8),
        ("--batch-size 64", 16),
        ("", 32),
        ("--batch-size 512", 32),
        // Ten images are all there are.
        ("--labels 1", 8),
        ("--labels 1 --batch-size 512", 8),
        ("--labels 1 --curvature-batch 0.3", 3),
    ] {
        assert_eq!(json(&format!("{adapt} {flags}"))["curvature_images"], images, "{flags}");
    }
    let adam = json(&adapt.replace("krylov", "adam"));
    assert_eq!(adam["curvature_images"], Value::Null);
}

#[test]
fn every_optimizer_and_loss_adapts() {
    let dir = TempDir::new().unwrap();
    let run = trained(&dir);
    let adapt =
        format!("adapt --checkpoint {run} --corrupt contrast:5 --steps 8 --batch-size 400 --keep last");
    for opt in [
        "sph",
        "sph --probe ones --curvature-schedule cyclic",
        "sph --probe dense --lr 0.3",
        "krylov --krylov-size 6",
        "sph --first-order adamw --trainable 1d,head --second-order norm",
        "adam",
        "adamw",
        "adahessian",
        "sgd",
    ] {
        let labelled = json(&format!("{adapt} --labels 5 --opt {opt} --eval-on validation"));
        assert_eq!(
            (&labelled["adaptation_images"], &labelled["batch_size"]),
            (&Value::from(50), &Value::from(50))
        );
        let free = json(&format!("{adapt} --loss entropy --adapt-on test --opt {opt}"));
        for (found, images) in [(&labelled, 144), (&free, 360)] {
            let loss = |i: usize| number(&found["train_loss"][i]);
            assert!(loss(7) < loss(0), "{opt}: {} {}", loss(0), loss(7));
            assert_eq!(found["evaluation_images"], images);
        }
    }
    // Fewer images to evaluate on: another figure, the same steps.
    let few = json(&format!("{adapt} --labels 5 --eval-images 50"));
    let all = json(&format!("{adapt} --labels 5 --eval-images 5000"));
    assert_eq!((&few["evaluation_images"], &all["evaluation_images"]), (&Value::from(50), &Value::from(360)));
    assert_eq!(few["train_loss"], all["train_loss"]);
    let table = stdout(&format!("{adapt} --eval-at 4"));
    assert!(table.contains("before") && table.lines().count() == 6, "{table}");
}

/// What a network was trained on is known by the files and by what is in them.
#[test]
fn images_that_a_network_was_trained_on_do_not_judge_it() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().display();
    let data = |name: &str| format!("--dataset npz --data-dir {out}/{name}");
    stdout(&format!("data corrupt digits --corrupt brightness:1 --output {out}/a.npz"));
    std::fs::copy(dir.path().join("a.npz"), dir.path().join("b.npz")).unwrap();
    let train = format!("train --model mlp --epochs 1 --val-split 0.1 --runs {out} --experiment r");
    stdout(&format!("{train} {}", data("a.npz")));
    let adapt = format!("adapt --checkpoint {out}/r --eval-on validation --steps 1");
    for same in ["", &data("a.npz"), &data("./a.npz"), &data("b.npz")] {
        mistake(&format!("{adapt} --val-split 0.2 {same}"), &["trained on some of these images", "0.1"]);
        stdout(&format!("{adapt} --val-split 0.1 {same}"));
    }
    stdout(&format!("data corrupt digits --corrupt brightness:2 --output {out}/b.npz"));
    stdout(&format!("{adapt} --val-split 0.2 {}", data("b.npz")));
    // The file itself, under another spelling, though something else is in it now.
    stdout(&format!("data corrupt digits --corrupt brightness:3 --output {out}/a.npz"));
    mistake(&format!("{adapt} --val-split 0.2 {}", data("./a.npz")), &["trained on some of these images"]);
}

#[test]
fn mistakes_are_named() {
    let dir = TempDir::new().unwrap();
    let run = trained(&dir);
    let adapt = format!("adapt --checkpoint {run}");
    for (flags, words) in [
        ("--corrupt fog", &["must be NAME:SEVERITY"][..]),
        ("--corrupt fog:6", &["1 to 5"]),
        ("--corrupt rain:1", &["rain", "gaussian_noise"]),
        ("--steps 5 --eval-at 6", &["--eval-at 6", "--steps 5"]),
        ("--loss entropy --labels 3", &["--labels"]),
        ("--adapt-on test", &["--loss entropy"]),
        ("--keep last --keep-split 0.3", &["--keep-split needs --keep best"]),
        ("--loss entropy --keep-split 0.3", &["--keep-split", "labelled"]),
        ("--labels 1000", &["--labels 1000", "class '0'"]),
        ("--opt kfac", &["kfac"]),
        ("--opt adam --krylov-size 3", &["--krylov-size", "--opt krylov"]),
        ("--curvature-schedule joint --probe dense", &["joint"]),
        ("--eval-on validation --val-split 0", &["--val-split"]),
        ("--csv no/where.csv", &["no/where.csv"]),
        ("--corrupt-seed 7", &["--corrupt-seed needs --corrupt"]),
        ("--first-order drs", &["--first-order drs", "--trainable"]),
        ("--batch-size 1", &["bn1", "more images in a batch"]),
    ] {
        mistake(&format!("{adapt} {flags}"), words);
    }
    let out = dir.path().display();
    mistake(&format!("{adapt} --csv {out}/x --output {out}/./x"), &["two outputs"]);
    mistake(&format!("data corrupt digits --corrupt fog:1 --output {out}/x.npz --images 3"), &["--sheet"]);
    mistake("data corrupt digits", &["--output", "--sheet"]);
    mistake(&format!("data corrupt digits --output {out}/x.npz"), &["--corrupt"]);
    mistake(&format!("data corrupt digits --corrupt fog:1 --output {out}/x.zip"), &[".npz"]);
    mistake(&format!("data corrupt digits --sheet {out}/x.jpg"), &[".png or .html"]);
    let sheet = dir.path().join("s.png");
    stdout(&format!("data corrupt digits --sheet {} --images 3", sheet.display()));
    // 16 corruptions below each other; three images with five severities beside them, 8 pixels sevenfold.
    assert_eq!(image::image_dimensions(&sheet).unwrap(), (18 * 58 + 2, 16 * 58 + 2));
}
