//! Settings of the optimizer. Flags, help and ranges come from the table of optimizers ([`sph_optim::presets`]).

use super::group::GroupArgs;
use super::optimizer_help::{self, Text};
use super::values::{names, row, selection};
use crate::error::{Result, flags};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use serde::ser::{Serialize, SerializeMap, Serializer};
use sph_nn::{NormStatistics, ParamSpec, Real, Selection, Store};
use sph_optim::presets::{self, Context, Row, Task};
use sph_optim::settings::{CURVATURE_BATCH, Kind, LR, Setting, Settings, Value};
use sph_optim::{Choice, GroupSettings, Optimizer, REST, SettingsError};
use std::collections::BTreeSet;

/// The optimizer and its settings. A setting that the chosen optimizer does not have is an error.
#[derive(Debug, Clone)]
pub struct OptArgs {
    /// The optimizer's name.
    pub opt: String,
    /// Parameters that are trained, in words and patterns.
    pub trainable: String,
    /// What norms with running statistics normalize by in training, by name.
    pub norm_statistics: String,
    /// Settings of parameters of their own.
    pub group: Vec<GroupArgs>,
    /// The settings that were given, or that suit what is done.
    given: Settings,
}

const TRAINABLE: &str = "Parameters that are trained, such as 1d, norm, head or layer4.*";
const TRAINABLE_LONG: &str = "Parameters that are trained: unfrozen (all but those without requires_grad in the file of a network), all, 1d \
                         (norms, biases, magnitudes), norm, scale, shift, magnitude, bias, second-order, head, or patterns of names such as 'layer4.*,fc.*'. The others are frozen: no gradient of \
                         theirs is computed";
/// The word for what the network's file does not freeze.
const UNFROZEN: &str = "unfrozen";
const NORM_STATISTICS: &str = "What BatchNorm normalizes by while training";
const GROUP: &str = "Settings of parameters named as in --trainable, such as 'head: lr-mult=10, weight-decay=0, momentum=0.8'; may \
                     be given again. In a file: `[[group]]` tables with params and these keys";

/// A parser of the names of some rows.
fn row_names(which: impl Fn(&Row) -> bool) -> PossibleValuesParser {
    let rows = presets::all().into_iter().filter(|r| which(r));
    PossibleValuesParser::new(
        rows.map(|r| PossibleValue::new(r.name).help(flags(r.about))).collect::<Vec<_>>(),
    )
}

/// The parser of optimizers.
pub(crate) fn optimizer_names() -> PossibleValuesParser {
    row_names(|_| true)
}

/// The parser of the optimizers that `sph adapt` takes.
fn adapt_optimizers() -> PossibleValuesParser {
    row_names(|row| row.adapts)
}

/// The names of the optimizer's flags.
pub(crate) fn optimizer_flags() -> BTreeSet<String> {
    let command = OptArgs::augment_args(Command::new("optimizer"));
    command.get_arguments().filter_map(|a| a.get_long()).map(String::from).collect()
}

/// Whether a setting is the optimizer's: others are of the data, the model and how long it is trained.
pub(crate) fn is_of_optimizer(name: &str) -> bool {
    optimizer_flags().contains(name)
}

/// The name by which clap knows a setting.
fn id(name: &str) -> String {
    name.replace('-', "_")
}

/// The parser of a setting's values.
fn parser(setting: Setting) -> ValueParser {
    match setting.kind {
        Kind::Name(names) => {
            let value = |(name, about): (String, String)| PossibleValue::new(name).help(about);
            let names = PossibleValuesParser::new(names().into_iter().map(value).collect::<Vec<_>>());
            names.map(Value::from).into()
        }
        _ => ValueParser::new(move |text: &str| setting.parse(text)),
    }
}

/// The flag of a setting.
fn flag(name: String, setting: Setting, Text { short, long }: Text) -> Arg {
    let arg = Arg::new(id(&name)).long(name).help(short).long_help(long).value_parser(parser(setting));
    match setting.kind {
        Kind::Switch => {
            arg.num_args(0..=1).default_missing_value("true").require_equals(true).value_name("BOOL")
        }
        Kind::Pair(_) => arg.value_name("A,B"),
        Kind::Count(..) => arg.value_name("N"),
        Kind::Parameters => arg.value_name("WHICH"),
        Kind::Number(_) => arg.value_name("NUMBER"),
        Kind::Name(_) => arg.value_name("NAME"),
    }
}

impl Args for OptArgs {
    fn augment_args(command: Command) -> Command {
        let mut command = command.arg(
            Arg::new("opt")
                .long("opt")
                .help("Optimizer")
                .value_name("NAME")
                .default_value(presets::all()[0].name)
                .value_parser(optimizer_names()),
        );
        let help = optimizer_help::help(Task::Train);
        for setting in optimizer_help::settings() {
            let help = help.get(setting.name).cloned().unwrap_or_default();
            command = command.arg(flag(setting.name.into(), setting, help));
        }
        for (setting, both) in optimizer_help::settings_of_rest() {
            let name = format!("{REST}{}", setting.name);
            let short = format!("--{} of the rule for the rest alone", setting.name);
            let help = Text { long: short.clone(), short };
            // Where one half has it, its own name says all.
            command = command.arg(flag(name, setting, help).hide(!both));
        }
        command
            .arg(
                Arg::new("trainable")
                    .long("trainable")
                    .help(TRAINABLE)
                    .long_help(TRAINABLE_LONG)
                    .default_value(UNFROZEN)
                    .value_name("WHICH")
                    .value_parser(selection),
            )
            .arg(
                Arg::new("norm_statistics")
                    .long("norm-statistics")
                    .help(NORM_STATISTICS)
                    .default_value(NormStatistics::ALL[0].0)
                    .value_name("WHICH")
                    .value_parser(names(NormStatistics::ALL.iter().map(|s| (s.0, s.2)))),
            )
            .arg(
                Arg::new("group")
                    .long("group")
                    .help(GROUP)
                    .action(ArgAction::Append)
                    .value_name("GROUP")
                    .value_parser(str::parse::<GroupArgs>),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// A flag of `sph adapt`: with what its help says of adaptation, hidden where that has no use for it.
pub(super) fn for_adaptation(arg: Arg) -> Arg {
    match arg.get_id().as_str() {
        "opt" => arg.value_parser(adapt_optimizers()),
        "trainable" => arg.default_value("second-order"),
        _ => {
            let long = arg.get_long().unwrap_or_default();
            match optimizer_help::help(ADAPTATION).get(long) {
                Some(text) => {
                    let hidden = !optimizer_help::adapts(long);
                    arg.help(text.short.clone()).long_help(text.long.clone()).hide(hidden)
                }
                None => arg,
            }
        }
    }
}

/// Adaptation with labels.
const ADAPTATION: Task = Task::Adapt { labels: true, batch: None };

impl FromArgMatches for OptArgs {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        let text = |id: &str| matches.get_one::<String>(id).cloned().unwrap_or_default();
        let mut given = Settings::default();
        let of_rest =
            optimizer_help::settings_of_rest().into_iter().map(|(s, _)| format!("{REST}{}", s.name));
        for name in optimizer_help::settings().into_iter().map(|s| s.name.to_string()).chain(of_rest) {
            if let Some(value) = matches.get_one::<Value>(&id(&name)) {
                given.set(name, value.clone());
            }
        }
        let group = matches.get_many::<GroupArgs>("group").into_iter().flatten().cloned().collect();
        let [opt, trainable, norm_statistics] = ["opt", "trainable", "norm_statistics"].map(text);
        Ok(OptArgs { opt, trainable, norm_statistics, group, given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> std::result::Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Serialize for OptArgs {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("opt", &self.opt)?;
        map.serialize_entry("trainable", &self.trainable)?;
        map.serialize_entry("norm-statistics", &self.norm_statistics)?;
        for (name, value) in self.given.iter() {
            match value {
                Value::Number(v) => map.serialize_entry(name, v)?,
                Value::Count(n) => map.serialize_entry(name, n)?,
                Value::Switch(on) => map.serialize_entry(name, on)?,
                Value::Name(_) | Value::Pair(..) => map.serialize_entry(name, &value.to_string())?,
            }
        }
        if !self.group.is_empty() {
            map.serialize_entry("group", &self.group)?;
        }
        map.end()
    }
}

impl OptArgs {
    /// The setting of that name, where it was given or suits what is done.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.given.get(name)
    }

    /// The optimizer of the table with these settings. What they do not say has its usual value.
    ///
    /// # Errors
    /// When settings do not fit the optimizer or each other.
    pub fn choice(&self) -> Result<Choice> {
        Ok(Choice::new(&self.opt, self.given.clone(), &Context::default())?)
    }

    /// With the settings that suit what is done, where none are given.
    ///
    /// # Errors
    /// As [`OptArgs::choice`].
    pub fn suited(self, cx: &Context<'_>) -> Result<Self> {
        let choice = Choice::new(&self.opt, self.given.clone(), cx)?.suited(cx);
        Ok(OptArgs { given: choice.given().clone(), ..self })
    }

    /// With this learning rate.
    #[must_use]
    pub(super) fn with_lr(mut self, lr: f64) -> Self {
        self.given.set(LR.name, lr);
        self
    }

    /// The learning rate: the one given or the optimizer's usual one.
    ///
    /// # Errors
    /// As [`OptArgs::choice`].
    pub fn lr(&self) -> Result<f64> {
        Ok(self.choice()?.lr(&Context::default()))
    }

    /// The part of each batch that curvature is taken on.
    ///
    /// # Errors
    /// As [`OptArgs::choice`].
    pub fn curvature_batch(&self) -> Result<f64> {
        self.curvature_batch_in(&Context::default())
    }

    /// The part of each batch of `images` that adaptation takes curvature on.
    ///
    /// # Errors
    /// As [`OptArgs::choice`].
    pub fn curvature_batch_in_adaptation(&self, images: usize) -> Result<f64> {
        let task = Task::Adapt { labels: true, batch: Some(images) };
        self.curvature_batch_in(&Context { task, ..Context::default() })
    }

    fn curvature_batch_in(&self, cx: &Context<'_>) -> Result<f64> {
        Ok(self.choice()?.settings(cx).number(CURVATURE_BATCH.name).unwrap_or(1.0))
    }

    /// Whether its steps want curvature of images.
    ///
    /// # Errors
    /// As [`OptArgs::choice`].
    pub(crate) fn takes_curvature(&self) -> Result<bool> {
        Ok(self.choice()?.has(CURVATURE_BATCH.name))
    }

    /// Freezes what `--trainable` does not name, and says what norms normalize by. What a user should know of it is returned, a line each.
    ///
    /// # Errors
    /// When a part of it names no parameter of the model, or the model has frozen them all.
    pub fn freeze<T: Real>(&self, store: &mut Store<T>) -> Result<Vec<String>> {
        let fail = |source| SettingsError::Selection {
            setting: "trainable",
            selection: self.trainable.clone(),
            source,
            note: (self.trainable == UNFROZEN)
                .then_some("the file has no parameter with requires_grad; --trainable all trains them all"),
        };
        let selection: Selection = self.trainable.parse().map_err(fail)?;
        selection.select(store.specs(), |_| true).map_err(fail)?;
        store.freeze(|s| !selection.matches(s));
        store.norm_statistics = row(&NormStatistics::ALL, |s| s.0, &self.norm_statistics)?.1;
        Ok(self.frozen_by_file(store.specs()).into_iter().collect())
    }

    /// What becomes of the parameters that the network's file freezes, if there are any.
    fn frozen_by_file(&self, specs: &[ParamSpec]) -> Option<String> {
        let of_file: Vec<&ParamSpec> = specs.iter().filter(|s| s.frozen_by_default).collect();
        let (first, n, all) = (&of_file.first()?.name, of_file.len(), specs.len());
        let begin =
            format!("the network's file freezes {n} of {all} parameters (no requires_grad), '{first}' first");
        Some(match of_file.iter().filter(|s| !s.frozen).count() {
            0 => format!("{begin}: they are not trained; --trainable all, or patterns of names, trains them"),
            trained => format!("{begin}: --trainable {} trains {trained} of them", self.trainable),
        })
    }

    /// The second-order blocks among `specs`; none for optimizers without.
    ///
    /// # Errors
    /// When `--second-order` chooses none.
    pub fn blocks(&self, specs: &[ParamSpec]) -> Result<Vec<usize>> {
        Ok(self.choice()?.blocks(specs, &Context::default())?)
    }

    /// The optimizer over `specs`; `seed` is that of random probes and labels.
    ///
    /// # Errors
    /// When settings do not fit the optimizer, each other or the parameters.
    pub fn build<T: Real>(&self, specs: &[ParamSpec], seed: u64) -> Result<Optimizer<T>> {
        let mut given = self.given.clone();
        given.seed = seed;
        let cx = Context::default();
        let groups: Vec<GroupSettings> = self.group.iter().map(GroupArgs::settings).collect::<Result<_>>()?;
        Ok(Choice::new(&self.opt, given, &cx)?.build(specs, &groups, &cx)?)
    }
}
