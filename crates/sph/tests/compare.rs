//! `sph compare`: its runs are those of `sph train`, what is finished is kept, what was cut goes on, and a run that fails is
//! named and costs no other.

use assert_cmd::Command;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

fn sph(flags: &str) -> Command {
    let mut c = Command::cargo_bin("sph").unwrap();
    c.args(flags.split_whitespace());
    c
}

/// Exit code and stderr.
fn run(flags: &str) -> (Option<i32>, String) {
    let out = sph(flags).output().unwrap();
    (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
}

/// The rows of a CSV file by the names of their columns.
fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|l| l.split(',').map(String::from).collect::<Vec<_>>());
    let header = lines.next().unwrap();
    lines
        .map(|fields| {
            assert_eq!(fields.len(), header.len());
            header.iter().cloned().zip(fields).collect()
        })
        .collect()
}

#[test]
fn a_comparison_has_the_numbers_of_its_single_runs() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("c");
    let flags = |seeds: usize| {
        format!(
            "compare --model mlp --opt sgd,sph --grid sgd.lr=0.05,0.1 --epochs 2 --hflip 0.5 --seeds {seeds} --jobs 2 --output {}",
            out.display()
        )
    };
    let (code, stderr) = run(&flags(1));
    assert_eq!(code, Some(0), "{stderr}");
    let before = std::fs::metadata(out.join("digits-mlp-sph-seed42/last.ckpt")).unwrap().modified().unwrap();
    // Seeds are added; what is finished stays as it is.
    let (code, stderr) = run(&flags(2));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("6 runs, 3 of them finished already, 2 at a time"), "{stderr}");
    let after = std::fs::metadata(out.join("digits-mlp-sph-seed42/last.ckpt")).unwrap().modified().unwrap();
    assert_eq!(before, after);
    let runs = rows(&out.join("runs.csv"));
    assert_eq!(runs.len(), 6);
    let single = format!(
        "train --model mlp --opt sgd --lr 0.1 --epochs 2 --hflip 0.5 --seed 43 --json --experiment s --output {}",
        dir.path().display()
    );
    let single: serde_json::Value = serde_json::from_slice(&sph(&single).output().unwrap().stdout).unwrap();
    let name = "digits-mlp-sgd_lr=0.1-seed43";
    let row = runs.iter().find(|r| r["run"] == name).unwrap();
    assert_eq!((&*row["optimizer"], &*row["lr"], &*row["seed"]), ("sgd lr=0.1", "0.1", "43"));
    let number = |text: &str| text.parse::<f64>().unwrap();
    assert_eq!(number(&row["best_test_accuracy"]), single["test_accuracy"].as_f64().unwrap());
    assert_eq!(number(&row["final_test_loss"]), single["final_test_loss"].as_f64().unwrap());
    let state = |run: &Path| std::fs::read(run.join("last.safetensors")).unwrap();
    assert!(state(&out.join(name)) == state(&dir.path().join("s")));
    // Means and standard deviations over the two seeds.
    let configurations = rows(&out.join("configurations.csv"));
    assert_eq!(configurations.len(), 3);
    for c in &configurations {
        let of: Vec<f64> = runs
            .iter()
            .filter(|r| r["optimizer"] == c["optimizer"])
            .map(|r| number(&r["final_test_accuracy"]))
            .collect();
        let (mean, std) = ((of[0] + of[1]) / 2.0, (of[0] - of[1]).abs() / 2f64.sqrt());
        assert!((number(&c["final_test_accuracy_mean"]) - mean).abs() < 1e-12);
        assert!((number(&c["final_test_accuracy_std"]) - std).abs() < 1e-12);
    }
    // Other settings are another comparison.
    let (code, stderr) = run(&flags(2).replace("--epochs 2", "--epochs 3"));
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("'epochs' is 2 there and 3 here"), "{stderr}");
}

#[test]
fn a_comparison_that_was_killed_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let flags = |name: &str| {
        let out = dir.path().join(name);
        format!(
            "compare --model mlp --opt sgd --epochs 60 --batch-size 32 --seeds 7, --output {}",
            out.display()
        )
    };
    let run_of = |name: &str| dir.path().join(name).join("digits-mlp-sgd-seed7");
    let program = assert_cmd::cargo::cargo_bin("sph");
    let cut = flags("cut");
    let mut killed = std::process::Command::new(program).args(cut.split_whitespace()).spawn().unwrap();
    while !run_of("cut").join("summary.csv").exists() {
        assert!(killed.try_wait().unwrap().is_none(), "it was over before it could be killed");
        std::thread::sleep(Duration::from_millis(2));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    // The run finds its starter gone, saves and leaves; until then the folder is locked.
    let settings = std::fs::File::open(run_of("cut").join("args.toml")).unwrap();
    settings.lock().unwrap();
    drop(settings);
    assert!(!run_of("cut").join("result.json").exists(), "the run was over before it could be killed");
    for name in ["cut", "whole"] {
        let (code, stderr) = run(&flags(name));
        assert_eq!(code, Some(0), "{stderr}");
    }
    let state = |name: &str| std::fs::read(run_of(name).join("last.safetensors")).unwrap();
    assert!(state("cut") == state("whole"));
}

#[test]
fn a_failed_run_is_named_and_the_others_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("c");
    let flags = format!(
        "compare --model mlp --opt sgd,adamw --grid sgd.lr=1e30 --epochs 1 --seeds 1 --output {}",
        out.display()
    );
    let (code, stderr) = run(&flags);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("failed: digits-mlp-sgd-seed42: ") && stderr.contains("not finite"), "{stderr}");
    let runs = rows(&out.join("runs.csv"));
    assert_eq!(runs.iter().map(|r| &*r["optimizer"]).collect::<Vec<_>>(), ["adamw"]);
}

#[test]
fn mistakes_are_found_before_anything_is_run() {
    let dir = tempfile::tempdir().unwrap();
    let (out, file) = (dir.path().join("c"), dir.path().join("c.toml"));
    let mistake = |flags: &str, words: &[&str]| {
        let (code, stderr) = run(&format!("compare {flags} --output {}", out.display()));
        assert_eq!((code, stderr.lines().count()), (Some(2), 1), "{flags}: {stderr}");
        words.iter().for_each(|w| assert!(stderr.contains(w), "{flags}: no {w:?} in {stderr}"));
        assert!(!out.exists());
    };
    mistake("--opt sgd,spg", &["spg", "sph"]);
    mistake("--opt sgd,sph --tau 1", &["sgd on digits resnet8", "--tau is a setting of --opt sph"]);
    mistake("--opt sgd --grid sph.tau=1", &["--grid", "'sph' is none of the optimizers", "sgd"]);
    mistake("--grid taux=1", &["'taux' is not a setting"]);
    mistake("--grid seed=1,2", &["'seed' is not a setting"]);
    mistake("--baseline kfac", &["--baseline", "kfac", "adamw"]);
    mistake("--seeds 0", &["--seeds"]);
    mistake("--model mlp,vgg11", &["vgg11", "max_pool"]);
    for (text, words) in [
        ("epoch = 3", vec!["c.toml", "'epoch'", "'epochs'"]),
        ("lr = [0.1, -1]", vec!["c.toml", "'lr'", "greater than 0"]),
        ("seeds = [1, -1]", vec!["c.toml", "'seeds'"]),
        ("[[optimizer]]\nlr = 0.1", vec!["c.toml", "no 'opt'"]),
        ("[[optimizer]]\nopt = 'sgd'\nlearning = 1", vec!["c.toml", "'learning'"]),
        (
            "[[optimizer]]\nopt = 'sgd'\n[[optimizer]]\nopt = 'sgd'\nlr = 1",
            vec!["digits-resnet8-sgd-seed42", "'name'"],
        ),
        ("opt = 'sgd'\n[[optimizer]]\nopt = 'sgd'", vec!["either 'opt' or [[optimizer]]"]),
    ] {
        std::fs::write(&file, text).unwrap();
        mistake(&format!("-c {}", file.display()), &words);
    }
}

#[test]
fn a_file_says_what_is_compared_and_flags_override_it() {
    let dir = tempfile::tempdir().unwrap();
    let (out, file) = (dir.path().join("c"), dir.path().join("c.toml"));
    let text = "model = ['mlp']\nseeds = [5]\nepochs = 7\nlr = 0.02\nbatch_size = [128, 256]\n[[optimizer]]\nname = 'a, b'\nopt = 'sgd'\n\
                nesterov = true\nlr = [0.05, 0.1]\n[[optimizer]]\nopt = 'adam'\n";
    std::fs::write(&file, text).unwrap();
    let (code, stderr) = run(&format!("compare -c {} --epochs 1 --output {}", file.display(), out.display()));
    assert_eq!(code, Some(0), "{stderr}");
    let mut names: Vec<String> = std::fs::read_dir(&out)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.starts_with("digits"))
        .collect();
    names.sort();
    let expected = [
        "digits-mlp-a__b_batch-size=128_lr=0.05-seed5",
        "digits-mlp-a__b_batch-size=128_lr=0.1-seed5",
        "digits-mlp-a__b_batch-size=256_lr=0.05-seed5",
        "digits-mlp-a__b_batch-size=256_lr=0.1-seed5",
        "digits-mlp-adam_batch-size=128-seed5",
        "digits-mlp-adam_batch-size=256-seed5",
    ];
    assert_eq!(names, expected);
    let args = std::fs::read_to_string(out.join(expected[0]).join("args.toml")).unwrap();
    assert!(
        args.contains("nesterov = true") && args.contains("epochs = 1\n") && args.contains("lr = 0.05"),
        "{args}"
    );
    let text = std::fs::read_to_string(out.join("runs.csv")).unwrap();
    assert!(text.contains("\"a, b batch-size=128 lr=0.05\""), "{text}");
}
