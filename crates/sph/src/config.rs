//! Settings: flags, the TOML file they override, and what they mean together.

use crate::data::{self, DATASETS};
use crate::error::{Error, Result};
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, Command, CommandFactory, FromArgMatches, Parser};
use serde::Serialize;
use sph_nn::models::{self, ModelConfig, STEMS, Stem};
use sph_nn::{ParamSpec, Real, Selection, Store, norms};
use sph_optim::Optimizer;
use sph_optim::curvature::SCHEDULE_KINDS;
use sph_optim::curvature::estimator::Averaging;
use sph_optim::curvature::probes::PROBES;
use sph_optim::curvature::rectifiers::RECTIFIERS;
use sph_optim::lr::{SCHEDULES, ScheduleConfig, ScheduleRow};
use sph_optim::presets::{AdaHessian, Adam, AdamW, FirstOrder, Kfac, PRESETS, PresetRow, Sgd, SphDrs};
use sph_optim::transforms::DrsConfig;
use std::path::{Path, PathBuf};

/// A parser of names from a table with what each is; clap answers a wrong one with the nearest.
pub(crate) fn names(rows: impl Iterator<Item = (&'static str, &'static str)>) -> PossibleValuesParser {
    PossibleValuesParser::new(
        rows.map(|(name, about)| PossibleValue::new(name).help(about)).collect::<Vec<_>>(),
    )
}

/// The parser of norms.
pub(crate) fn norm_names() -> PossibleValuesParser {
    names(norms::NORMS.iter().map(|n| (n.name, n.about)))
}

/// The parser of models.
pub(crate) fn model_names() -> PossibleValuesParser {
    names(models::MODELS.iter().map(|m| (m.name, m.about)))
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

/// adamw's two decays, written with a comma between them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Betas(pub f64, pub f64);

impl Serialize for Betas {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{},{}", self.0, self.1))
    }
}

fn betas(text: &str) -> std::result::Result<Betas, String> {
    match text.split_once(',') {
        Some((a, b)) => Ok(Betas(below_one(a.trim())?, below_one(b.trim())?)),
        None => Err("must be two numbers with a comma between them, such as 0.9,0.999".into()),
    }
}

fn number(text: &str, valid: impl Fn(f64) -> bool, range: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(v) if v.is_finite() && valid(v) => Ok(v),
        Ok(_) => Err(format!("must be {range}")),
        Err(_) => Err(format!("is not a number; must be {range}")),
    }
}

fn positive(text: &str) -> std::result::Result<f64, String> {
    number(text, |v| v > 0.0, "greater than 0")
}

fn not_negative(text: &str) -> std::result::Result<f64, String> {
    number(text, |v| v >= 0.0, "0 or greater")
}

fn below_one(text: &str) -> std::result::Result<f64, String> {
    number(text, |v| (0.0..1.0).contains(&v), "at least 0 and less than 1")
}

fn power(text: &str) -> std::result::Result<f64, String> {
    number(text, |v| v > 0.0 && v <= 1.0, "greater than 0 and at most 1")
}

fn probability(text: &str) -> std::result::Result<f64, String> {
    number(text, |v| (0.0..=1.0).contains(&v), "from 0 to 1")
}

fn count(text: &str) -> std::result::Result<usize, String> {
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

/// The parser of `--decouple`.
pub(crate) fn decouple_names() -> PossibleValuesParser {
    names([("none", "one tensor of weights per layer"), ("auto", "layers that no norm follows")].into_iter())
}

/// The parser of `--stem`.
pub(crate) fn stem_names() -> PossibleValuesParser {
    names(STEMS.iter().map(|s| (s.0, s.2)))
}

fn selection(text: &str) -> std::result::Result<String, String> {
    text.parse::<Selection>().map(|s| s.to_string()).map_err(|e| e.to_string())
}

/// The model and how it is built.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelArgs {
    /// Model.
    #[arg(long, default_value = models::DEFAULT, value_parser = model_names())]
    pub model: String,
    /// Norm between the model's layers [default: bn; vit_tiny and mlp_mixer: ln].
    #[arg(long, value_parser = norm_names())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<String>,
    /// Split weights into magnitudes, which get second-order steps with the biases, and directions.
    #[arg(long, default_value = "none", value_parser = decouple_names())]
    pub decouple: String,
    /// How resnet18, 34 and 50 begin [default: by the images' size].
    #[arg(long, value_parser = stem_names())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stem: Option<String>,
    /// Probability of dropout in vit_tiny and mlp_mixer.
    #[arg(long, default_value_t = 0.0, value_parser = below_one)]
    pub dropout: f64,
}

/// The stem called `name`.
pub(crate) fn stem(name: Option<&str>) -> Result<Option<Stem>> {
    name.map(|n| row(STEMS, |s| s.0, n).map(|s| s.1)).transpose()
}

/// The norm called `name`, or the one that `model` has by default.
pub(crate) fn norm(name: Option<&str>, model: &str) -> Result<&'static norms::NormRow> {
    match name {
        Some(name) => row(norms::NORMS, |n| n.name, name),
        None => models::find(model).map(|m| m.default_norm()).map_err(|e| Error::Config(e.to_string())),
    }
}

impl ModelArgs {
    /// What it says about the model, for images of these channels and size.
    ///
    /// # Errors
    /// When a name is unknown.
    pub fn config(&self, channels: usize, size: (usize, usize), classes: usize) -> Result<ModelConfig> {
        Ok(ModelConfig {
            norm: norm(self.norm.as_deref(), &self.model)?,
            decouple: self.decouples(),
            stem: stem(self.stem.as_deref())?,
            dropout: self.dropout,
            ..ModelConfig::new(channels, size, classes)
        })
    }

    /// Layers that no norm follows are decoupled.
    pub fn decouples(&self) -> bool {
        self.decouple == "auto"
    }
}

/// The optimizer and its settings. A setting that the chosen optimizer does not have is an error.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Optimizer")]
pub struct OptArgs {
    /// Optimizer.
    #[arg(long, default_value = "sph", value_parser = names(PRESETS.iter().map(|p| (p.name, p.about))))]
    pub opt: String,
    /// Named settings of sph: `seed` is the ancestor's step to the letter.
    #[arg(long, value_parser = names([("seed", "the ancestor's step to the letter")].into_iter()))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Parameters that are trained: all, 1d (norms, biases, magnitudes), norm, scale, shift, magnitude, bias, head, or patterns of names
    /// such as 'layer4.*,fc.*'. The others are frozen: no gradient of theirs is computed.
    #[arg(long, default_value = "all", value_parser = selection, value_name = "WHICH")]
    pub trainable: String,
    /// Learning rate [default: 0.1; adam, adamw: 0.001; adahessian: 0.15; kfac: 0.01].
    #[arg(long, value_parser = positive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Momentum of sph, sgd and kfac [default: 0.9].
    #[arg(long, value_parser = below_one)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// Nesterov momentum (sgd).
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nesterov: Option<bool>,
    /// Weight decay on weights [default: 0.0005; adam: 0; adamw: 0.05; preset seed: 0].
    #[arg(long, value_parser = not_negative)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Weight decay on 1-D parameters [default: 0; preset seed: that of weights].
    #[arg(long = "weight-decay-1d", value_parser = not_negative)]
    #[serde(rename = "weight-decay-1d", skip_serializing_if = "Option::is_none")]
    pub weight_decay_1d: Option<f64>,
    /// Decays of the averages of adam, adamw and adahessian, two numbers [default: 0.9,0.999].
    #[arg(long, value_parser = betas, value_name = "B1,B2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_betas: Option<Betas>,
    /// Guard of the division in adam, adamw [default: 1e-8] and adahessian [default: 1e-4].
    #[arg(long, value_parser = positive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_eps: Option<f64>,
    /// Scale τ of sph's direction on 1-D blocks [default: 0.001].
    #[arg(long, value_parser = positive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tau: Option<f64>,
    /// Damping ε of sph, added to rectified curvature [default: 0.0001].
    #[arg(long, value_parser = positive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
    /// Decay β of sph's curvature average [default: 0.9].
    #[arg(long, value_parser = below_one)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curvature_decay: Option<f64>,
    /// What sph averages: signed curvature or its absolute value [default: signed; preset seed: absolute].
    #[arg(long, value_parser = names([("signed", "unbiased probes stay unbiased"), ("absolute", "the ancestor's choice")].into_iter()))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average: Option<String>,
    /// Probe sequence of sph [default: ones].
    #[arg(long, value_parser = names(PROBES.iter().map(|p| (p.name, p.about))))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// Which blocks sph visits at which step [default: cyclic].
    #[arg(long, value_parser = names(SCHEDULE_KINDS.iter().map(|s| (s.0, s.2))))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curvature_schedule: Option<String>,
    /// Ask for curvature at each n-th step only (sph, adahessian) [default: 1].
    #[arg(long, value_parser = count, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curvature_every: Option<usize>,
    /// Cap of sph's multiplier τ/rectified [default: none].
    #[arg(long, value_parser = positive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_multiplier: Option<f64>,
    /// How sph makes curvature positive [default: absolute].
    #[arg(long, value_parser = names(RECTIFIERS.iter().map(|r| (r.name, r.about))))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rectifier: Option<String>,
    /// Second-order blocks of sph, in the words and patterns of --trainable [default: norms, and what is decoupled].
    #[arg(long, value_parser = selection, value_name = "WHICH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_order: Option<String>,
    /// What sph does with the other parameters [default: sgd].
    #[arg(long, value_parser = names([("sgd", "momentum SGD"), ("drs", "dimension-reduced second-order steps; want large batches")].into_iter()))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_order: Option<String>,
    /// Steps between measurements of drs's model [default: 10].
    #[arg(long, value_parser = count, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drs_refresh: Option<usize>,
    /// Hessian power k of adahessian, greater than 0 and at most 1 [default: 1].
    #[arg(long, value_parser = power)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hessian_power: Option<f64>,
    /// Tikhonov damping λ of kfac [default: 0.03].
    #[arg(long, value_parser = positive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damping: Option<f64>,
    /// Decay of the averages of kfac's factors [default: 0.95].
    #[arg(long, value_parser = below_one)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor_decay: Option<f64>,
    /// Steps between measurements of kfac's factors [default: 10].
    #[arg(long, value_parser = count, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor_every: Option<usize>,
    /// Steps between inversions of kfac's factors [default: 10].
    #[arg(long, value_parser = count, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inverse_every: Option<usize>,
}

/// The row called `name` of a table; names were checked against the table when they were parsed.
fn row<'a, R>(table: &'a [R], name: impl Fn(&R) -> &'static str, wanted: &str) -> Result<&'a R> {
    table.iter().find(|r| name(r) == wanted).ok_or_else(|| Error::Config(format!("unknown name '{wanted}'")))
}

impl OptArgs {
    fn preset_row(&self) -> Result<&'static PresetRow> {
        row(PRESETS, |p| p.name, &self.opt)
    }

    /// The learning rate: the one given or the optimizer's usual one.
    ///
    /// # Errors
    /// When the optimizer is unknown.
    pub fn lr(&self) -> Result<f64> {
        Ok(self.lr.unwrap_or(self.preset_row()?.lr))
    }

    /// Checks that every setting given belongs to the optimizer.
    ///
    /// # Errors
    /// Naming the first that does not.
    pub fn validate(&self) -> Result<()> {
        let averages: &[&str] = &["adam", "adamw", "adahessian"];
        let given: [(&str, bool, &[&str]); 22] = [
            ("curvature-schedule", self.curvature_schedule.is_some(), &["sph"]),
            ("curvature-every", self.curvature_every.is_some(), &["sph", "adahessian"]),
            ("max-multiplier", self.max_multiplier.is_some(), &["sph"]),
            ("preset", self.preset.is_some(), &["sph"]),
            ("momentum", self.momentum.is_some(), &["sph", "sgd", "kfac"]),
            ("nesterov", self.nesterov.is_some(), &["sgd"]),
            ("opt-betas", self.opt_betas.is_some(), averages),
            ("opt-eps", self.opt_eps.is_some(), averages),
            ("tau", self.tau.is_some(), &["sph"]),
            ("eps", self.eps.is_some(), &["sph"]),
            ("curvature-decay", self.curvature_decay.is_some(), &["sph"]),
            ("average", self.average.is_some(), &["sph"]),
            ("probe", self.probe.is_some(), &["sph"]),
            ("rectifier", self.rectifier.is_some(), &["sph"]),
            ("second-order", self.second_order.is_some(), &["sph"]),
            ("first-order", self.first_order.is_some(), &["sph"]),
            ("drs-refresh", self.drs_refresh.is_some(), &["sph"]),
            ("hessian-power", self.hessian_power.is_some(), &["adahessian"]),
            ("damping", self.damping.is_some(), &["kfac"]),
            ("factor-decay", self.factor_decay.is_some(), &["kfac"]),
            ("factor-every", self.factor_every.is_some(), &["kfac"]),
            ("inverse-every", self.inverse_every.is_some(), &["kfac"]),
        ];
        if let Some((flag, _, of)) = given.iter().find(|(_, given, of)| *given && !of.contains(&&*self.opt)) {
            let of = of.join(" and ");
            return Err(Error::Config(format!(
                "--{flag} is a setting of --opt {of}, not of --opt {}",
                self.opt
            )));
        }
        if self.preset.is_some() && self.curvature_decay.is_some() {
            return Err(Error::Config(
                "--preset seed averages curvature with --momentum; leave --curvature-decay out".into(),
            ));
        }
        let drs = self.first_order.as_deref() == Some("drs");
        if self.drs_refresh.is_some() && !drs {
            return Err(Error::Config("--drs-refresh needs --first-order drs".into()));
        }
        if self.preset.is_some() && drs {
            return Err(Error::Config(
                "--preset seed is SGD on the other parameters; leave --first-order out".into(),
            ));
        }
        Ok(())
    }

    /// Freezes what `--trainable` does not name.
    ///
    /// # Errors
    /// When a part of it names no parameter of the model.
    pub fn freeze<T: Real>(&self, store: &mut Store<T>) -> Result<()> {
        let fail = |e: sph_nn::SelectionError| Error::Config(format!("--trainable {}: {e}", self.trainable));
        let selection: Selection = self.trainable.parse().map_err(fail)?;
        selection.select(store.specs(), |_| true).map_err(fail)?;
        store.freeze(|s| !selection.matches(s));
        Ok(())
    }

    /// Betas and eps: those given, or these.
    fn averages(&self, betas: (f64, f64), eps: f64) -> ((f64, f64), f64) {
        (self.opt_betas.map_or(betas, |b| (b.0, b.1)), self.opt_eps.unwrap_or(eps))
    }

    /// The second-order blocks among `specs`; none for optimizers without.
    ///
    /// # Errors
    /// When `--second-order` chooses none.
    pub fn blocks(&self, specs: &[ParamSpec]) -> Result<Vec<usize>> {
        match &*self.opt {
            "sph" => self.sph(0)?.chosen(specs).map_err(|e| Error::Config(e.to_string())),
            _ => Ok(Vec::new()),
        }
    }

    /// The settings of sph.
    fn sph(&self, seed: u64) -> Result<SphDrs> {
        let weight_decay = self.weight_decay.unwrap_or(self.preset_row()?.weight_decay);
        let weight_decay_1d = self.weight_decay_1d.unwrap_or(0.0);
        let momentum = self.momentum.unwrap_or(0.9);
        let d = if self.preset.is_some() {
            // One weight decay, none by default.
            let decay = self.weight_decay.unwrap_or(0.0);
            let decay_1d = self.weight_decay_1d.unwrap_or(decay);
            SphDrs { weight_decay: decay, weight_decay_1d: decay_1d, ..SphDrs::seed() }
        } else {
            SphDrs { weight_decay, weight_decay_1d, ..SphDrs::default() }
        };
        let averaging = match self.average.as_deref() {
            Some("signed") => Averaging::Signed,
            Some(_) => Averaging::Absolute,
            None => d.averaging,
        };
        let probe = self.probe.as_deref().map_or(Ok(d.probe), |n| row(PROBES, |p| p.name, n))?;
        let rectifier =
            self.rectifier.as_deref().map_or(Ok(d.rectifier), |n| row(RECTIFIERS, |r| r.name, n))?;
        let schedule = match self.curvature_schedule.as_deref() {
            Some(name) => row(SCHEDULE_KINDS, |s| s.0, name)?.1,
            None => d.schedule,
        };
        let selection = self.second_order.as_deref().map(str::parse).transpose();
        let selection = selection.map_err(|e| Error::Config(format!("--second-order: {e}")))?;
        let first_order = match self.first_order.as_deref() {
            Some("drs") => {
                let d = DrsConfig::default();
                let refresh = self.drs_refresh.map_or(d.refresh, |n| n as u64);
                FirstOrder::Drs(DrsConfig { refresh, ..d })
            }
            _ => FirstOrder::Sgd,
        };
        Ok(SphDrs {
            selection,
            first_order,
            momentum,
            tau: self.tau.unwrap_or(d.tau),
            eps: self.eps.unwrap_or(d.eps),
            curvature_decay: self.curvature_decay.unwrap_or(d.curvature_decay),
            averaging,
            probe,
            rectifier,
            schedule,
            every: self.curvature_every.unwrap_or(1) as u64,
            max_multiplier: self.max_multiplier,
            seed,
            ..d
        })
    }

    /// The optimizer over `specs`; `seed` is that of random probes and labels.
    ///
    /// # Errors
    /// As [`OptArgs::validate`].
    pub fn build<T: Real>(&self, specs: &[ParamSpec], seed: u64) -> Result<Optimizer<T>> {
        self.validate()?;
        let weight_decay = self.weight_decay.unwrap_or(self.preset_row()?.weight_decay);
        let weight_decay_1d = self.weight_decay_1d.unwrap_or(0.0);
        let momentum = self.momentum.unwrap_or(0.9);
        Ok(match &*self.opt {
            "sgd" => {
                let nesterov = self.nesterov.unwrap_or(false);
                Sgd { momentum, nesterov, weight_decay, weight_decay_1d }.build(specs)
            }
            "adam" => {
                let d = Adam::default();
                let (betas, eps) = self.averages(d.betas, d.eps);
                Adam { betas, eps, weight_decay, weight_decay_1d }.build(specs)
            }
            "adamw" => {
                let d = AdamW::default();
                let (betas, eps) = self.averages(d.betas, d.eps);
                AdamW { betas, eps, weight_decay, weight_decay_1d }.build(specs)
            }
            "adahessian" => {
                let d = AdaHessian::default();
                let (betas, eps) = self.averages(d.betas, d.eps);
                let power = self.hessian_power.unwrap_or(d.power);
                let every = self.curvature_every.unwrap_or(1) as u64;
                AdaHessian { betas, eps, power, every, weight_decay, weight_decay_1d, seed }.build(specs)
            }
            "kfac" => {
                let d = Kfac::default();
                let steps = |given: Option<usize>, default: u64| given.map_or(default, |n| n as u64);
                Kfac {
                    momentum,
                    weight_decay,
                    weight_decay_1d,
                    damping: self.damping.unwrap_or(d.damping),
                    factor_decay: self.factor_decay.unwrap_or(d.factor_decay),
                    factor_every: steps(self.factor_every, d.factor_every),
                    inverse_every: steps(self.inverse_every, d.inverse_every),
                    seed,
                }
                .build(specs)
            }
            "sph" => self.sph(seed)?.build(specs).map_err(|e| Error::Config(e.to_string()))?,
            other => {
                return Err(Error::Config(format!("--opt {other} is in the table but has no settings here")));
            }
        })
    }
}

/// Train a network.
#[derive(Parser, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(
    name = "train",
    args_override_self = true,
    allow_negative_numbers = true,
    after_help = "Examples:\n  sph train\n  sph train --dataset fashion-mnist --epochs 3 --batch-size 128\n  sph train --opt sgd --lr 0.05 \
                  --val-split 0.1 --json\n  sph train -c runs/first/args.toml --seed 7 --experiment second\n  sph train --resume \
                  runs/first"
)]
pub struct TrainArgs {
    /// TOML file of settings, keys named like flags; flags override it.
    #[arg(short, long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Data set.
    #[arg(long, default_value = data::DEFAULT, value_parser = dataset_names())]
    pub dataset: String,
    /// Folder of the data files.
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// Fraction of the training images held out to choose the best epoch on.
    #[arg(long, default_value_t = 0.0, value_parser = below_one, value_name = "FRACTION")]
    pub val_split: f64,
    /// Height and width that images are made to have: enlarged by a whole factor, then padded [default: their own].
    #[arg(long, value_parser = pixels, value_name = "PIXELS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<usize>,
    /// Model.
    #[command(flatten)]
    #[serde(flatten)]
    pub model: ModelArgs,
    /// Images per step.
    #[arg(short, long, default_value = "64", value_parser = count)]
    pub batch_size: usize,
    /// Passes over the training images.
    #[arg(long, default_value = "20", value_parser = count)]
    pub epochs: usize,
    /// Learning-rate schedule.
    #[arg(long, default_value = "cosine", value_parser = names(SCHEDULES.iter().map(|s| (s.name, s.about))), help_heading = "Schedule")]
    pub sched: String,
    /// Epochs of linear warmup.
    #[arg(long, default_value_t = 0.0, value_parser = not_negative, help_heading = "Schedule")]
    pub warmup_epochs: f64,
    /// Learning rate at the start of warmup [default: 0.00001].
    #[arg(long, value_parser = not_negative, help_heading = "Schedule")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_lr: Option<f64>,
    /// Learning rate at the end of cosine [default: 0].
    #[arg(long, value_parser = not_negative, help_heading = "Schedule")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_lr: Option<f64>,
    /// Epochs between decays of step [default: 30].
    #[arg(long, value_parser = positive, help_heading = "Schedule")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay_epochs: Option<f64>,
    /// Factor of each decay of step [default: 0.1].
    #[arg(long, value_parser = positive, help_heading = "Schedule")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay_rate: Option<f64>,
    /// Label smoothing.
    #[arg(long, default_value_t = 0.0, value_parser = below_one)]
    pub smoothing: f64,
    /// Random crop of training images padded by this many pixels.
    #[arg(long, default_value_t = 0, value_name = "PIXELS", value_parser = clap::value_parser!(u8).range(0..=64))]
    pub random_crop: u8,
    /// Probability of a horizontal flip of training images.
    #[arg(long, default_value_t = 0.0, value_parser = probability)]
    pub hflip: f64,
    /// Seed of initial values, order and augmentation.
    #[arg(long, default_value_t = 42, value_parser = seed)]
    pub seed: u64,
    /// Worker threads [default: all cores]; the results do not depend on it.
    #[arg(long, value_parser = threads)]
    #[serde(skip)]
    pub threads: Option<usize>,
    /// Folder of runs.
    #[arg(long, default_value = "runs", value_name = "DIR")]
    #[serde(skip)]
    pub output: PathBuf,
    /// Name of this run's folder [default: time, model and data set].
    #[arg(long, value_name = "NAME")]
    #[serde(skip)]
    pub experiment: Option<String>,
    /// Go on with the run in this folder, bit for bit; its settings are used.
    #[arg(long, value_name = "RUN")]
    #[serde(skip)]
    pub resume: Option<PathBuf>,
    /// Write a line to stderr every so many steps (0: none).
    #[arg(long, default_value_t = 0, value_name = "STEPS")]
    #[serde(skip)]
    pub log_interval: u64,
    /// Print one JSON object on stdout at the end; everything else goes to stderr.
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,
    /// Optimizer and its settings.
    #[command(flatten)]
    #[serde(flatten)]
    pub optimizer: OptArgs,
}

/// Flags that may stand beside `--resume`.
const WITH_RESUME: &[&str] = &["resume", "json", "threads", "log_interval"];

impl TrainArgs {
    /// Settings from the command line (without the program's and the command's names) and the file that `-c` names.
    ///
    /// # Errors
    /// A clap error for the command line; ours for the file.
    pub fn from_command_line(flags: &[String]) -> std::result::Result<Self, ArgsError> {
        let matches = Self::command().try_get_matches_from(with_name(flags))?;
        let cli = Self::from_arg_matches(&matches)?;
        if cli.resume.is_some() {
            let given = |id: &&str| matches.value_source(id) == Some(clap::parser::ValueSource::CommandLine);
            let command = Self::command();
            let ids: Vec<&str> = command.get_arguments().map(|a| a.get_id().as_str()).collect();
            if let Some(id) = ids.iter().filter(|id| !WITH_RESUME.contains(id)).find(|id| given(id)) {
                let flag = id.replace('_', "-");
                return Err(Error::Config(format!(
                    "--{flag} cannot stand beside --resume: the run goes on with its own settings"
                ))
                .into());
            }
        }
        let args = match &cli.config {
            None => cli,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|e| Error::Config(format!("{}: {e}", path.display())))?;
                let from_file = flags_of_toml(&text, &Self::command(), &path.display().to_string())?;
                let all: Vec<String> = from_file.into_iter().chain(flags.iter().cloned()).collect();
                Self::from_arg_matches(&Self::command().try_get_matches_from(with_name(&all))?)?
            }
        };
        args.validate()?;
        Ok(args)
    }

    /// Settings from TOML alone, as [`TrainArgs::to_toml`] wrote them.
    ///
    /// # Errors
    /// When a key or value is wrong; `origin` names the file in the message.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self> {
        let flags = flags_of_toml(text, &Self::command(), origin)?;
        let args = Self::try_parse_from(with_name(&flags))
            .map_err(|e| Error::Config(format!("{origin}: {}", one_line(&e))))?;
        args.validate()?;
        Ok(args)
    }

    /// The settings that make a run what it is, as TOML.
    ///
    /// # Errors
    /// When a value has no TOML form (a path that is not Unicode).
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::Config(format!("settings: {e}")))
    }

    fn validate(&self) -> Result<()> {
        self.optimizer.validate()?;
        if self.warmup_epochs >= self.epochs as f64 {
            let (w, e) = (self.warmup_epochs, self.epochs);
            return Err(Error::Config(format!("--warmup-epochs {w} must be less than --epochs {e}")));
        }
        let lr = self.optimizer.lr()?;
        if let Some(min_lr) = self.min_lr.filter(|m| *m > lr) {
            return Err(Error::Config(format!("--min-lr {min_lr} must not be greater than --lr {lr}")));
        }
        let given = [
            ("min-lr", self.min_lr.is_some(), "cosine"),
            ("decay-epochs", self.decay_epochs.is_some(), "step"),
            ("decay-rate", self.decay_rate.is_some(), "step"),
        ];
        if let Some((flag, _, of)) = given.iter().find(|(_, given, of)| *given && *of != self.sched) {
            let sched = &self.sched;
            return Err(Error::Config(format!(
                "--{flag} is a setting of --sched {of}, not of --sched {sched}"
            )));
        }
        if self.warmup_lr.is_some() && self.warmup_epochs == 0.0 {
            return Err(Error::Config("--warmup-lr needs --warmup-epochs".into()));
        }
        if let Some(name) = &self.experiment
            && (name.is_empty() || name.contains(['/', '\\']) || name == "." || name == "..")
        {
            return Err(Error::Config(format!(
                "--experiment '{name}' is not a folder name; use --output for its place"
            )));
        }
        Ok(())
    }

    /// The schedule and its settings.
    ///
    /// # Errors
    /// When the schedule is unknown.
    pub fn schedule(&self) -> Result<(&'static ScheduleRow, ScheduleConfig)> {
        let config = ScheduleConfig {
            lr: self.optimizer.lr()?,
            min_lr: self.min_lr.unwrap_or(0.0),
            epochs: self.epochs as f64,
            warmup_epochs: self.warmup_epochs,
            warmup_lr: self.warmup_lr.unwrap_or(1e-5),
            decay_epochs: self.decay_epochs.unwrap_or(30.0),
            decay_rate: self.decay_rate.unwrap_or(0.1),
        };
        Ok((row(SCHEDULES, |s| s.name, &self.sched)?, config))
    }
}

fn with_name(flags: &[String]) -> impl Iterator<Item = String> + Clone {
    std::iter::once("sph train".to_string()).chain(flags.iter().cloned())
}

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
        let text = match value {
            toml::Value::Array(items) => {
                items.iter().map(scalar).collect::<Option<Vec<_>>>().map(|v| v.join(","))
            }
            value => scalar(value),
        };
        let text = text.ok_or_else(|| fail(format!("key '{key}': a table or date is not a setting")))?;
        let switch =
            command.get_arguments().any(|a| a.get_long() == Some(&name) && !a.get_action().takes_values());
        let flag = match (switch, &*text) {
            (true, "true") => Some(format!("--{name}")),
            (true, "false") => None,
            (true, _) => return Err(fail(format!("key '{key}' is true or false, not {text}"))),
            (false, _) => Some(format!("--{name}={text}")),
        };
        if let Some(flag) = flag {
            let alone = ["file".to_string(), flag.clone()];
            let checked = command.clone().try_get_matches_from(alone);
            checked.map_err(|e| fail(format!("key '{key}': {}", one_line(&e))))?;
            flags.push(flag);
        }
    }
    Ok(flags)
}

/// What is wrong with a command line.
#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    /// clap's view; also carries `--help`.
    #[error(transparent)]
    Clap(#[from] clap::Error),
    /// Ours.
    #[error(transparent)]
    Config(#[from] Error),
}

/// A clap error as one line: what is wrong, then its tips.
pub fn one_line(e: &clap::Error) -> String {
    let text = e.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let first =
        text.lines().take_while(|l| !l.trim().is_empty()).map(str::trim).collect::<Vec<_>>().join(" ");
    let tips = text.lines().filter_map(|l| l.trim().strip_prefix("tip: ")).map(|t| format!("; {t}"));
    first + &tips.collect::<String>()
}

/// A file's path as users gave it, for messages.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &str) -> std::result::Result<TrainArgs, String> {
        let flags: Vec<String> = flags.split_whitespace().map(String::from).collect();
        TrainArgs::from_command_line(&flags).map_err(|e| match e {
            ArgsError::Clap(e) => one_line(&e),
            ArgsError::Config(e) => e.to_string(),
        })
    }

    #[test]
    fn settings_survive_the_way_through_toml() {
        let args = parse(
            "--opt adamw --opt-betas 0.8,0.99 --model mlp --lr 3e-4 --hflip 0.5 --val-split 0.1 --seed 7",
        )
        .unwrap();
        let text = args.to_toml().unwrap();
        let back = TrainArgs::from_toml(&text, "args.toml").unwrap();
        assert_eq!(back.to_toml().unwrap(), text);
        assert_eq!(back.optimizer.lr, Some(3e-4));
        assert_eq!(back.optimizer.opt_betas, Some(Betas(0.8, 0.99)));
    }

    #[test]
    fn flags_override_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, "epochs = 7\nbatch_size = 32\nnesterov = true\nopt = 'sgd'\n").unwrap();
        let args = parse(&format!("-c {} --epochs 3", path.display())).unwrap();
        assert_eq!((args.epochs, args.batch_size, args.optimizer.nesterov), (3, 32, Some(true)));
    }

    #[test]
    fn mistakes_are_named_in_one_line() {
        let cases = [
            ("--lr -1", "must be greater than 0"),
            ("--lr x", "is not a number"),
            ("--batch-size 0", "must be a whole number from 1"),
            ("--epochs 1.5", "must be a whole number from 1"),
            ("--modle mlp", "'--model'"),
            ("--model resnet9", "'resnet8'"),
            ("--opt sgd --tau 1", "--tau is a setting of --opt sph"),
            ("--warmup-epochs 30", "must be less than --epochs"),
            ("--resume x --lr 1", "--lr cannot stand beside --resume"),
            ("-c nowhere.toml", "nowhere.toml"),
        ];
        for (flags, message) in cases {
            let e = parse(flags).unwrap_err();
            assert!(e.contains(message) && !e.contains('\n'), "{flags}: {e}");
        }
        let file = |text: &str| TrainArgs::from_toml(text, "f.toml").unwrap_err().to_string();
        assert!(file("learning = 1").contains("f.toml: unknown key 'learning'"));
        assert!(file("batchsize = 1").contains("the nearest known one is 'batch-size'"));
        assert!(file("lr = -1").contains("key 'lr'"));
        assert!(file("lr = ").contains("f.toml"));
        assert!(file("lr = { a = 1 }").contains("key 'lr'"));
    }
}
