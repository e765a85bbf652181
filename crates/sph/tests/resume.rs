//! A run that was interrupted and resumed ends in the same bits as one that was not.

use sph::config::TrainArgs;
use sph::training_setup::{begin, resume};
use sph_train::files::{Checkpoint, RunFolder};
use sph_train::observers::{Observer, StepEvent};
use sph_train::training::Trainer;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Interrupts after a number of steps.
struct After<'a>(usize, &'a AtomicBool);

impl Observer for After<'_> {
    fn step(&mut self, _event: &StepEvent) -> sph_train::Result<()> {
        self.0 -= 1;
        if self.0 == 0 {
            self.1.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn args(dir: &Path, opt: &str) -> TrainArgs {
    let flags = format!(
        "--model mlp --epochs 3 --batch-size 200 --random-crop 1 --val-split 0.1 --smoothing 0.1 --opt {opt} --runs {}",
        dir.display()
    );
    TrainArgs::from_command_line(&flags.split(' ').map(String::from).collect::<Vec<_>>()).unwrap()
}

fn start(args: &TrainArgs, name: &str) -> Trainer<f32> {
    let mut run = RunFolder::planned(&args.runs, name).unwrap();
    run.create(&args.to_toml().unwrap()).unwrap();
    begin(args, run).unwrap().0
}

#[test]
fn an_interrupted_run_goes_on_bit_for_bit() {
    let settings = [
        "sph",
        "sph --preset seed",
        "sph --first-order adamw --opt-betas 0.8,0.99",
        "sph --first-order drs --drs-refresh 2 --probe dense --curvature-schedule all --group head:lr-mult=2",
        "sph --probe hadamard",
        "sph --probe rademacher --curvature-schedule joint --backtrack 3",
        "sph --probe exact --average absolute --curvature-every 2 --sched step --decay-epochs 1",
        "sph --norm none --decouple auto --lr 0.01 --model-ema --model-ema-warmup",
        "kfac --batch-size 100 --grad-accum-steps 2 --warmup-epochs 1",
        "krylov --krylov-size 3",
        "sgd --trainable 1d",
        "adam",
        "adamw",
        "adahessian --curvature-every 2 --curvature-batch 0.3",
        "kfac --factor-every 2 --inverse-every 3",
        "sgd --mixup 0.3 --cutmix 1 --reprob 0.3 --color-jitter 0.4 --hflip 0.5 --group head:lr-mult=2,momentum=0.5",
        "sph --clip-grad 0.5 --batch-size 100 --grad-accum-steps 2 --model-ema --model-ema-decay 0.9 --sched one-cycle",
    ];
    for opt in settings {
        let dir = tempfile::tempdir().unwrap();
        let args = args(dir.path(), opt);
        let never = AtomicBool::new(false);
        let whole = start(&args, "whole").train(&mut [], &never).unwrap();
        // Six steps an epoch: stops in the middle of the first epoch, at the end of one, and in the last.
        for cuts in [vec![1, 3, 1], vec![4, 2], vec![6, 9], vec![17]] {
            let name = format!("cut-{cuts:?}").replace([' ', ',', '[', ']'], "-");
            let mut trainer = start(&args, &name);
            for cut in cuts {
                let stop = AtomicBool::new(false);
                let outcome = trainer.train(&mut [&mut After(cut, &stop)], &stop).unwrap();
                assert!(outcome.interrupted, "{name}");
                drop(trainer);
                let run = RunFolder::open(&args.runs.join(&name)).unwrap();
                let checkpoint = Checkpoint::read(&run.checkpoint()).unwrap();
                let settings = TrainArgs::from_toml(&checkpoint.progress.args, "args").unwrap();
                trainer = resume(&settings, run, &checkpoint).unwrap();
            }
            let outcome = trainer.train(&mut [], &never).unwrap();
            assert_eq!((outcome.best, outcome.last), (whole.best, whole.last), "{opt} {name}");
            assert_eq!(outcome.best_average, whole.best_average, "{opt} {name}");
            let average = ["last-ema.safetensors", "best-ema.safetensors"];
            let average = average.into_iter().filter(|_| whole.best_average.is_some());
            for file in ["last.safetensors", "best.safetensors"].into_iter().chain(average) {
                let read = |run: &str| std::fs::read(args.runs.join(run).join(file)).unwrap();
                assert!(read(&name) == read("whole"), "{opt} {name}: {file} differs");
            }
        }
    }
}

/// The state of another optimizer names the file that it stands in.
#[test]
fn another_optimizers_state_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let settings = |opt: &str| TrainArgs { epochs: 1, ..args(dir.path(), opt) };
    start(&settings("adam"), "run").train(&mut [], &AtomicBool::new(false)).unwrap();
    let run = RunFolder::open(&dir.path().join("run")).unwrap();
    let checkpoint = Checkpoint::read(&run.checkpoint()).unwrap();
    let e = resume::<f32>(&settings("sgd"), run, &checkpoint).err().unwrap().to_string();
    assert!(e.contains("run/last.ckpt") && e.contains("optimizer state '"), "{e}");
}

/// The masks of dropout go on, too.
#[test]
fn dropout_goes_on_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let args = args(dir.path(), "adamw --model mlp_mixer --dropout 0.2 --epochs 1");
    let never = AtomicBool::new(false);
    start(&args, "whole").train(&mut [], &never).unwrap();
    let mut trainer = start(&args, "cut");
    let stop = AtomicBool::new(false);
    assert!(trainer.train(&mut [&mut After(2, &stop)], &stop).unwrap().interrupted);
    drop(trainer);
    let run = RunFolder::open(&args.runs.join("cut")).unwrap();
    let checkpoint = Checkpoint::read(&run.checkpoint()).unwrap();
    let settings = TrainArgs::from_toml(&checkpoint.progress.args, "args").unwrap();
    resume::<f32>(&settings, run, &checkpoint).unwrap().train(&mut [], &never).unwrap();
    let read = |run: &str| std::fs::read(args.runs.join(run).join("last.safetensors")).unwrap();
    assert!(read("cut") == read("whole"));
}

/// `--patience` counts over interruptions, and a run that it ended stays ended.
#[test]
fn patience_is_part_of_a_run() {
    let dir = tempfile::tempdir().unwrap();
    // Nothing is learnt at such a rate: an early epoch stays the best.
    let args = args(dir.path(), "sgd --lr 1e-9 --momentum 0 --epochs 9 --patience 2");
    let never = AtomicBool::new(false);
    let whole = start(&args, "whole").train(&mut [], &never).unwrap();
    assert!(whole.stopped_early && whole.epochs < 9, "{whole:?}");
    assert_eq!(whole.epochs, whole.best.unwrap().epoch + 1 + 2);
    let mut trainer = start(&args, "cut");
    let stop = AtomicBool::new(false);
    assert!(trainer.train(&mut [&mut After(8, &stop)], &stop).unwrap().interrupted);
    drop(trainer);
    for _ in 0..2 {
        let run = RunFolder::open(&args.runs.join("cut")).unwrap();
        let checkpoint = Checkpoint::read(&run.checkpoint()).unwrap();
        let mut trainer = resume::<f32>(&args, run, &checkpoint).unwrap();
        let outcome = trainer.train(&mut [], &never).unwrap();
        assert_eq!((outcome.epochs, outcome.best, outcome.stopped_early), (whole.epochs, whole.best, true));
    }
}

#[test]
fn a_damaged_checkpoint_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let args = TrainArgs { epochs: 1, ..args(dir.path(), "sph") };
    start(&args, "run").train(&mut [], &AtomicBool::new(false)).unwrap();
    let path = args.runs.join("run/last.ckpt");
    let good = std::fs::read(&path).unwrap();
    let refusal = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Checkpoint::read(&path).err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert_eq!(refusal(&good), "");
    for at in [12, 100, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(refusal(&bad).contains("checksum"), "flipped bit at {at}");
    }
    // Whole, but of another version.
    let place = good.windows(14).position(|w| w == br#"\"version\":2,"#).unwrap();
    let mut other = good.clone();
    other[place + 12] = b'7';
    let crc = crc32fast::hash(&other[12..]).to_le_bytes();
    other[8..12].copy_from_slice(&crc);
    let e = refusal(&other);
    assert!(e.contains("version 7") && e.contains("args.toml"), "{e}");
    for len in [0, 7, 11, 12, 100, good.len() - 1] {
        let e = refusal(&good[..len]);
        assert!(e.contains("not a checkpoint") || e.contains("checksum"), "{len}: {e}");
    }
}
