//! A run that loses nothing: killed at random moments and begun again by `--resume auto` it ends in the same bits, and a disk that is full
//! leaves the last checkpoint whole. (Kills at every step of writing: `src/killed.rs`.)
#![cfg(unix)]

use safetensors::SafeTensors;
use sph_tensor::Rng;
use sph_train::files::{Checkpoint, ModelFile, Progress};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SETTINGS: &str = "--model mlp --epochs 16 --batch-size 100 --grad-accum-steps 2 --random-crop 1 --mixup 0.4 --val-split 0.1 \
                        --model-ema --model-ema-decay 0.9 --probe rademacher --threads 1";

fn train(output: &Path, flags: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sph"));
    command.arg("train").args(flags.split_whitespace()).arg("--runs").arg(output);
    command.current_dir(env!("CARGO_TARGET_TMPDIR")).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// All that a checkpoint holds, but the time spent.
fn contents(run: &Path) -> (Progress, BTreeMap<String, Vec<u8>>) {
    let path = run.join("last.ckpt");
    let progress = Checkpoint::read(&path).unwrap().progress;
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes[12..]).unwrap();
    let tensors = file.tensors().into_iter().map(|(name, t)| (name, t.data().to_vec())).collect();
    (Progress { seconds: 0.0, cpu_seconds: 0.0, ..progress }, tensors)
}

/// Losses and accuracies of `summary.csv`: the columns that are not times.
fn summary(run: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(run.join("summary.csv")).unwrap();
    let rows: Vec<Vec<String>> = text.lines().map(|l| l.split(',').map(String::from).collect()).collect();
    let times = ["step_ms", "images_per_s", "curvature_overhead", "seconds"];
    let kept: Vec<usize> = (0..rows[0].len()).filter(|&i| !times.contains(&&*rows[0][i])).collect();
    rows.iter().map(|row| kept.iter().map(|&i| row[i].clone()).collect()).collect()
}

#[track_caller]
fn same(cut: &Path, whole: &Path) {
    let names = |run: &Path| {
        let entries = std::fs::read_dir(run).unwrap();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        // Every process begins a file of events of its own, with a time in its name.
        let mut names: Vec<_> = names.filter(|n| !n.starts_with("events.")).collect();
        names.sort();
        names
    };
    assert_eq!(names(cut), names(whole));
    for file in names(whole)
        .iter()
        .filter(|n| n.ends_with(".safetensors") || ["args.toml", "curvature.csv"].contains(&&***n))
    {
        assert!(std::fs::read(cut.join(file)).unwrap() == std::fs::read(whole.join(file)).unwrap(), "{file}");
    }
    assert_eq!(summary(cut), summary(whole));
    assert!(contents(cut) == contents(whole), "last.ckpt");
}

/// Whatever is there can be read.
#[track_caller]
fn readable(run: &Path) {
    for entry in std::fs::read_dir(run).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if name == "last.ckpt" {
            Checkpoint::read(&path).unwrap();
        } else if name.ends_with(".safetensors") {
            ModelFile::read(&path).unwrap().info().unwrap().unwrap();
        } else if name.ends_with(".csv") {
            let text = std::fs::read_to_string(&path).unwrap();
            let columns = |l: &str| l.split(',').count();
            let width = columns(text.lines().next().unwrap());
            assert!(text.ends_with('\n') && text.lines().all(|l| columns(l) == width), "{name}");
        }
    }
}

#[test]
fn killed_at_fifty_random_moments() {
    const KILLS: usize = 50;
    let dir = tempfile::tempdir().unwrap();
    let (whole, cut) = (dir.path().join("whole"), dir.path().join("cut"));
    let start = Instant::now();
    assert!(train(dir.path(), &format!("{SETTINGS} --experiment whole")).status().unwrap().success());
    let length = start.elapsed();
    let flags = format!("{SETTINGS} --experiment cut --resume auto");
    let mut rng = Rng::new(2, "kill", 0, 0);
    let (mut done, mut went_on) = (0, 0);
    let reached =
        || Checkpoint::read(&cut.join("last.ckpt")).map_or((0, 0), |c| (c.progress.epoch, c.progress.step));
    while done < KILLS {
        let before = reached();
        let mut child = train(dir.path(), &flags).spawn().unwrap();
        // From the first steps of the program on; often enough that a run is begun again several times.
        std::thread::sleep(Duration::from_secs_f64(0.7 * rng.uniform() * length.as_secs_f64()));
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            done += 1;
        }
        let out = child.wait_with_output().unwrap();
        readable(&cut);
        assert!(reached() >= before, "begun again, after {before:?}");
        went_on += usize::from(before.0 > 0 && reached() > before);
        let finished = out.status.success();
        if finished || done == KILLS {
            if !finished {
                assert!(train(dir.path(), &flags).status().unwrap().success());
            }
            same(&cut, &whole);
            std::fs::remove_dir_all(&cut).unwrap();
        } else {
            assert_eq!(out.status.code(), None, "{}", String::from_utf8_lossy(&out.stderr));
        }
    }
    assert!(went_on > 0, "no run got further than the one before it");
}

/// The system refuses to let a file grow beyond a size that the first checkpoint has not and the next one would have.
#[test]
fn a_full_disk_leaves_the_last_checkpoint_whole() {
    let dir = tempfile::tempdir().unwrap();
    // SGD with momentum: the state grows in the first step, then stays as it is.
    let flags = "--model mlp --opt sgd --epochs 2 --experiment full";
    let limited = |flags: &str, blocks: u64| {
        let script = format!(
            "trap '' XFSZ; ulimit -f {blocks}; exec {} train {flags} --runs {}",
            env!("CARGO_BIN_EXE_sph"),
            dir.path().display()
        );
        Command::new("sh").args(["-c", &script]).current_dir(env!("CARGO_TARGET_TMPDIR")).output().unwrap()
    };
    // Blocks of 512 bytes: the model takes 52 kB, the model with momentum twice that.
    let run = dir.path().join("full");
    let out = limited(flags, 150);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    assert!(stderr.contains("cannot write") && stderr.contains("last.ckpt"), "{stderr}");
    readable(&run);
    assert_eq!(Checkpoint::read(&run.join("last.ckpt")).unwrap().progress.epoch, 0);
    let left: Vec<_> = std::fs::read_dir(&run).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|n| !n.to_string_lossy().starts_with('.')), "{left:?}");
    // With room again it goes on, and ends as if nothing had been.
    assert!(limited(&format!("{flags} --resume auto"), 10_000).status.success());
    assert!(train(dir.path(), &flags.replace("full", "whole")).status().unwrap().success());
    same(&run, &dir.path().join("whole"));
    // A disk that is full from the start: no run, no rest of one.
    let out = limited(&flags.replace("full", "none"), 0);
    assert_eq!(out.status.code(), Some(2));
    assert!(!dir.path().join("none").exists());
}
