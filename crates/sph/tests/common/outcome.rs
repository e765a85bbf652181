//! How a command ends: well, or in one line.

use super::common::sph;
use serde_json::Value;

/// What a command prints that ends well.
#[track_caller]
pub fn stdout(flags: &str) -> String {
    let out = sph(flags).output().unwrap();
    assert!(out.status.success(), "{flags}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// The object that it prints with `--json`.
#[track_caller]
pub fn json(flags: &str) -> Value {
    serde_json::from_str(&stdout(&format!("{flags} --json"))).unwrap()
}

/// Runs, expects exit code 2 and one line on stderr that holds all of `words`.
#[track_caller]
pub fn mistake(flags: &str, words: &[&str]) {
    let out = sph(flags).output().unwrap();
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{flags}: {stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{flags}: {stderr}");
    words.iter().for_each(|w| assert!(stderr.contains(w), "{flags}: no {w:?} in {stderr}"));
}
