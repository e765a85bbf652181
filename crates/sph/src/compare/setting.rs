//! Settings of a comparison's runs as its flags and its file name them.

use super::job::{command, settings};
use crate::config::{canonical, repeats};
use crate::error::one_line;
use sph_train::compare::{Job, Setting, Values};

/// The setting of a job's runs that is meant, which can have several values and takes the ends of a range.
///
/// # Errors
/// The reason why there is none.
pub(super) fn checked(setting: Setting, job: Job) -> std::result::Result<Setting, String> {
    let command = command(job);
    let name = canonical(&setting.name, &command);
    if !settings(job, &command).any(|k| k == name && !repeats(k, &command)) {
        let command = command.get_name();
        return Err(format!("'{name}' is not a setting of sph {command} that can have several values"));
    }
    if let Values::Range(range) = &setting.values {
        for end in [range.from, range.to] {
            let checked = command.clone().try_get_matches_from(["sph", &format!("--{name}={end}")]);
            checked.map_err(|e| one_line(&e))?;
        }
    }
    Ok(Setting { name, ..setting })
}
