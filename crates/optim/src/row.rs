//! A row of the table of optimizers, and what its defaults depend on.

use crate::SettingsError;
use crate::rule::AnyRule;
use crate::settings::{Setting, Settings};

/// A row of the table of optimizers: all that users are told of one, and how it is made.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The name users give.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// Its settings. Those that every optimizer has (`clip-grad`, `clip-mode`, `backtrack`) are not among them.
    pub settings: &'static [Setting],
    /// What suits a task, a model and the settings that are given, where that differs from the settings' usual values. The half for
    /// second-order blocks may say so of settings of the other half, too.
    pub defaults: fn(&Context<'_>, &Settings) -> Settings,
    /// Whether the settings given go together, beyond each one's range, and with the rule for the rest.
    pub check: fn(&Settings, Option<&Row>) -> Result<(), SettingsError>,
    /// How it is made.
    pub build: Build,
    /// Its steps are about as long as the learning rate, whatever the length of the gradient, as Adam's are.
    pub unit_steps: bool,
    /// It models the loss along its own step and takes steps back: gradients must be as they are, and steps are not halved.
    pub judges_steps: bool,
    /// It makes sense for adaptation by 1-D parameters.
    pub adapts: bool,
}

/// How an optimizer is made of its settings, each of which has a value where it has a usual one.
#[derive(Debug, Clone, Copy)]
pub enum Build {
    /// A rule for any parameters: an optimizer alone, or the half for the rest beside second-order blocks.
    Any(fn(&Settings) -> Result<AnyRule, SettingsError>),
    /// A rule for second-order blocks, which takes one for the rest.
    Blocks {
        /// The name of the rule for the rest that suits, where none is given.
        rest: fn(&Context<'_>, &Settings) -> &'static str,
        /// The optimizer of both halves.
        build: fn(&Settings, AnyRule) -> Result<AnyRule, SettingsError>,
    },
}

impl Row {
    /// An optimizer whose usual values suit everything; other fields stand in the place of what this says.
    pub const fn new(
        name: &'static str,
        about: &'static str,
        settings: &'static [Setting],
        build: Build,
    ) -> Self {
        Row {
            name,
            about,
            settings,
            defaults: |_, _| Settings::default(),
            check: |_, _| Ok(()),
            build,
            unit_steps: false,
            judges_steps: false,
            adapts: true,
        }
    }

    /// Whether it is a rule for any parameters.
    pub fn is_rule(&self) -> bool {
        matches!(self.build, Build::Any(_))
    }

    /// The setting of that name.
    pub fn setting(&self, name: &str) -> Option<&'static Setting> {
        self.settings.iter().find(|s| s.name == name)
    }
}

/// What defaults depend on.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What is done.
    pub task: Task,
    /// The model has norms.
    pub norms: bool,
    /// The model works on tokens: a transformer, a mixer.
    pub tokens: bool,
    /// The rule for the rest, in an optimizer of two halves.
    pub rest: Option<&'a Row>,
}

impl Default for Context<'_> {
    fn default() -> Self {
        Context { task: Task::Train, norms: true, tokens: false, rest: None }
    }
}

/// What an optimizer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Training a network.
    Train,
    /// Adapting a trained network.
    Adapt {
        /// The loss reads labels.
        labels: bool,
        /// Images in a batch, where that is known.
        batch: Option<usize>,
    },
}

impl Context<'_> {
    /// The learning rate, by the task: without labels a tenth of adaptation's.
    pub(crate) fn lr(&self, train: f64, adapt: f64) -> f64 {
        match self.task {
            Task::Train => train,
            Task::Adapt { labels: true, .. } => adapt,
            Task::Adapt { labels: false, .. } => 0.1 * adapt,
        }
    }

    /// SGD's rate of training where nothing holds large steps back: without norms, a tenth.
    pub(crate) fn sgd_lr(&self, lr: f64) -> f64 {
        if self.norms { lr } else { lr / 10.0 }
    }

    /// The rule for the rest takes steps about as long as the learning rate.
    pub(crate) fn beside_unit_steps(&self) -> bool {
        self.rest.is_some_and(|r| r.unit_steps)
    }
}
