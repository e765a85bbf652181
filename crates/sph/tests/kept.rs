//! What earlier commands left: it is kept, gone on with, or refused in one line; never mistaken for something else, never lost.

mod common;

use common::sph;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::path::Path;

#[track_caller]
fn done(flags: &str) -> String {
    let out = sph(flags).output().unwrap();
    let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{flags}: {stderr}");
    stderr
}

#[track_caller]
fn mistake(flags: &str, words: &[&str]) {
    let out = sph(flags).output().unwrap();
    let stderr = String::from_utf8_lossy(&out.stderr);
    let last = stderr.trim_end().lines().last().unwrap_or_default();
    assert_eq!(out.status.code(), Some(2), "{flags}: {stderr}");
    words.iter().for_each(|w| assert!(last.contains(w), "{flags}: no {w:?} in {stderr}"));
}

#[test]
fn a_finished_run_of_a_comparison_needs_no_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("c");
    let flags = format!("compare --model mlp --opt sgd,adam --epochs 1 --seeds 1 --runs {}", out.display());
    done(&flags);
    let run = out.join("digits-mlp-sgd-seed42");
    let settings = std::fs::read_to_string(run.join("args.toml")).unwrap();
    std::fs::remove_file(run.join("last.ckpt")).unwrap();
    let before = std::fs::read_to_string(out.join("runs.csv")).unwrap();
    let stderr = done(&flags);
    assert!(stderr.contains("2 runs, 2 of them finished already"), "{stderr}");
    assert_eq!(std::fs::read_to_string(run.join("args.toml")).unwrap(), settings);
    assert_eq!(std::fs::read_to_string(out.join("runs.csv")).unwrap(), before);
    // One that was cut and has lost its checkpoint cannot go on, and loses nothing more.
    std::fs::remove_file(run.join("result.json")).unwrap();
    mistake(&flags, &["digits-mlp-sgd-seed42", "what is left of a run"]);
    assert_eq!(std::fs::read_to_string(run.join("args.toml")).unwrap(), settings);
}

#[test]
fn a_comparison_of_adaptations_knows_its_networks() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    let train = |seed| {
        let _ = std::fs::remove_dir_all(dir.path().join("n"));
        done(&format!("train --model mlp --epochs 1 --seed {seed} --experiment n --runs {out}"));
    };
    train(1);
    let flags =
        format!("compare --checkpoint {out}/n --corrupt fog:3 --opt adam --steps 1 --seeds 1 --runs {out}/c");
    done(&flags);
    done(&flags);
    train(2);
    mistake(&flags, &["another network then"]);
    // Trials are judged by images that the network has not seen.
    let tuned = format!("{flags}2 --grid adam.lr=0.01,0.1 --tuning-trials 2");
    mistake(
        &tuned,
        &["--val-split 0.2", "was trained on some of these images; train it with --val-split 0.2"],
    );
    mistake(
        &format!("{flags}2 --grid lr=0.01,0.1 --tuning-trials 2"),
        &["nothing is to be tried", "--grid sgd.lr"],
    );
    let own = "--grid adam.val-split=0.1,0.2 --tuning-trials 2";
    mistake(&format!("{flags}2 {own}"), &["'val-split' of 'adam' cannot be tried"]);
    // As many labels as no class has are found out before anything is run.
    mistake(&format!("{flags}2 --grid labels=10,1000"), &["--labels 1000"]);
    assert!(!dir.path().join("c2").exists());
}

#[test]
fn a_run_goes_on_with_its_own_images_only() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    let data =
        |corruption: &str| done(&format!("data corrupt digits --corrupt {corruption} --output {out}/d.npz"));
    data("fog:1");
    done(&format!(
        "train --model mlp --epochs 1 --dataset npz --data-dir {out}/d.npz --experiment r --runs {out}"
    ));
    data("invert:5");
    mistake(&format!("train --resume {out}/r"), &["the images or labels of npz", "begun with"]);
    data("fog:1");
    done(&format!("train --resume {out}/r"));
}

/// Where the rate does not depend on the length, a run that was trained on ends in the bits of one that was that long from the start.
#[test]
fn a_longer_run_is_what_it_would_have_been() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    let train = |name: &str, epochs| {
        let flags = "--model mlp --sched constant --opt sph --model-ema --val-split 0.1";
        done(&format!("train {flags} --epochs {epochs} --experiment {name} --runs {out}"));
    };
    train("longer", 2);
    train("whole", 4);
    done(&format!("train --resume {out}/longer --epochs 4"));
    for file in ["last.safetensors", "best.safetensors", "last-ema.safetensors", "args.toml", "curvature.csv"]
    {
        let read = |run: &str| std::fs::read(dir.path().join(run).join(file)).unwrap();
        assert!(read("longer") == read("whole"), "{file}");
    }
    mistake(
        &format!("train --resume {out}/longer --epochs 3"),
        &["--epochs 3", "the 4 that the run has begun"],
    );
}

/// A run's best model with one tensor changed.
fn changed(from: &Path, to: &Path, tensor: &str, shape: &[usize], values: &[f32]) {
    let bytes = std::fs::read(from).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let own: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let mut tensors: Vec<(String, TensorView<'_>)> = file.iter().map(|(n, v)| (n.to_string(), v)).collect();
    let at = tensors.iter().position(|t| t.0 == tensor).unwrap();
    tensors[at].1 = TensorView::new(Dtype::F32, shape.to_vec(), &own).unwrap();
    std::fs::write(to, safetensors::serialize(tensors, metadata.metadata().clone()).unwrap()).unwrap();
}

#[test]
fn model_files_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    done(&format!("train --model mlp --epochs 1 --experiment r --runs {out}"));
    let (best, bad) = (dir.path().join("r/best.safetensors"), dir.path().join("bad.safetensors"));
    let train = format!("train --model mlp --epochs 1 --init-checkpoint {} --runs {out}", bad.display());
    changed(&best, &bad, "fc.weight", &[], &[1.0]);
    mistake(&train, &["bad.safetensors", "'fc.weight'"]);
    changed(&best, &bad, "fc.bias", &[10], &[f32::NAN; 10]);
    mistake(&train, &["bad.safetensors", "'fc.bias'", "not finite"]);
    let text = String::from_utf8_lossy(&std::fs::read(&best).unwrap()).into_owned();
    let std = text.split_once("\\\"std\\\":[").unwrap().1.split_once(']').unwrap().0.to_string();
    // As many bytes, so that the header keeps its length.
    let mut bytes = std::fs::read(&best).unwrap();
    let at = bytes.windows(std.len()).position(|w| w == std.as_bytes()).unwrap();
    bytes[at..at + std.len()].copy_from_slice(format!("{:0<1$}", "0.", std.len()).as_bytes());
    std::fs::write(&bad, bytes).unwrap();
    mistake(&format!("eval {}", bad.display()), &["bad.safetensors", "normalisation"]);
}

#[test]
fn flags_override_switches_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let (out, file) = (dir.path().display(), dir.path().join("f.toml"));
    std::fs::write(&file, "model = 'mlp'\nepochs = 1\nmodel-ema = true\nno-tensorboard = true\n").unwrap();
    let flags = format!("train -c {} --runs {out}", file.display());
    done(&format!("{flags} --experiment on"));
    done(&format!("{flags} --experiment off --model-ema=false --no-tensorboard=false"));
    let has = |run: &str, name: &str| {
        let folder = std::fs::read_dir(dir.path().join(run)).unwrap();
        folder.into_iter().any(|e| e.unwrap().file_name().to_string_lossy().starts_with(name))
    };
    assert_eq!([has("on", "last-ema"), has("on", "events")], [true, false]);
    assert_eq!([has("off", "last-ema"), has("off", "events")], [false, true]);
}

#[test]
fn a_newton_step_that_diverges_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    done(&format!("train --model mlp --epochs 1 --val-split 0.2 --experiment r --runs {out}"));
    let adapt = format!(
        "adapt --checkpoint {out}/r --opt krylov --lr 1e20 --backtrack 0 --steps 5 --trust-radius 1e20"
    );
    let out_of = sph(&adapt).output().unwrap();
    let stderr = String::from_utf8_lossy(&out_of.stderr);
    assert_eq!(out_of.status.code(), Some(3), "{stderr}");
    let last = stderr.trim_end().lines().last().unwrap();
    assert!(last.contains("is not finite at step") && last.contains("lower --lr"), "{stderr}");
    // As a trial it has lost, and is not tried again.
    let compare = format!(
        "compare --checkpoint {out}/r --opt krylov --grid krylov.lr=0.1,1e20 --grid krylov.backtrack=0 --grid krylov.trust-radius=1e20 \
         --tuning-trials 2 --steps 5 --seeds 1 --runs {out}/c"
    );
    let stderr = done(&compare);
    assert!(stderr.contains("lr=1e20") && stderr.contains("diverged"), "{stderr}");
    // Training and measuring tell it by the same exit code.
    let bad = format!("train --model mlp --epochs 1 --opt sgd --lr 1e30 --runs {out} --experiment d");
    assert_eq!(sph(&bad).output().unwrap().status.code(), Some(3));
    let bench = sph("bench --model mlp --batch-size 8 --opt sgd --lr 1e30 --steps 5").output().unwrap();
    let stderr = String::from_utf8_lossy(&bench.stderr);
    assert_eq!(bench.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("is not finite at step") && stderr.contains("lower --lr"), "{stderr}");
}
