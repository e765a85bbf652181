//! A run that is killed at every step of writing its files, and begun again each time.

use crate::commands::train;
use crate::config::TrainArgs;
use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

static MOMENTS: AtomicUsize = AtomicUsize::new(0);

/// Kills the process at the moment whose number the environment says.
pub(crate) fn moment() {
    let number = MOMENTS.fetch_add(1, Ordering::Relaxed);
    if std::env::var("SPH_TEST_KILL_AT").is_ok_and(|at| at == number.to_string()) {
        let _ = Command::new("kill").args(["-KILL", &std::process::id().to_string()]).status();
        loop {
            std::thread::park();
        }
    }
}

const SELF: &str = "killed::killed_at_every_step_of_writing";

/// Trains in a process of its own, which is killed at moment `at`.
fn train_in(output: &Path, at: impl AsRef<OsStr>) -> ExitStatus {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([SELF, "--exact", "--nocapture"]).env("SPH_TEST_OUTPUT", output).env("SPH_TEST_KILL_AT", at);
    child.output().unwrap().status
}

fn trained(output: &Path) {
    static NEVER: AtomicBool = AtomicBool::new(false);
    let flags = format!(
        "--model mlp --epochs 1 --batch-size 400 --model-ema --output {} --experiment run --resume auto",
        output.display()
    );
    let args = TrainArgs::from_command_line(&flags.split(' ').map(String::from).collect::<Vec<_>>()).unwrap();
    train::run(&args, &NEVER).unwrap();
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
            // Every process begins a file of events of its own, with a time in its name.
            let mut names: Vec<_> = names.filter(|n| !n.starts_with("events.")).collect();
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
