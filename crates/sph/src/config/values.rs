//! Parsers of single values: names from tables, numbers in their ranges.

use crate::error::Result;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use sph_data::sets::DATASETS;
use sph_nn::losses::LOSSES;
use sph_nn::models::{self, STEMS};
use sph_nn::{Selection, norms};
use sph_optim::settings::Range;
use sph_train::files::GraphFile;
use std::ffi::OsStr;
use std::path::PathBuf;

/// A parser of names from a table with what each is; clap answers a wrong one with the nearest.
pub(crate) fn names(rows: impl Iterator<Item = (&'static str, &'static str)>) -> PossibleValuesParser {
    PossibleValuesParser::new(
        rows.map(|(name, about)| PossibleValue::new(name).help(about)).collect::<Vec<_>>(),
    )
}

/// The parser of losses that networks are trained by and evaluated by.
pub(crate) fn training_losses() -> PossibleValuesParser {
    names(LOSSES.iter().filter(|l| l.1.of_evaluation() == l.1).map(|l| (l.0, l.2)))
}

/// The parser of losses of classes, which networks are adapted by.
pub(crate) fn losses_of_classes() -> PossibleValuesParser {
    names(LOSSES.iter().filter(|l| l.1.has_classes()).map(|l| (l.0, l.2)))
}

/// The parser of norms.
pub(crate) fn norm_names() -> PossibleValuesParser {
    names(norms::NORMS.iter().map(|n| (n.name, n.about)))
}

/// The parser of models of this program.
fn own_model_names() -> PossibleValuesParser {
    names(models::MODELS.iter().map(|m| (m.name, m.about)))
}

/// The parser of models: names, or files with graphs.
#[derive(Clone)]
pub(crate) struct ModelParser(PossibleValuesParser);

/// The parser of models, which may be files ending in `.pt2`.
pub(crate) fn model_names() -> ModelParser {
    ModelParser(own_model_names())
}

impl TypedValueParser for ModelParser {
    type Value = String;

    fn parse_ref(
        &self,
        cmd: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> std::result::Result<String, clap::Error> {
        match value.to_str() {
            Some(path) if GraphFile::is_one(path) => Ok(path_text(path)),
            _ => self.0.parse_ref(cmd, arg, value),
        }
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        self.0.possible_values()
    }
}

/// A path that stays right wherever the command runs next.
fn path_text(path: &str) -> String {
    std::path::absolute(path).ok().and_then(|p| p.to_str().map(String::from)).unwrap_or(path.to_string())
}

/// The parser of data sets.
pub(crate) fn dataset_names() -> PossibleValuesParser {
    names(DATASETS.iter().map(|d| (d.name, d.about)))
}

/// More threads than this help nobody and would hurt the machine.
const MAX_THREADS: u64 = 256;

/// The parser of `--threads`.
pub(crate) fn threads(text: &str) -> std::result::Result<usize, String> {
    match text.parse::<u64>() {
        Ok(n) if (1..=MAX_THREADS).contains(&n) => Ok(n as usize),
        _ => Err(format!("must be a whole number from 1 to {MAX_THREADS}")),
    }
}

/// The parser of seeds: what TOML's integers can hold.
pub(crate) fn seed(text: &str) -> std::result::Result<u64, String> {
    match text.parse::<u64>() {
        Ok(n) if i64::try_from(n).is_ok() => Ok(n),
        _ => Err(format!("must be a whole number from 0 to {}", i64::MAX)),
    }
}

pub(crate) fn number(
    text: &str,
    valid: impl Fn(f64) -> bool,
    range: &str,
) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(v) if v.is_finite() && valid(v) => Ok(v),
        Ok(_) => Err(format!("must be {range}")),
        Err(_) => Err(format!("is not a number; must be {range}")),
    }
}

pub(crate) fn positive(text: &str) -> std::result::Result<f64, String> {
    Range::Positive.parse(text)
}

pub(crate) fn not_negative(text: &str) -> std::result::Result<f64, String> {
    Range::NotNegative.parse(text)
}

pub(crate) fn below_one(text: &str) -> std::result::Result<f64, String> {
    Range::BelowOne.parse(text)
}

pub(crate) fn between(text: &str) -> std::result::Result<f64, String> {
    number(text, |v| v > 0.0 && v < 1.0, "greater than 0 and less than 1")
}

pub(crate) fn probability(text: &str) -> std::result::Result<f64, String> {
    number(text, |v| (0.0..=1.0).contains(&v), "from 0 to 1")
}

pub(crate) fn count(text: &str) -> std::result::Result<usize, String> {
    match text.parse::<usize>() {
        Ok(n) if (1..=1_000_000).contains(&n) => Ok(n),
        _ => Err("must be a whole number from 1 to 1000000".into()),
    }
}

/// The parser of `--image-size`.
pub(crate) fn pixels(text: &str) -> std::result::Result<usize, String> {
    match text.parse::<usize>() {
        Ok(n) if (1..=1024).contains(&n) => Ok(n),
        _ => Err("must be a whole number from 1 to 1024".into()),
    }
}

/// The parser of `--sha256`.
pub(crate) fn sha256(text: &str) -> std::result::Result<[u8; 32], String> {
    let digit = |c: &u8| (*c as char).to_digit(16).map(|d| d as u8);
    let digits: Option<Vec<u8>> = text.as_bytes().iter().map(digit).collect();
    let bytes = digits.filter(|d| d.len() == 64);
    let bytes = bytes.map(|d| std::array::from_fn(|i| d[2 * i] << 4 | d[2 * i + 1]));
    bytes.ok_or("must be 64 hexadecimal digits".into())
}

/// The parser of `--decouple`.
pub(crate) fn decouple_names() -> PossibleValuesParser {
    names([("none", "one tensor of weights per layer"), ("auto", "layers that no norm follows")].into_iter())
}

/// The parser of `--stem`.
pub(crate) fn stem_names() -> PossibleValuesParser {
    names(STEMS.iter().map(|s| (s.0, s.2)))
}

pub(crate) fn selection(text: &str) -> std::result::Result<String, String> {
    text.parse::<Selection>().map(|s| s.to_string()).map_err(|e| e.to_string())
}

/// The path from the root on; as it is where that has no form as text.
pub(crate) fn from_root(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).ok().filter(|absolute| absolute.to_str().is_some()).unwrap_or(path)
}

/// The row called `name` of a table; names were checked against the table when they were parsed.
pub(crate) fn row<'a, R>(table: &'a [R], name: impl Fn(&R) -> &'static str, wanted: &str) -> Result<&'a R> {
    table
        .iter()
        .find(|r| name(r) == wanted)
        .ok_or_else(|| sph_train::Error::UnknownName(wanted.into()).into())
}
