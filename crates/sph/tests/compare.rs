//! `sph compare`: its runs are those of `sph train`, what is finished is kept, what was cut goes on, and a run that fails is
//! named and costs no other.

mod common;

use common::sph;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

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
            "compare --model mlp --opt sgd,sph --grid sgd.lr=0.05,0.1 --epochs 2 --hflip 0.5 --seeds {seeds} --jobs 2 --runs {}",
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
        "train --model mlp --opt sgd --lr 0.1 --epochs 2 --hflip 0.5 --seed 43 --json --experiment s --runs {}",
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
fn settings_are_chosen_on_held_out_images_and_the_choice_is_run() {
    let dir = tempfile::tempdir().unwrap();
    let (out, file) = (dir.path().join("c"), dir.path().join("c.toml"));
    // Of sgd's rates one diverges, and one learns next to nothing.
    let text = "model = 'mlp'\nepochs = 2\nseeds = 2\nbatch-size = [64, 256]\n[tuning]\ntrials = 3\nepochs = 5\nval-split = 0.25\n\
                budget-cpu-hours = 5\n[[optimizer]]\nopt = 'sgd'\nlr = [1e-5, 0.1, 1e30]\n[[optimizer]]\nopt = 'adamw'\nlr = { log = \
                [0.001, 0.1] }\n";
    std::fs::write(&file, text).unwrap();
    let flags = format!("compare -c {} --jobs 2 --runs {}", file.display(), out.display());
    let (code, stderr) = run(&flags);
    assert_eq!(code, Some(0), "{stderr}");
    let trials = rows(&out.join("trials.csv"));
    assert_eq!(trials.len(), 12);
    let number = |text: &str| text.parse::<f64>().unwrap();
    for batch in ["64", "256"] {
        for optimizer in ["sgd", "adamw"] {
            let of = |r: &&BTreeMap<String, String>| r["optimizer"] == optimizer && r["batch-size"] == batch;
            let own: Vec<_> = trials.iter().filter(of).collect();
            // What the trials' own files say.
            let held_out = |lr: &str| -> f64 {
                let name = format!("trials/digits-mlp-{optimizer}_batch-size={batch}_lr={lr}-seed0");
                let args = std::fs::read_to_string(out.join(&name).join("args.toml")).unwrap();
                assert!(args.contains("val-split = 0.25") && args.contains("epochs = 5\n"), "{args}");
                // The rate that diverges has no epoch behind it.
                let summary = out.join(name).join("summary.csv");
                if !summary.exists() {
                    return -1.0;
                }
                number(&rows(&summary).last().unwrap()["val_accuracy"])
            };
            let best = own.iter().max_by(|a, b| held_out(&a["lr"]).total_cmp(&held_out(&b["lr"]))).unwrap();
            assert!(own.iter().all(|r| r["chosen"] == (r["lr"] == best["lr"]).to_string()), "{own:?}");
            for r in own.iter().filter(|r| r["state"] == "finished") {
                assert_eq!(number(&r["validation_accuracy"]), held_out(&r["lr"]));
            }
            let diverged = own.iter().filter(|r| r["state"] == "diverged").map(|r| number(&r["lr"]));
            assert_eq!(diverged.collect::<Vec<_>>(), if optimizer == "sgd" { vec![1e30] } else { vec![] });
            // The choice alone is run, with the comparison's epochs and on all training images.
            let runs = rows(&out.join("runs.csv"));
            let runs: Vec<_> = runs.iter().filter(of_label(optimizer, batch)).collect();
            assert_eq!(runs.len(), 2, "{runs:?}");
            for r in runs {
                assert_eq!((&r["lr"], &*r["epochs"]), (&best["lr"], "2"));
                assert!(r["best_test_accuracy"].is_empty() && number(&r["final_test_accuracy"]) > 0.1);
                let args = std::fs::read_to_string(out.join(&r["run"]).join("args.toml")).unwrap();
                assert!(args.contains("val-split = 0.0"), "{args}");
            }
        }
    }
    // Differences from the baseline: each seed against the same seed.
    let runs = rows(&out.join("runs.csv"));
    let accuracy = |optimizer: &str, seed: &str| {
        let of = |r: &&BTreeMap<String, String>| of_label(optimizer, "64")(r) && r["seed"] == seed;
        number(&runs.iter().find(of).unwrap()["final_test_accuracy"])
    };
    let d = ["42", "43"].map(|seed| accuracy("adamw", seed) - accuracy("sgd", seed));
    let configurations = rows(&out.join("configurations.csv"));
    let row = configurations.iter().find(of_label("adamw", "64")).unwrap();
    assert!((number(&row["difference_mean"]) - (d[0] + d[1]) / 2.0).abs() < 1e-6, "{row:?}");
    // Two seeds are too few for an interval.
    assert_eq!((&*row["difference_low"], &*row["difference_high"], &*row["difference_count"]), ("", "", "2"));
    let table = std::fs::read_to_string(out.join("table.txt")).unwrap();
    assert!(table.contains("batch-size=256") && table.contains("final acc − baseline [95 %]"), "{table}");
    assert!(table.contains(" (2 seeds: too few)"), "{table}");
    assert!(table.contains("3, 1 diverged") && !table.contains("best test acc"), "{table}");
    // Fewer trials are the first ones; what is finished stays.
    let (code, stderr) = run(&format!("{flags} --tuning-trials 2"));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("8 trials, 8 of them finished already"), "{stderr}");
    let fewer = rows(&out.join("trials.csv"));
    assert_eq!(fewer.len(), 8);
    let lr = |rows: &[BTreeMap<String, String>]| -> Vec<String> {
        let first = rows.iter().filter(|r| number(&r["trial"]) < 3.0);
        first.map(|r| r["lr"].clone()).collect()
    };
    assert_eq!(lr(&fewer), lr(&trials));
    // Nothing fits into next to nothing; the trials are kept.
    let kept = std::fs::read(out.join("trials.csv")).unwrap();
    let (code, stderr) = run(&format!("{flags} --tuning-budget-cpu-hours 1e-9"));
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("budget-cpu-hours = 0.000000001: one trial of each"), "{stderr}");
    assert!(std::fs::read(out.join("trials.csv")).unwrap() == kept);
}

/// Rows of an optimizer, whose label says more than its name, for a batch size.
fn of_label<'a>(optimizer: &'a str, batch: &'a str) -> impl Fn(&&BTreeMap<String, String>) -> bool + 'a {
    move |r| r["optimizer"].starts_with(optimizer) && r["batch-size"] == batch
}

#[test]
fn a_comparison_that_was_killed_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let flags = |name: &str| {
        let out = dir.path().join(name);
        format!(
            "compare --model mlp --opt sgd --epochs 60 --batch-size 32 --seeds 7, --runs {}",
            out.display()
        )
    };
    let run_of = |name: &str| dir.path().join(name).join("digits-mlp-sgd-seed7");
    let program = assert_cmd::cargo::cargo_bin("sph");
    let cut = flags("cut");
    let mut killed = std::process::Command::new(program)
        .args(cut.split_whitespace())
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .spawn()
        .unwrap();
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
    let epochs = || std::fs::read_to_string(run_of("cut").join("summary.csv")).unwrap();
    let before = epochs();
    for name in ["cut", "whole"] {
        let (code, stderr) = run(&flags(name));
        assert_eq!(code, Some(0), "{stderr}");
    }
    let state = |name: &str| std::fs::read(run_of(name).join("last.safetensors")).unwrap();
    assert!(state("cut") == state("whole"));
    // The times in its rows are those of before: it was not begun again.
    assert!(before.lines().count() > 1 && epochs().starts_with(&before));
}

#[test]
fn a_failed_run_is_named_and_the_others_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("c");
    let flags = format!(
        "compare --model mlp --opt sgd,adamw --grid sgd.lr=1e30 --epochs 1 --seeds 1 --runs {}",
        out.display()
    );
    let (code, stderr) = run(&flags);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("failed: digits-mlp-sgd-seed42: ") && stderr.contains("not finite"), "{stderr}");
    let runs = rows(&out.join("runs.csv"));
    assert_eq!(runs.iter().map(|r| &*r["optimizer"]).collect::<Vec<_>>(), ["adamw"]);
    // It is no trial: it is tried again.
    let (code, stderr) = run(&flags);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("2 runs, 1 of them finished already"), "{stderr}");
    assert!(stderr.contains("failed: digits-mlp-sgd-seed42: "), "{stderr}");
}

/// An optimizer whose trials all diverged has nothing to run, be there others or not.
#[test]
fn what_has_nothing_to_run_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().display();
    let train = format!("train --model mlp --epochs 1 --val-split 0.2 --experiment r --runs {folder}");
    assert_eq!(run(&train).0, Some(0));
    let common = format!("compare --checkpoint {folder}/r --corrupt fog:2 --seeds 1 --tuning-trials 2");
    let some =
        format!("{common} --steps 2 --opt adam,sgd --grid adam.lr=1e30,2e30 --lr 1e-3 --runs {folder}/some");
    let all = format!("{common} --steps 2 --opt adam,sgd --grid lr=log:1e30,1e31 --runs {folder}/all");
    let line = |optimizer: &str, tried: &str| {
        format!(
            "nothing to run of {optimizer}, {folder}/r under fog:2: all its 2 trials diverged; narrow or lower what is tried, {tried}\n"
        )
    };
    // The same again when nothing is left to do.
    for _ in 0..2 {
        let (code, stderr) = run(&some);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.ends_with(&line("adam", "lr 1e30, 2e30")), "{stderr}");
        assert!(stderr.contains("1 run, ") && !stderr.contains("nothing to run of sgd"), "{stderr}");
        let out = sph(&all).output().unwrap();
        let (stdout, stderr) =
            (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap());
        assert_eq!(out.status.code(), Some(1), "{stderr}");
        let range = "lr 1000000000000000000000000000000 to 10000000000000000000000000000000 (log)";
        assert!(stderr.ends_with(&(line("adam", range) + &line("sgd", range))), "{stderr}");
        assert!(!stderr.contains("0 runs"), "{stderr}");
        // What was tried stands there; an empty table does not.
        assert_eq!(stdout.matches("2, 2 diverged").count(), 2, "{stdout}");
        assert!(!stdout.contains("final test acc"), "{stdout}");
    }
    let written = std::fs::read_to_string(dir.path().join("all/runs.csv")).unwrap();
    assert!(
        written.starts_with("run,corrupt,checkpoint,optimizer,seed") && written.lines().count() == 1,
        "{written}"
    );
    // What is remembered is so of these settings alone.
    let (code, stderr) = run(&all.replace("--steps 2", "--steps 3"));
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("'steps' is 2 there and 3 here"), "{stderr}");
}

/// A trial that diverged has lost, once and for all: neither the rest of the trials nor the same command tries it again.
#[test]
fn a_trial_that_diverged_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    assert_eq!(
        run(&format!("train --model mlp --epochs 1 --val-split 0.2 --experiment r --runs {out}")).0,
        Some(0)
    );
    let trainings = "model = 'mlp'\nepochs = 1\n".to_string();
    let adaptations = format!("checkpoint = '{out}/r'\nsteps = 2\n");
    for (name, common) in [("trainings", trainings), ("adaptations", adaptations)] {
        let (file, out) = (dir.path().join(format!("{name}.toml")), dir.path().join(name));
        // Of two lists in two orders, one begins with what diverges: it is tried before the budget is known.
        let text = common
            + "seeds = 1\n[tuning]\ntrials = 2\nbudget-cpu-hours = 5\n[[optimizer]]\nname = 'a'\nopt = 'adam'\nlr = [0.01, \
               1e30]\n[[optimizer]]\nname = 'b'\nopt = 'adam'\nlr = [1e30, 0.01]\n";
        std::fs::write(&file, text).unwrap();
        let flags = format!("compare -c {} --runs {}", file.display(), out.display());
        let (code, stderr) = run(&flags);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains("4 trials, 2 of them finished already"), "{stderr}");
        assert_eq!(stderr.matches(": diverged: ").count(), 2, "{stderr}");
        assert_eq!(stderr.matches("not finite").count(), 2, "{stderr}");
        let trials = std::fs::read(out.join("trials.csv")).unwrap();
        assert_eq!(String::from_utf8_lossy(&trials).matches(",diverged,").count(), 2);
        let (code, stderr) = run(&flags);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains("4 trials, 4 of them finished already"), "{stderr}");
        assert!(
            stderr.contains("2 runs, 2 of them finished already") && !stderr.contains("not finite"),
            "{stderr}"
        );
        assert!(trials == std::fs::read(out.join("trials.csv")).unwrap());
    }
}

#[test]
fn mistakes_are_found_before_anything_is_run() {
    let dir = tempfile::tempdir().unwrap();
    let (out, file) = (dir.path().join("c"), dir.path().join("c.toml"));
    let mistake = |flags: &str, words: &[&str]| {
        let (code, stderr) = run(&format!("compare {flags} --runs {}", out.display()));
        assert_eq!((code, stderr.lines().count()), (Some(2), 1), "{flags}: {stderr}");
        words.iter().for_each(|w| assert!(stderr.contains(w), "{flags}: no {w:?} in {stderr}"));
        assert!(!out.exists());
    };
    mistake("--opt sgd,spg", &["spg", "sph"]);
    mistake("--opt sgd,sph --tau 1", &["sgd, resnet8 on digits", "--tau is a setting of --opt sph"]);
    mistake("--opt sgd --grid sph.tau=1", &["--grid", "'sph' is none of the optimizers", "sgd"]);
    mistake("--grid taux=1", &["'taux' is not a setting"]);
    mistake("--grid seed=1,2", &["'seed' is not a setting"]);
    mistake("--baseline kfac", &["--baseline", "kfac", "adamw"]);
    mistake("--seeds 0", &["--seeds"]);
    mistake("--grid lr=log:1 --tuning-trials 2", &["log:1", "two numbers"]);
    mistake("--grid lr=log:0.1,x,1 --tuning-trials 2", &["log:0.1,x,1", "two numbers"]);
    mistake("--grid lr=0.1 --grid lr=0.2", &["'lr' is given twice"]);
    mistake("--grid batch-size=16 --grid batch_size=32", &["'batch-size' is given twice"]);
    mistake("--checkpoint x --grid corrupt-seed=3,4", &["--corrupt-seed needs --corrupt"]);
    mistake("--opt sgd --grid lr=log:0.1,0.2 --tuning-trials 1000", &["'sgd' has ", "1000 trials"]);
    mistake("--model mlp,vgg11", &["vgg11", "max_pool"]);
    mistake("--steps 5", &["--steps is not a setting of sph train"]);
    mistake("--corrupt fog:1", &["--checkpoint"]);
    mistake("--checkpoint nowhere.safetensors", &["nowhere.safetensors"]);
    mistake("--checkpoint x --epochs 5", &["--epochs is not a setting of sph adapt"]);
    mistake("--checkpoint x --corrupt mist:1 --opt sgd", &["there is no corruption 'mist'"]);
    mistake("--checkpoint x --grid epochs=5,6", &["'epochs' is not a setting of sph adapt"]);
    mistake("--checkpoint x --tuning-trials 2 --tuning-epochs 5", &["--tuning-epochs", "steps"]);
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
        ("lr = { log = [0.1, 1] }", vec!["'lr' of 'sgd' has a range", "[tuning]"]),
        (
            "[tuning]\ntrials = 2\n[[optimizer]]\nopt = 'sgd'\nlr = [0.1]\ntau = { log = [1, 0.1] }",
            vec!["'tau'", "empty"],
        ),
        (
            "[tuning]\ntrials = 2\n[[optimizer]]\nopt = 'sgd'\nlr = { log10 = [1, 2] }",
            vec!["c.toml", "'lr'", "{log = [A, B]}"],
        ),
        (
            "[tuning]\ntrials = 2\n[[optimizer]]\nopt = 'sgd'\nlr = { linear = [-1, 2] }",
            vec!["c.toml", "--lr", "greater than 0"],
        ),
        (
            "[tuning]\ntrials = 3\n[[optimizer]]\nopt = 'sgd'\nlr = [0.1, 0.2]",
            vec!["'sgd' has 2 combinations", "3 trials"],
        ),
        ("checkpoint = 'x'\nepochs = 3", vec!["c.toml", "'epochs'", "'steps'"]),
        ("checkpoint = 'x'\nsteps = 0", vec!["c.toml", "'steps'"]),
        ("[tuning]\ntrail = 3", vec!["c.toml", "'trail'", "'trials'"]),
        (
            "batch-size = [16, 32]\nbatch_size = 64",
            vec!["c.toml", "'batch-size' and 'batch_size' are one setting"],
        ),
        (
            "[[optimizer]]\nopt = 'sgd'\nweight-decay = 1\nweight_decay = 2",
            vec!["'weight-decay' and 'weight_decay'"],
        ),
        ("checkpoint = ['a,b/m']", vec!["c.toml", "'checkpoint'", "commas"]),
        (&*format!("[[optimizer]]\nopt = 'sgd'\nname = '{}'", "s".repeat(240)), vec!["too long", "'name'"]),
        ("[tuning]\nseed = 3", vec!["--tuning-seed", "'trials'"]),
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
    let text = "model = ['resnet8']\nseeds = [5]\nepochs = 7\nlr = 0.02\nbatch_size = [128, 256]\n[[optimizer]]\nname = 'a, b'\nopt = 'sgd'\n\
                nesterov = true\nlr = [0.05, 0.1]\n[[optimizer]]\nopt = 'adam'\n";
    std::fs::write(&file, text).unwrap();
    let flags = format!("compare -c {} --model mlp --epochs 1 --runs {}", file.display(), out.display());
    let (code, stderr) = run(&flags);
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
    assert!(text.contains("\"a, b lr=0.05\",5,128,0.05"), "{text}");
}

#[test]
fn adaptations_are_tuned_on_held_out_images_and_have_the_numbers_of_single_ones() {
    let dir = tempfile::tempdir().unwrap();
    let (out, file) = (dir.path().join("c"), dir.path().join("c.toml"));
    let network = dir.path().join("r");
    let train = format!(
        "train --model mlp --epochs 4 --val-split 0.2 --experiment r --runs {}",
        dir.path().display()
    );
    assert_eq!(run(&train).0, Some(0));
    let text = format!(
        "checkpoint = '{}'\ncorrupt = ['none', 'invert:5']\nlabels = 20\nsteps = 6\nkeep = 'last'\neval-at = [2, 4, 5]\nseeds = 2\n[tuning]\ntrials = 3\n\
         budget-cpu-hours = 1\n[[optimizer]]\nopt = 'adam'\nlr = [1e-5, 0.02, 1e30]\n[[optimizer]]\nopt = 'sph'\nprobe = 'dense'\nlr = {{ \
         log = [0.1, 1] }}\n",
        network.display()
    );
    std::fs::write(&file, &text).unwrap();
    let flags = format!("compare -c {} --jobs 2 --runs {}", file.display(), out.display());
    let (code, stderr) = run(&flags);
    assert_eq!(code, Some(0), "{stderr}");
    let trials = rows(&out.join("trials.csv"));
    assert_eq!(trials.len(), 2 * (3 + 3));
    let read = |path: &Path| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
            .unwrap()
    };
    let number = |text: &str| text.parse::<f64>().unwrap();
    for corruption in ["none", "invert:5"] {
        for optimizer in ["adam", "sph"] {
            let of =
                |r: &&BTreeMap<String, String>| r["optimizer"] == optimizer && r["corrupt"] == corruption;
            let own: Vec<_> = trials.iter().filter(of).collect();
            let held_out = |lr: &str| -> f64 {
                let folder = std::fs::read_dir(out.join("trials")).unwrap().map(|e| e.unwrap().path());
                let end = format!("-{optimizer}_lr={lr}-seed0.json");
                let begin = corruption.replace(':', "_") + "-";
                let name = |p: &std::path::PathBuf| p.file_name().unwrap().to_string_lossy().into_owned();
                let found = folder.filter(|p| name(p).starts_with(&begin) && name(p).ends_with(&end));
                // The rate that diverges leaves nothing.
                let Some(path) = found.into_iter().next() else { return f64::INFINITY };
                let record = read(&path);
                assert_eq!(record["settings"]["eval-on"], "validation");
                record["final"]["loss"].as_f64().unwrap()
            };
            let best = own.iter().min_by(|a, b| held_out(&a["lr"]).total_cmp(&held_out(&b["lr"]))).unwrap();
            assert!(own.iter().all(|r| r["chosen"] == (r["lr"] == best["lr"]).to_string()), "{own:?}");
            if optimizer == "adam" {
                let diverged =
                    |r: &&BTreeMap<String, String>| r["state"] == "diverged" && number(&r["lr"]) > 1e29;
                assert_eq!(own.iter().filter(|r| diverged(r)).count(), 1, "{own:?}");
            }
        }
    }
    let runs = rows(&out.join("runs.csv"));
    assert_eq!(runs.len(), 2 * 2 * 2);
    let row = runs
        .iter()
        .find(|r| r["corrupt"] == "invert:5" && r["optimizer"].starts_with("sph") && r["seed"] == "43")
        .unwrap();
    let lr = &row["lr"];
    let single = format!(
        "adapt --checkpoint {} --corrupt invert:5 --labels 20 --steps 6 --keep last --eval-at 5 --seed 43 --opt sph --probe dense --lr {lr} --json",
        network.display()
    );
    let single: serde_json::Value = serde_json::from_slice(&sph(&single).output().unwrap().stdout).unwrap();
    assert_eq!(number(&row["final_test_loss"]), single["final"]["loss"].as_f64().unwrap());
    assert_eq!(number(&row["accuracy_after_5"]), single["evaluations"][1]["accuracy"].as_f64().unwrap());
    assert_eq!(number(&row["accuracy_before"]), single["before"]["accuracy"].as_f64().unwrap());
    // Where a run of the baseline ends is where it ends at the latest.
    for r in runs.iter().filter(|r| r["optimizer"].starts_with("adam")) {
        assert!(number(&r["steps_to_target"]) <= 6.0, "{r:?}");
    }
    assert!(out.join("report.html").exists());
    // Nothing is carried out twice, and other settings are another comparison.
    let written = |r: &BTreeMap<String, String>| {
        std::fs::metadata(out.join(format!("{}.json", r["run"]))).unwrap().modified().unwrap()
    };
    let before: Vec<_> = runs.iter().map(written).collect();
    let (code, stderr) = run(&flags);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("8 runs, 8 of them finished already"), "{stderr}");
    assert_eq!(runs.iter().map(written).collect::<Vec<_>>(), before);
    std::fs::write(&file, text.replace("steps = 6", "steps = 7")).unwrap();
    let (code, stderr) = run(&flags);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("'steps' is 6 there and 7 here"), "{stderr}");
    // The record of an older program may lack what has its default; one with times that are none is named.
    std::fs::write(&file, &text).unwrap();
    let path = out.join(format!("{}.json", runs[0]["run"]));
    let mut record = read(&path);
    assert!(record["settings"].as_object_mut().unwrap().remove("kernel").is_some());
    std::fs::write(&path, record.to_string()).unwrap();
    let (code, stderr) = run(&flags);
    assert!(code == Some(0) && stderr.contains("8 of them finished already"), "{stderr}");
    record["step_seconds"][0] = 1e300.into();
    std::fs::write(&path, record.to_string()).unwrap();
    let (code, stderr) = run(&flags);
    assert!(code == Some(2) && stderr.contains("times of steps"), "{stderr}");
    // What a run could not do is found out before any is begun.
    let other = dir.path().join("d");
    let begun = |checkpoint: &str, flags: &str| {
        let network = network.join(checkpoint);
        run(&format!(
            "compare --checkpoint {} --opt adam {flags} --runs {}",
            network.display(),
            other.display()
        ))
    };
    let (code, stderr) = begun("", "--batch-size 1");
    assert!(code == Some(2) && stderr.contains("bn1") && stderr.lines().count() == 1, "{stderr}");
    let (code, stderr) = begun("best.safetensors", "--grid adam.lr=0.1,0.2 --tuning-trials 2");
    assert!(code == Some(2) && stderr.contains("does not tell which images"), "{stderr}");
    assert!(!other.exists());
}

/// The embedded pictures of a page, row by row, of the rows that have any; with the rows' names.
fn sheet(page: &Path) -> Vec<(String, Vec<String>)> {
    let text = std::fs::read_to_string(page).unwrap();
    let rows = text.split("<tr>").filter(|row| row.contains("<img"));
    let name = |row: &str| row.split_once("<b>").unwrap().1.split_once("</b>").unwrap().0.to_string();
    let pictures = |row: &str| {
        let all = row.split("data:image/png;base64,").skip(1);
        all.map(|p| p.split_once('"').unwrap().0.to_string()).collect()
    };
    rows.map(|row| (name(row), pictures(row))).collect()
}

#[test]
fn the_page_shows_what_the_corruptions_of_adaptations_look_like() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    let data = dir.path().join("d.npz");
    let done = |flags: &str| assert_eq!(run(flags).0, Some(0), "{flags}");
    done(&format!("data corrupt digits --corrupt invert:1 --output {}", data.display()));
    let of_npz = format!("--dataset npz --data-dir {}", data.display());
    done(&format!("train --model mlp --epochs 1 --experiment a --runs {out}"));
    done(&format!("train --model mlp --epochs 1 --experiment b {of_npz} --runs {out}"));
    let both = format!("compare --checkpoint {out}/a,{out}/b --opt adam --steps 1 --seeds 2 --runs {out}/c");
    let both = format!("{both} --corrupt none,gaussian_noise:5,invert:3 --corrupt-seed 7");
    done(&both);
    let page = dir.path().join("c/report.html");
    let rows = sheet(&page);
    let names: Vec<&str> = rows.iter().map(|r| &*r.0).collect();
    let one = ["none", "gaussian_noise:5", "invert:3"];
    assert_eq!(names, [one, one].concat());
    assert!(rows.iter().all(|r| r.1.len() == 6));
    let text = std::fs::read_to_string(&page).unwrap();
    let command = text.split("<h2>How this was made</h2>\n<pre>").nth(1).unwrap().lines().next().unwrap();
    assert!(command.starts_with("sph compare --") && command.contains(" --checkpoint="), "{command}");
    assert!(text.contains("Corruptions of digits<") && text.contains(&format!("npz ({})", data.display())));
    // They are the pictures that `sph data corrupt` makes with that seed: of each image as it was and by severity.
    for (dataset, rows) in [("digits", &rows[..3]), (&*of_npz.replace("--dataset ", ""), &rows[3..])] {
        let path = dir.path().join("s.html");
        done(&format!("data corrupt {dataset} --images 6 --seed 7 --sheet {}", path.display()));
        let all = sheet(&path);
        for (row, name, severity) in [(0, "fog", 0), (1, "gaussian_noise", 5), (2, "invert", 3)] {
            let there = &all.iter().find(|r| r.0 == name).unwrap().1;
            let there: Vec<&String> = there.iter().skip(severity).step_by(6).collect();
            assert_eq!(there, rows[row].1.iter().collect::<Vec<_>>(), "{dataset} {name}");
        }
    }
    // Without the files of one data set there is a line in the place of its sheet, and the rest of the page.
    std::fs::remove_file(&data).unwrap();
    done(&both);
    assert_eq!(sheet(&page), rows[..3]);
    let text = std::fs::read_to_string(&page).unwrap();
    let note = text.lines().find(|l| l.contains("No pictures of the corruptions")).unwrap();
    assert!(note.contains("d.npz") && text.matches("No pictures").count() == 1, "{note}");
    // Where nothing is corrupted there is nothing to see.
    let plain = [
        format!("compare --checkpoint {out}/a --opt adam --steps 1 --seeds 1 --runs {out}/plain"),
        format!("compare --model mlp --opt sgd --epochs 1 --seeds 1 --runs {out}/trainings"),
    ];
    for (flags, folder) in plain.iter().zip(["plain", "trainings"]) {
        done(flags);
        let text = std::fs::read_to_string(dir.path().join(folder).join("report.html")).unwrap();
        assert!(!text.contains("<img") && !text.contains("orruptions"), "{folder}");
    }
}
