//! Networks that answer numbers instead of classes, from the command line: what is trained, said and kept.

mod common;
#[path = "common/outcome.rs"]
mod outcome;

use outcome::{json, mistake, stdout};
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

/// 120 samples of four features, with two numbers to answer, and the sign of the first as a probability.
fn data(dir: &Path) -> String {
    use safetensors::tensor::{Dtype, TensorView};
    let (n, mut x, mut y, mut sign) = (120, Vec::new(), Vec::new(), Vec::new());
    for i in 0..n {
        let f = |j: usize| ((i * (7 + 2 * j) + 3 * j) % 11) as f32 / 5.0 - 1.0;
        let (a, b) = (f(0) * f(1) + f(2), 2.0 * f(3) - f(0));
        x.extend((0..4).flat_map(|j| f(j).to_le_bytes()));
        y.extend([a, b].iter().flat_map(|v| v.to_le_bytes()));
        sign.extend(f32::from(u8::from(a > 0.0)).to_le_bytes());
    }
    for (name, y, shape) in [("numbers", &y, vec![n, 2]), ("signs", &sign, vec![n])] {
        let views = [("x", vec![n, 4], &x), ("y", shape, y)];
        let views =
            views.map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape, bytes).unwrap()));
        std::fs::write(dir.join(format!("{name}.safetensors")), safetensors::serialize(views, None).unwrap())
            .unwrap();
    }
    format!("--dataset safetensors --data-dir {}/numbers.safetensors --test-fraction 0.25", dir.display())
}

#[test]
fn a_regression_is_trained_chosen_and_shown_by_its_loss() {
    let dir = TempDir::new().unwrap();
    let (out, data) = (dir.path().display(), data(dir.path()));
    let train = format!(
        "train --model mlp --loss mse {data} --epochs 6 --batch-size 16 --val-split 0.2 --model-ema --runs {out}"
    );
    let said = json(&format!("{train} --threads 1 --experiment a"));
    assert_eq!((&said["loss"], &said["test_accuracy"]), (&"mse".into(), &Value::Null));
    let [best, last] = ["test_loss", "final_test_loss"].map(|name| said[name].as_f64().unwrap());
    assert!(best < 2.0 && last.is_finite() && said["final_ema_test_loss"].is_f64(), "{said}");
    // The best epoch is that with the lowest loss on held-out samples.
    let summary = std::fs::read_to_string(dir.path().join("a/summary.csv")).unwrap();
    let rows: Vec<Vec<&str>> = summary.lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| rows[0].iter().position(|head| *head == name).unwrap();
    let of = |name: &str| rows[1..].iter().map(|row| row[column(name)]).collect::<Vec<_>>();
    let losses: Vec<f64> = of("val_loss").iter().map(|v| v.parse().unwrap()).collect();
    let lowest = losses.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
    assert_eq!(said["best_epoch"], lowest + 1);
    assert!(losses[5] < losses[0], "{losses:?}");
    for accuracy in ["train_accuracy", "val_accuracy", "test_accuracy", "ema_test_accuracy"] {
        assert!(of(accuracy).iter().all(|v| v.is_empty()), "{accuracy}");
    }
    // Two threads, the same bits; and on from its second epoch.
    json(&format!("{train} --threads 2 --experiment b"));
    json(&format!("{} --experiment c", train.replace("--epochs 6", "--epochs 2 --sched constant")));
    json(&format!("{train} --sched constant --experiment d"));
    json(&format!("train --resume {out}/c --epochs 6"));
    let model = |run: &str| std::fs::read(dir.path().join(run).join("last.safetensors")).unwrap();
    assert!(model("a") == model("b") && model("c") == model("d") && model("a") != model("c"));
    // What others make of the run.
    let found = json(&format!("eval {out}/a"));
    assert!((found["loss"].as_f64().unwrap() - best).abs() < 1e-6, "{found} {best}");
    assert!(found.get("accuracy").is_none() && found.get("classes").is_none(), "{found}");
    assert_eq!(found["loss_name"], "mse");
    let alone = json(&format!("eval {out}/a/best.safetensors {data}"));
    assert_eq!(alone["loss"], found["loss"]);
    // Another loss is one of these numbers, too; they are no probabilities.
    mistake(&format!("eval {out}/a --loss bce"), &["is not in [0, 1]"]);
    for text in [
        stdout(&format!("eval {out}/a")),
        std::fs::read_to_string(dir.path().join("a/report.html")).unwrap(),
        stdout(&format!("{} --experiment e", train.replace("--epochs 6", "--epochs 1"))),
    ] {
        assert!(
            text.contains("loss") && !text.contains("acc ") && !text.to_lowercase().contains("accuracy"),
            "{text}"
        );
    }
    let seen = json(&format!("inspect --checkpoint {out}/a --batch-size 32 --no-network"));
    let block = &seen["blocks"][0];
    assert!(block["fisher_trace"]["mean"].as_f64().unwrap() > 0.0, "{seen}");
    mistake(&format!("predict {out}/a {out}/numbers.safetensors"), &["--loss mse", "classes"]);
    mistake(&format!("adapt --checkpoint {out}/a --steps 1"), &["classes"]);
    let stopped = json(&format!("{train} --epochs 40 --patience 2 --lr 1e-9 --opt sgd --experiment f"));
    assert!(stopped["stopped_early"].is_boolean(), "{stopped}");
}

#[test]
fn a_comparison_of_regressions_goes_by_the_loss() {
    let dir = TempDir::new().unwrap();
    let (out, data) = (dir.path().display(), data(dir.path()));
    let flags = format!(
        "compare --model mlp --opt sgd,sph --grid sgd.lr=0.001,0.05 --loss mse --batch-size 16 --seeds 2 --epochs 3 --runs {out}/c {data}"
    );
    let said = stdout(&flags);
    assert!(said.contains("final test loss") && !said.contains("acc"), "{said}");
    let read = |name: &str| std::fs::read_to_string(dir.path().join("c").join(name)).unwrap();
    let runs = read("runs.csv");
    let rows: Vec<Vec<&str>> = runs.lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| rows[0].iter().position(|head| *head == name).unwrap();
    assert!(!runs.lines().next().unwrap().contains("accuracy"), "{runs}");
    let mean = |label: &str| {
        let of = rows[1..].iter().filter(|row| row[column("optimizer")] == label);
        let all: Vec<f64> = of.map(|row| row[column("final_test_loss")].parse().unwrap()).collect();
        assert_eq!(all.len(), 2, "{label}: {runs}");
        all.iter().sum::<f64>() / 2.0
    };
    // The baseline is the one with the lower loss, and that is the target.
    let best = if mean("sgd lr=0.001") < mean("sgd lr=0.05") { "sgd lr=0.001" } else { "sgd lr=0.05" };
    let target = format!("target: {:.4} test loss, where {best} ends on average", mean(best));
    assert!(said.contains(&target), "no {target:?} in {said}");
    let page = read("report.html");
    assert!(page.contains("test loss is the target") && !page.to_lowercase().contains("accuracy"), "{page}");
    // Trials are chosen by the loss on held-out samples.
    let tuned = stdout(
        &flags
            .replace("--grid sgd.lr=0.001,0.05", "--grid sgd.lr=0.001,0.05 --tuning-trials 2")
            .replace("/c ", "/t "),
    );
    assert!(tuned.contains("held-out loss") && !tuned.contains("acc"), "{tuned}");
}

#[test]
fn probabilities_are_answers_too() {
    let dir = TempDir::new().unwrap();
    let (out, data) = (dir.path().display(), data(dir.path()).replace("numbers", "signs"));
    let said = json(&format!(
        "train --model mlp --loss bce {data} --epochs 6 --batch-size 16 --runs {out} --experiment a"
    ));
    assert!(said["test_loss"].as_f64().unwrap() < 0.69 && said["chosen_on"] == "test", "{said}");
}

#[test]
fn what_makes_no_sense_is_one_line() {
    let dir = TempDir::new().unwrap();
    let (out, data) = (dir.path().display(), data(dir.path()));
    let train = format!("train --model mlp --runs {out} --epochs 1 --batch-size 16");
    mistake(&format!("{train} --loss mse --smoothing 0.1 {data}"), &["--smoothing 0.1", "cross-entropy"]);
    mistake(&format!("{train} --loss mse"), &["--dataset digits", "npz and safetensors"]);
    mistake(&format!("{train} --loss mse --mixup 0.5 {data}"), &["mixup", "leave it out"]);
    mistake(&format!("{train} --loss mse --labels 10 {data}"), &["--labels 10", "per class"]);
    mistake(&format!("{train} --loss mse --opt kfac {data}"), &["kfac", "Fisher"]);
    mistake(&format!("{train} --loss bce {data}"), &["is not in [0, 1]"]);
    mistake(&format!("{train} {data}"), &["'y'", "label"]);
    mistake(&format!("{train} --loss graph"), &["a single number"]);
    mistake(&format!("{train} --loss entropy"), &["--loss", "mse"]);
    mistake(&format!("adapt --checkpoint {out} --loss mse"), &["--loss", "entropy"]);
}
