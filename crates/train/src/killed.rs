//! A run that is killed at every step of writing its files, and begun again each time.

use crate::files::{Checkpoint, MOMENTS, RunFolder, RunResult};
use crate::observers::{CurvatureLog, Summary};
use crate::training::{AverageConfig, TrainSettings, Trainer, Training};
use crate::{ModelInfo, Objective};
use sph_data::DataOptions;
use sph_optim::presets::SphDrs;
use sph_optim::{Rule, second_order_blocks};
use sph_tensor::Pool;
use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};

const SELF: &str = "killed::killed_at_every_step_of_writing";

/// Trains in a process of its own, which is killed at moment `at`.
fn train_in(output: &Path, at: impl AsRef<OsStr>) -> ExitStatus {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([SELF, "--exact", "--nocapture"]).env("SPH_TEST_OUTPUT", output).env("SPH_TEST_KILL_AT", at);
    child.output().unwrap().status
}

/// Begins a run, or goes on with it where it was, and ends it.
fn trained(output: &Path) {
    let mut run = RunFolder::planned_or_begun(output, "run").unwrap();
    let data = sph_data::load("digits", &DataOptions::default()).unwrap();
    let info = ModelInfo::new("mlp", "bn", "digits", &DataOptions::default(), &data);
    let objective = Objective::<f32>::new(info.build(0.0).unwrap(), &Pool::new(), 42);
    let specs = objective.store.specs();
    let (optimizer, blocks) = (SphDrs::default().build(specs).unwrap(), second_order_blocks(specs));
    let average = Some(AverageConfig { decay: 0.9998, warmup: false });
    let settings = TrainSettings { batch_size: 400, average, ..TrainSettings::new(1, 0.1) };
    let begun = run.checkpoint().is_file().then(|| Checkpoint::read(&run.checkpoint()).unwrap());
    let mut trainer =
        Trainer::new(Training { info, objective, optimizer, blocks, data, settings }, run).unwrap();
    match &begun {
        Some(checkpoint) => {
            trainer.restore(checkpoint).unwrap();
            trainer.save().unwrap();
        }
        None => trainer.begin().unwrap(),
    }
    run = trainer.run().clone();
    let mut summary = Summary::new(&run.summary(), trainer.epochs_done()).unwrap();
    let mut curvature = CurvatureLog::new(&run.curvature(), trainer.epochs_done()).unwrap();
    let result = trainer.train(&mut [&mut summary, &mut curvature], &AtomicBool::new(false)).unwrap();
    run.write_result(&RunResult::from(&result)).unwrap();
    std::fs::write(output.join("moments"), MOMENTS.load(Ordering::Relaxed).to_string()).unwrap();
}

#[test]
fn killed_at_every_step_of_writing() {
    if let Some(output) = std::env::var_os("SPH_TEST_OUTPUT") {
        return trained(Path::new(&output));
    }
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    assert!(train_in(&whole, "never").success());
    let moments: usize = std::fs::read_to_string(whole.join("moments")).unwrap().parse().unwrap();
    assert!(moments > 40, "{moments}");
    for at in 0..moments {
        let cut = dir.path().join("cut");
        assert_eq!(train_in(&cut, at.to_string()).signal(), Some(9), "moment {at}");
        assert!(train_in(&cut, "never").success(), "after moment {at}");
        let files = |of: &Path| -> Vec<String> {
            let entries = std::fs::read_dir(of.join("run")).unwrap();
            let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<_> = names.collect();
            names.sort();
            names
        };
        assert_eq!(files(&cut), files(&whole), "after moment {at}");
        for file in files(&whole).iter().filter(|f| f.ends_with("safetensors") || *f == "curvature.csv") {
            let read = |of: &Path| std::fs::read(of.join("run").join(file)).unwrap();
            assert!(read(&cut) == read(&whole), "{file} after moment {at}");
        }
        std::fs::remove_dir_all(&cut).unwrap();
    }
}
