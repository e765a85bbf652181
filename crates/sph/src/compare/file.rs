//! The file of a comparison: keys named like flags, lists for grids, tables for optimizers, ranges and the tuning rule.

use super::job::{command as command_of, settings as settings_of};
use super::plan::Entry;
use super::setting::checked;
use crate::config::{SettingsFile, canonical, keys, repeats};
use crate::error::{Error, Result};
use clap::Command;
use sph_train::compare::{Job, Range, Setting, Values};
use std::path::Path;

/// How flags of the tuning rule begin.
const TUNING: &str = "tuning-";

/// A file's part of the settings.
#[derive(Default)]
pub(super) struct FromFile {
    /// The file as it is.
    pub(super) text: Option<String>,
    /// Flags of the comparison itself.
    pub(super) own: Vec<String>,
    /// Settings that all its runs have.
    pub(super) settings: Vec<Setting>,
    /// Its `[[optimizer]]` tables.
    pub(super) optimizers: Vec<Entry>,
}

/// The settings in a file, of a comparison of adaptations where flags (`adapts`) or the file say so; `own` has the flags of the comparison
/// itself.
///
/// # Errors
/// When it cannot be read; when a key or a value is wrong.
pub(super) fn read(path: &Path, adapts: bool, own: &Command) -> Result<(FromFile, Job)> {
    let origin = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|e| Error::settings(&origin, e))?;
    let file = SettingsFile::parse(&text, &origin)?;
    let job = if adapts || file.table.contains_key("checkpoint") { Job::Adapt } else { Job::Train };
    let command = command_of(job);
    let is_own = |name: &str| keys(own).any(|k| k == name) && name != "grid" && !name.starts_with(TUNING);
    let is_setting = |name: &str| settings_of(job, &command).any(|k| k == name);
    // Every value alone, so that one that is wrong is named now.
    let setting = |key: &str, value: &toml::Value| -> Result<Setting> {
        let name = canonical(key, &command);
        let values = match value {
            toml::Value::Table(table) if !repeats(&name, &command) => {
                let values = Values::Range(range_of_table(&file, key, table, job)?);
                return Ok(Setting { name, values });
            }
            value if repeats(&canonical(key, &command), &command) => file.values(key, value, &command)?,
            toml::Value::Array(items) if items.is_empty() => {
                return Err(file.fail(format!("key '{key}' has no value")));
            }
            toml::Value::Array(items) => {
                items.iter().map(|v| file.text(key, v)).collect::<Result<Vec<_>>>()?
            }
            value => vec![file.text(key, value)?],
        };
        values.iter().try_for_each(|v| file.flag(key, v, &command).map(|_| ()))?;
        Ok(Setting::list(name, values))
    };
    let mut found = FromFile::default();
    file.each_once(&file.table, &command)?;
    for (key, value) in &file.table {
        match (canonical(key, &command), value) {
            (name, toml::Value::Array(tables)) if name == "optimizer" => {
                for table in tables {
                    let table =
                        table.as_table().ok_or_else(|| file.fail("'optimizer' is not a list of tables"))?;
                    found.optimizers.push(entry(&file, table, &setting, job, &command)?);
                }
            }
            (name, toml::Value::Table(table)) if name == "tuning" => {
                file.each_once(table, &command)?;
                for (key, value) in table {
                    let name = format!("{TUNING}{}", key.replace('_', "-"));
                    if !keys(own).any(|k| k == name) {
                        return Err(file.unknown(key, keys(own).filter_map(|k| k.strip_prefix(TUNING))));
                    }
                    if value.as_array().is_some_and(|items| items.is_empty()) {
                        return Err(file.fail(format!("key '{key}' has no value")));
                    }
                    found.own.extend(file.flag(&name, &file.text(key, value)?, own)?);
                }
            }
            (name, _) if name == "optimizer" => {
                return Err(
                    file.fail("'optimizer' is a list of tables: [[optimizer]] with 'opt' and its settings")
                );
            }
            (name, _) if name == "tuning" => {
                return Err(file.fail("'tuning' is one table: [tuning] with 'trials' and more"));
            }
            (name, toml::Value::Array(items)) if is_own(&name) && items.is_empty() => {
                return Err(file.fail(format!("key '{key}' has no value")));
            }
            (name, toml::Value::Array(items))
                if is_own(&name) && items.iter().any(|v| v.as_str().is_some_and(|v| v.contains(','))) =>
            {
                return Err(file.fail_key(key, "commas separate values; none may have one"));
            }
            (name, value) if is_own(&name) => {
                // A list of one seed is a list.
                let comma = if name == "seeds" && value.is_array() { "," } else { "" };
                found.own.extend(file.flag(key, &(file.text(key, value)? + comma), own)?);
            }
            (name, value) if is_setting(&name) => found.settings.push(setting(key, value)?),
            _ => {
                let known = keys(own).filter(|k| is_own(k)).chain(settings_of(job, &command));
                return Err(file.unknown(key, known.chain(["optimizer", "tuning"])));
            }
        }
    }
    found.text = Some(text);
    Ok((found, job))
}

/// A range in a file.
fn range_of_table(file: &SettingsFile<'_>, key: &str, table: &toml::Table, job: Job) -> Result<Range> {
    let number = |v: &toml::Value| v.as_float().or(v.as_integer().map(|i| i as f64));
    let ends = |v: &toml::Value| v.as_array()?.iter().map(number).collect::<Option<Vec<f64>>>();
    let (scale, ends) = match table.iter().next() {
        Some((scale, v)) if table.len() == 1 && ["log", "linear"].contains(&&**scale) => (scale, ends(v)),
        _ => {
            return Err(file.fail(format!("key '{key}': a range is {{log = [A, B]}} or {{linear = [A, B]}}")));
        }
    };
    let Some([from, to]) = ends.as_deref() else {
        return Err(file.fail(format!("key '{key}': {scale} is not two numbers, [A, B]")));
    };
    let range = Range::new(scale == "log", *from, *to).map_err(|e| file.fail_key(key, e))?;
    let setting = Setting { name: key.into(), values: Values::Range(range.clone()) };
    checked(setting, job).map_err(|e| file.fail(e))?;
    Ok(range)
}

/// An optimizer's table in a file.
fn entry(
    file: &SettingsFile<'_>,
    table: &toml::Table,
    setting: &dyn Fn(&str, &toml::Value) -> Result<Setting>,
    job: Job,
    command: &Command,
) -> Result<Entry> {
    file.each_once(table, command)?;
    let mut settings = Vec::new();
    let text = |key: &str| match table.get(key) {
        None => Ok(None),
        Some(value) => value
            .as_str()
            .map(Some)
            .ok_or_else(|| file.fail(format!("'{key}' of an optimizer is not a name"))),
    };
    let opt = text("opt")?.ok_or_else(|| file.fail("an [[optimizer]] has no 'opt'"))?;
    for (key, value) in table {
        match canonical(key, command) {
            name if name == "name" => (),
            name if name == "opt" || settings_of(job, command).any(|k| k == name) => {
                settings.push(setting(key, value)?);
            }
            _ => return Err(file.unknown(key, settings_of(job, command).chain(["name", "opt"]))),
        }
    }
    Ok(Entry { name: text("name")?.unwrap_or(opt).into(), settings })
}
