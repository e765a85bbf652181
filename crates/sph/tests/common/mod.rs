//! The command as tests run it.

use assert_cmd::Command;

/// `sph` with these flags. It runs outside the source tree: a command that should be refused and is not leaves its run there, in
/// Cargo's folder for files of tests.
pub fn sph(flags: &str) -> Command {
    let mut command = Command::cargo_bin("sph").unwrap();
    command
        .args(flags.split_whitespace())
        .env("RUST_BACKTRACE", "1")
        .current_dir(env!("CARGO_TARGET_TMPDIR"));
    command
}
