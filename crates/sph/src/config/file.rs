//! Settings from a TOML file: its keys are flags.

use crate::error::{Error, Result, one_line};
use crate::help;
use clap::{ArgAction, Command};
use sph_optim::REST;

/// A TOML file whose keys are flags of a command.
pub(crate) struct SettingsFile<'a> {
    /// Its keys and values.
    pub(crate) table: toml::Table,
    origin: &'a str,
}

impl<'a> SettingsFile<'a> {
    /// The file with this text; `origin` names it in messages.
    ///
    /// # Errors
    /// When it is not TOML.
    pub(crate) fn parse(text: &str, origin: &'a str) -> Result<Self> {
        let table: toml::Table = toml::from_str(text).map_err(|e| {
            let line = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
            let at = e.span().map(|s| format!(" (line {})", line(s.start)));
            let message = e.message().replace('\n', ", ");
            Error::settings(origin, format!("{message}{}", at.unwrap_or_default()))
        })?;
        Ok(SettingsFile { table: dotted(table), origin })
    }

    /// Refuses a setting that stands in `table` twice, under two spellings or an alias.
    ///
    /// # Errors
    /// Naming both keys.
    pub(crate) fn each_once(&self, table: &toml::Table, command: &Command) -> Result<()> {
        let mut seen: Vec<(String, &str)> = Vec::new();
        for key in table.keys() {
            let name = canonical(key, command);
            if let Some((_, other)) = seen.iter().find(|s| s.0 == name) {
                return Err(self.fail(format!("'{other}' and '{key}' are one setting; leave one out")));
            }
            seen.push((name, key));
        }
        Ok(())
    }

    /// An error of this file.
    pub(crate) fn fail(&self, reason: impl std::fmt::Display) -> Error {
        Error::settings(self.origin, reason)
    }

    /// An error of a key in this file.
    pub(crate) fn fail_key(&self, key: &str, reason: impl Into<String>) -> Error {
        Error::Settings { origin: self.origin.into(), key: Some(key.into()), reason: reason.into() }
    }

    /// The error that a key is none of these.
    pub(crate) fn unknown<'n>(&self, key: &str, known: impl Iterator<Item = &'n str>) -> Error {
        let name = key.replace('_', "-");
        let known: Vec<&str> = known.collect();
        if let Some(new) = help::renamed(&name, |_, new| known.contains(&new)) {
            return self.fail(format!("key '{key}' is '{new}' now"));
        }
        let near = known.into_iter().max_by(|a, b| strsim::jaro(a, &name).total_cmp(&strsim::jaro(b, &name)));
        let hint = near.map_or(String::new(), |n| format!("; the nearest known one is '{n}'"));
        self.fail(format!("unknown key '{key}'{hint}"))
    }

    /// The values that a key gives its flag: several for one that can be given several times, one for others.
    pub(crate) fn values(&self, key: &str, value: &toml::Value, command: &Command) -> Result<Vec<String>> {
        let item = |item: &toml::Value| match item {
            toml::Value::Table(table) => group_of_table(table).map_err(|reason| self.fail(reason)),
            item => self.text(key, item),
        };
        match value {
            toml::Value::Array(items) if repeats(&canonical(key, command), command) => {
                items.iter().map(item).collect()
            }
            value => Ok(vec![self.text(key, value)?]),
        }
    }

    /// The text of a value that a flag could have.
    pub(crate) fn text(&self, key: &str, value: &toml::Value) -> Result<String> {
        match value {
            toml::Value::String(s) => Ok(s.clone()),
            toml::Value::Integer(i) => Ok(i.to_string()),
            toml::Value::Float(f) => Ok(f.to_string()),
            toml::Value::Boolean(b) => Ok(b.to_string()),
            toml::Value::Array(items) => {
                let items: Result<Vec<String>> = items.iter().map(|i| self.text(key, i)).collect();
                Ok(items?.join(","))
            }
            _ => Err(self.fail_key(key, "a table or date is not a setting")),
        }
    }

    /// The flag of `command` that sets what the key is called to `text`; none for a switch that is off.
    pub(crate) fn flag(&self, key: &str, text: &str, command: &Command) -> Result<Option<String>> {
        let flag = flag(key, text, command).map_err(|reason| self.fail(reason))?;
        if let Some(flag) = &flag {
            let checked = command.clone().try_get_matches_from(["file", flag]);
            checked.map_err(|e| self.fail_key(key, one_line(&e)))?;
        }
        Ok(flag)
    }
}

/// The settings of `[rest]`, in a file or in one of its tables, under their whole names.
fn dotted(table: toml::Table) -> toml::Table {
    let mut out = toml::Table::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) if format!("{key}.") == REST => {
                out.extend(inner.into_iter().map(|(name, value)| (format!("{REST}{name}"), value)));
            }
            toml::Value::Array(items) => {
                let inner = |item| match item {
                    toml::Value::Table(table) => toml::Value::Table(dotted(table)),
                    other => other,
                };
                out.insert(key, toml::Value::Array(items.into_iter().map(inner).collect()));
            }
            other => drop(out.insert(key, other)),
        }
    }
    out
}

/// The flags of `command` that stand for settings by name and for a seed.
///
/// # Errors
/// When a switch is neither on nor off.
pub(super) fn flags_of_settings<'s>(
    settings: impl Iterator<Item = &'s (String, String)>,
    seed: u64,
    command: &Command,
) -> Result<Vec<String>> {
    let flags = settings.filter_map(|(name, value)| flag(name, value, command).transpose());
    let mut flags = flags
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|reason| Error::settings("settings of a run", reason))?;
    flags.push(format!("--seed={seed}"));
    Ok(flags)
}

/// The flag of `command` that sets `key` to `text`; none for a switch that is off.
fn flag(key: &str, text: &str, command: &Command) -> std::result::Result<Option<String>, String> {
    let name = canonical(key, command);
    let switch = |a: &clap::Arg| a.get_long() == Some(&name) && !a.get_action().takes_values();
    match (command.get_arguments().any(switch), text) {
        (true, "true") => Ok(Some(format!("--{name}"))),
        (true, "false") => Ok(None),
        (true, _) => Err(format!("key '{key}' is true or false, not {text}")),
        (false, _) => Ok(Some(format!("--{name}={text}"))),
    }
}

/// What a file may set: not another file, nor help.
pub(crate) fn keys(command: &Command) -> impl Iterator<Item = &str> {
    let longs = command.get_arguments().filter_map(|a| a.get_long());
    longs.filter(|l| !["config", "help", "resume"].contains(l))
}

/// The name, without dashes in front, of the flag that a key sets: an alias means what it is an alias of.
pub(crate) fn canonical(key: &str, command: &Command) -> String {
    let name = key.replace('_', "-");
    let aliased = |a: &&clap::Arg| a.get_all_aliases().is_some_and(|all| all.contains(&&*name));
    command.get_arguments().find(aliased).and_then(|a| a.get_long()).unwrap_or(&name).to_string()
}

/// Whether the flag can be given several times, each time with another value.
pub(crate) fn repeats(name: &str, command: &Command) -> bool {
    let argument = command.get_arguments().find(|a| a.get_long() == Some(name));
    argument.is_some_and(|a| matches!(a.get_action(), ArgAction::Append))
}

/// The flags that the keys of a TOML file stand for.
///
/// # Errors
/// An unknown key, with the nearest known one; a value that no flag takes, or that its flag refuses.
pub fn flags_of_toml(text: &str, command: &Command, origin: &str) -> Result<Vec<String>> {
    let file = SettingsFile::parse(text, origin)?;
    file.each_once(&file.table, command)?;
    let mut flags = Vec::new();
    for (key, value) in &file.table {
        if !keys(command).any(|k| k == canonical(key, command)) {
            return Err(file.unknown(key, keys(command)));
        }
        for text in file.values(key, value, command)? {
            flags.extend(file.flag(key, &text, command)?);
        }
    }
    Ok(flags)
}

/// A `[[group]]` table as `--group` takes it: its key `params`, then the others.
fn group_of_table(table: &toml::Table) -> std::result::Result<String, String> {
    let text = |v: &toml::Value| v.as_str().map(String::from);
    // A list is what commas say in one string.
    let params = match table.get("params") {
        Some(toml::Value::Array(items)) => {
            items.iter().map(text).collect::<Option<Vec<_>>>().map(|all| all.join(","))
        }
        params => params.and_then(text),
    };
    let params =
        params.ok_or("key 'group': 'params' is missing, or neither a string nor a list of strings")?;
    let others = table.iter().filter(|(key, _)| *key != "params");
    let settings: Vec<String> = others.map(|(key, value)| format!("{key}={value}")).collect();
    Ok(format!("{params}: {}", settings.join(",")))
}
