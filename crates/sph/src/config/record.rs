//! The settings of a run as its record has them: by name.

use crate::error::{Error, Result};
use serde::Serialize;
use std::path::Path;

/// Settings by name.
///
/// # Errors
/// When a value has no form as text (a path that is not Unicode).
pub(crate) fn by_name(settings: &impl Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(settings).map_err(|e| Error::Unwritable(e.to_string()))
}

/// The first of the settings `here` that is another one `there`, with both values.
pub(crate) fn difference(here: &serde_json::Value, there: &serde_json::Value) -> Option<String> {
    let mut names = [here, there].into_iter().filter_map(|s| s.as_object()).flat_map(|s| s.keys());
    let shown = |v: Option<&serde_json::Value>| v.map_or("not set".to_string(), |v| v.to_string());
    let name = names.find(|name| here.get(name) != there.get(name))?;
    Some(format!("'{name}' is {} there and {} here", shown(there.get(name)), shown(here.get(name))))
}

/// A flag with its value, `--name=value`, as a shell takes it.
pub(crate) fn for_shell(flag: &str) -> String {
    let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
    format!("{name}={}", shell_word(value))
}

/// A word as a shell takes it.
pub(crate) fn shell_word(word: &str) -> String {
    // A NUL byte is in no argument.
    shlex::try_quote(word).unwrap_or_default().into_owned()
}

/// A file's path as users gave it, for messages.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}
