//! Settings from a TOML file: its keys are flags.

use super::one_line;
use crate::error::{Error, Result};
use clap::{ArgAction, Command};

/// The flags that the keys of a TOML file stand for.
///
/// # Errors
/// An unknown key, with the nearest known one; a value that no flag takes, or that its flag refuses.
pub fn flags_of_toml(text: &str, command: &Command, origin: &str) -> Result<Vec<String>> {
    let fail = |reason: String| Error::Config(format!("{origin}: {reason}"));
    let table: toml::Table = toml::from_str(text).map_err(|e| {
        let at = e
            .span()
            .map(|s| format!(" (line {})", text[..s.start.min(text.len())].matches('\n').count() + 1));
        fail(format!("{}{}", e.message().replace('\n', ", "), at.unwrap_or_default()))
    })?;
    // What a file may set: not another file, nor help.
    let known: Vec<&str> = command
        .get_arguments()
        .filter_map(|a| a.get_long())
        .filter(|l| !["config", "help", "resume"].contains(l))
        .collect();
    let mut flags = Vec::new();
    for (key, value) in &table {
        let name = key.replace('_', "-");
        // An alias means what it is an alias of.
        let aliased = |a: &&clap::Arg| a.get_all_aliases().is_some_and(|all| all.contains(&&*name));
        let name =
            command.get_arguments().find(aliased).and_then(|a| a.get_long()).unwrap_or(&name).to_string();
        if !known.contains(&&*name) {
            let near = known.iter().max_by(|a, b| strsim::jaro(a, &name).total_cmp(&strsim::jaro(b, &name)));
            let hint = near.map_or(String::new(), |n| format!("; the nearest known one is '{n}'"));
            return Err(fail(format!("unknown key '{key}'{hint}")));
        }
        let scalar = |v: &toml::Value| match v {
            toml::Value::String(s) => Some(s.clone()),
            toml::Value::Integer(i) => Some(i.to_string()),
            toml::Value::Float(f) => Some(f.to_string()),
            toml::Value::Boolean(b) => Some(b.to_string()),
            _ => None,
        };
        let argument = command.get_arguments().find(|a| a.get_long() == Some(&name));
        let repeats = argument.is_some_and(|a| matches!(a.get_action(), ArgAction::Append));
        let item = |v: &toml::Value| v.as_table().map(group_of_table).or_else(|| scalar(v));
        let texts = match value {
            toml::Value::Array(items) if repeats => items.iter().map(item).collect::<Option<Vec<_>>>(),
            toml::Value::Array(items) => {
                items.iter().map(scalar).collect::<Option<Vec<_>>>().map(|v| vec![v.join(",")])
            }
            value => scalar(value).map(|v| vec![v]),
        };
        let texts = texts.ok_or_else(|| fail(format!("key '{key}': a table or date is not a setting")))?;
        let switch = argument.is_some_and(|a| !a.get_action().takes_values());
        for text in texts {
            let flag = match (switch, &*text) {
                (true, "true") => format!("--{name}"),
                (true, "false") => continue,
                (true, _) => return Err(fail(format!("key '{key}' is true or false, not {text}"))),
                (false, _) => format!("--{name}={text}"),
            };
            let alone = ["file".to_string(), flag.clone()];
            let checked = command.clone().try_get_matches_from(alone);
            checked.map_err(|e| fail(format!("key '{key}': {}", one_line(&e))))?;
            flags.push(flag);
        }
    }
    Ok(flags)
}

/// A `[[group]]` table as `--group` takes it: its key `params`, then the others.
fn group_of_table(table: &toml::Table) -> String {
    let params = table.get("params").and_then(toml::Value::as_str).unwrap_or_default();
    let others = table.iter().filter(|(key, _)| *key != "params");
    let settings: Vec<String> = others.map(|(key, value)| format!("{key}={value}")).collect();
    format!("{params}: {}", settings.join(","))
}
