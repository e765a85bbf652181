//! An optimizer by its name in the table and by settings: what flags, files and other programs give.

use crate::group::Optimizer;
use crate::presets::{self, FIRST_ORDER};
use crate::row::{Build, Context, Row};
use crate::settings::{
    BACKTRACK, CLIP_GRAD, CLIP_MODE, CURVATURE_BATCH, LR, MOMENTUM, SECOND_ORDER, Setting, Settings, Value,
};
use crate::transforms::{Backtrack, CLIP_MODES, ClipGradient};
use crate::{AnyRule, Overrides, Rule, SettingsError};
use sph_autodiff::{ParamSpec, Selection};
use sph_tensor::Element;

/// How names of settings begin that are meant for the rule for the rest alone.
pub const REST: &str = "rest.";

/// Settings that every optimizer has.
const COMMON: [Setting; 3] = [CLIP_GRAD, CLIP_MODE, BACKTRACK];
/// Settings of optimizers with two halves.
const HALVES: [Setting; 2] = [SECOND_ORDER, FIRST_ORDER];

/// Whether a rule reads the setting: the learning rate is read by who takes steps, the part of a batch by who evaluates the loss.
pub fn is_of_a_half(name: &str) -> bool {
    ![LR, CURVATURE_BATCH].iter().any(|s| s.name == name)
}

/// An optimizer of the table with the settings that were given for it.
///
/// In one of two halves a setting that both have is meant for both, and `rest.NAME` for the rule for the rest alone.
///
/// ```
/// use sph_optim::presets::Context;
/// use sph_optim::settings::Settings;
/// use sph_optim::{Choice, ParamSpec, Role};
///
/// let given = Settings::default().with("first-order", "adamw").with("tau", 0.2);
/// let choice = Choice::new("sph", given, &Context::default()).unwrap();
/// assert_eq!(choice.settings(&Context::default()).number("lr"), Some(0.001));
/// let specs = [ParamSpec::new("w", &[2, 3], Role::Weight), ParamSpec::new("g", &[4], Role::NormScale)];
/// assert!(choice.build::<f32>(&specs, &[], &Context::default()).is_ok());
/// let e = Choice::new("sgd", Settings::default().with("tau", 0.2), &Context::default()).unwrap_err();
/// assert_eq!(e.to_string(), "`tau` is a setting of `opt` sph, not of `opt` sgd");
/// ```
#[derive(Debug, Clone)]
pub struct Choice {
    row: &'static Row,
    rest: Option<&'static Row>,
    given: Settings,
}

/// Settings of parameters that stand in the place of their optimizer's.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupSettings {
    /// Which parameters.
    pub params: Selection,
    /// What the learning rate is multiplied by, greater than 0.
    pub lr_mult: Option<f64>,
    /// Weight decay, at least 0.
    pub weight_decay: Option<f64>,
    /// Momentum in [0, 1).
    pub momentum: Option<f64>,
}

impl Choice {
    /// The optimizer called `name` with these settings; in `cx` a rule for the rest is chosen where none is given.
    ///
    /// # Errors
    /// When there is none of that name; when a setting is not the optimizer's, out of its range, or does not go with another.
    pub fn new(name: &str, given: Settings, cx: &Context<'_>) -> Result<Self, SettingsError> {
        let row = presets::find(name)?;
        let rest = match row.build {
            Build::Any(_) => None,
            Build::Blocks { rest, .. } => {
                let rest = presets::find(given.name(FIRST_ORDER.name).unwrap_or(rest(cx, &given)))?;
                FIRST_ORDER.check(rest.name)?;
                Some(rest)
            }
        };
        let choice = Choice { row, rest, given };
        for (name, value) in choice.given.iter() {
            choice.setting(name).ok_or_else(|| choice.foreign(name))?.check(value.clone())?;
        }
        choice.check()?;
        Ok(choice)
    }

    /// The optimizer's row.
    pub fn row(&self) -> &'static Row {
        self.row
    }

    /// The settings that were given.
    pub fn given(&self) -> &Settings {
        &self.given
    }

    /// The rows of its halves: for second-order blocks first.
    fn rows(&self) -> impl Iterator<Item = &'static Row> {
        std::iter::once(self.row).chain(self.rest)
    }

    /// Its settings by name, each once; those of the rest alone are not among them.
    pub fn all_settings(&self) -> Vec<&'static Setting> {
        let halves: &'static [Setting] = if self.rest.is_some() { &HALVES } else { &[] };
        let mut all: Vec<&'static Setting> = Vec::new();
        for setting in self.rows().flat_map(|r| r.settings).chain(halves).chain(&COMMON) {
            if !all.iter().any(|s| s.name == setting.name) {
                all.push(setting);
            }
        }
        all
    }

    /// The setting of that name.
    fn setting(&self, name: &str) -> Option<&'static Setting> {
        match name.strip_prefix(REST) {
            Some(name) => self.rest?.setting(name).filter(|_| is_of_a_half(name)),
            None => self.all_settings().into_iter().find(|s| s.name == name),
        }
    }

    /// Whether a setting of that name is the optimizer's.
    pub fn has(&self, name: &str) -> bool {
        self.setting(name).is_some()
    }

    /// The error that a setting is not the optimizer's.
    fn foreign(&self, setting: &str) -> SettingsError {
        let name = setting.strip_prefix(REST).unwrap_or(setting);
        let of_halves = HALVES.iter().any(|s| s.name == name);
        let having: Vec<_> = presets::all()
            .into_iter()
            .filter(|row| row.setting(name).is_some() || of_halves && !row.is_rule())
            .collect();
        let names =
            |rows: &mut dyn Iterator<Item = &&'static Row>| rows.map(|r| r.name.to_string()).collect();
        let rules: Vec<String> = names(&mut having.iter().filter(|r| r.is_rule()));
        let setting = setting.to_string();
        match self.rest {
            Some(_) if !rules.is_empty() => SettingsError::NeedsRest { setting, of: rules },
            _ => SettingsError::Foreign {
                setting,
                of: names(&mut having.iter()),
                optimizer: self.row.name.into(),
            },
        }
    }

    fn check(&self) -> Result<(), SettingsError> {
        (self.row.check)(&self.given, self.rest)?;
        self.rest.map_or(Ok(()), |rest| (rest.check)(&self.given, None))?;
        let conflict = |setting: &str, with: String, reason| {
            Err(SettingsError::Conflict { setting: setting.into(), value: None, with, reason })
        };
        let judge = match self.rest {
            Some(rest) => rest.judges_steps.then(|| format!("`{}` {}", FIRST_ORDER.name, rest.name)),
            None => self.row.judges_steps.then(|| format!("`opt` {}", self.row.name)),
        };
        match judge {
            Some(judge) if self.given.get(CLIP_GRAD.name).is_some() => {
                return conflict(CLIP_GRAD.name, judge, "models the loss by its gradient as it is");
            }
            Some(judge) if self.given.count(BACKTRACK.name).is_some_and(|n| n > 0) => {
                return conflict(BACKTRACK.name, judge, "takes steps back by itself");
            }
            _ => (),
        }
        match self.given.get(CLIP_MODE.name) {
            Some(_) if self.given.get(CLIP_GRAD.name).is_none() => conflict(
                CLIP_MODE.name,
                format!("`{}`", CLIP_MODE.name),
                "needs `clip-grad`, without which nothing is clipped",
            ),
            _ => Ok(()),
        }
    }

    fn context<'c>(&self, cx: &Context<'c>) -> Context<'c> {
        Context { rest: self.rest, ..*cx }
    }

    /// What suits the task and the model, where it is not given. What the half for blocks says comes first.
    fn suiting(&self, cx: &Context<'_>) -> Settings {
        let cx = self.context(cx);
        let mut all = (self.row.defaults)(&cx, &self.given);
        if let Some(rest) = self.rest {
            all.set(FIRST_ORDER.name, rest.name);
            all.fill(&(rest.defaults)(&cx, &self.given));
        }
        all
    }

    /// The value of every setting: the one given, or the usual one. A task's own settings may stand among them.
    pub fn settings(&self, cx: &Context<'_>) -> Settings {
        let mut all = self.given.clone();
        all.fill(&self.suiting(cx));
        for setting in self.all_settings() {
            if let (None, Some(default)) = (all.get(setting.name), setting.default) {
                all.set(setting.name, default());
            }
        }
        all
    }

    /// The same optimizer with all in its settings that suits the task and the model and would be another value in a training of a model with
    /// norms. These settings say what a run is, wherever they are read again.
    #[must_use]
    pub fn suited(self, cx: &Context<'_>) -> Self {
        let there = Choice { given: self.given.clone(), ..self }.settings(&Context::default());
        let usual_rest = Choice::new(self.row.name, Settings::default(), &Context::default());
        let usual_rest = usual_rest.ok().and_then(|c| c.rest).map(|r| r.name);
        let mut given = self.given.clone();
        for (name, value) in self.suiting(cx).iter() {
            let usual = match name == FIRST_ORDER.name {
                true => usual_rest.map(Value::from),
                false => there.get(name).cloned(),
            };
            if self.has(name) && given.get(name).is_none() && usual.as_ref() != Some(value) {
                given.set(name, value.clone());
            }
        }
        Choice { given, ..self }
    }

    /// The learning rate: the one given or the usual one.
    pub fn lr(&self, cx: &Context<'_>) -> f64 {
        self.settings(cx).number(LR.name).unwrap_or_default()
    }

    /// The optimizer as a rule.
    ///
    /// # Errors
    /// When a setting is missing, or names nothing.
    pub fn rule(&self, cx: &Context<'_>) -> Result<AnyRule, SettingsError> {
        let all = self.settings(cx);
        match (self.row.build, self.rest) {
            (Build::Any(build), _) => build(&all),
            (Build::Blocks { build, .. }, Some(rest)) => build(&all, self.rule_of(rest, cx)?),
            (Build::Blocks { .. }, None) => Err(SettingsError::Missing(FIRST_ORDER.name)),
        }
    }

    /// The rule for the rest: what is given for it alone, then what is given for both halves, then what suits, then its own usual values.
    fn rule_of(&self, rest: &'static Row, cx: &Context<'_>) -> Result<AnyRule, SettingsError> {
        let mut own = Settings::default();
        own.seed = self.given.seed;
        for (name, value) in self.given.iter() {
            if let Some(name) = name.strip_prefix(REST) {
                own.set(name, value.clone());
            }
        }
        own.fill(&self.given);
        own.fill(&self.suiting(cx));
        for setting in rest.settings {
            if let (None, Some(default)) = (own.get(setting.name), setting.default) {
                own.set(setting.name, default());
            }
        }
        match rest.build {
            Build::Any(build) => build(&own),
            Build::Blocks { .. } => Err(SettingsError::Missing(FIRST_ORDER.name)),
        }
    }

    /// The second-order blocks among `specs`; none for optimizers without.
    ///
    /// # Errors
    /// When the choice of blocks chooses none.
    pub fn blocks(&self, specs: &[ParamSpec], cx: &Context<'_>) -> Result<Vec<usize>, SettingsError> {
        self.rule(cx)?.blocks(specs)
    }

    /// The optimizer over `specs`, with `groups` that have settings of their own; a later one stands in the place of an earlier one.
    ///
    /// # Errors
    /// When settings do not fit the parameters; when a group names none that is trained, or gives momentum to one whose rule has none.
    pub fn build<T: Element>(
        &self,
        specs: &[ParamSpec],
        groups: &[GroupSettings],
        cx: &Context<'_>,
    ) -> Result<Optimizer<T>, SettingsError> {
        let rule = self.rule(cx)?;
        let overrides = self.overrides(specs, groups, &rule.blocks(specs)?)?;
        let mut optimizer = rule.build(specs)?.with_overrides(overrides);
        let all = self.settings(cx);
        if let Some(halvings) = all.count(BACKTRACK.name).filter(|n| *n > 0) {
            let backtrack = Backtrack { halvings: halvings as u32 };
            optimizer = optimizer.followed_by("backtrack", Box::new(backtrack));
        }
        if let Some(limit) = all.number(CLIP_GRAD.name) {
            let mode = CLIP_MODE.name_in(&all)?;
            let mode =
                CLIP_MODES.iter().find(|m| m.0 == mode).ok_or(SettingsError::Missing(CLIP_MODE.name))?.1;
            optimizer = optimizer.preceded_by("clip", Box::new(ClipGradient { mode, limit }));
        }
        Ok(optimizer)
    }

    /// The settings of every parameter.
    fn overrides(
        &self,
        specs: &[ParamSpec],
        groups: &[GroupSettings],
        blocks: &[usize],
    ) -> Result<Vec<Overrides>, SettingsError> {
        let mut all = vec![Overrides::default(); specs.len()];
        for group in groups {
            let chosen =
                group.params.select(specs, |s| !s.frozen).map_err(|source| SettingsError::Selection {
                    setting: "group",
                    selection: group.params.to_string(),
                    source,
                    note: None,
                })?;
            for i in chosen {
                let row = self.rest.filter(|_| !blocks.contains(&i)).unwrap_or(self.row);
                if group.momentum.is_some() && row.setting(MOMENTUM.name).is_none() {
                    return Err(SettingsError::NoMomentum {
                        selection: group.params.to_string(),
                        parameter: specs[i].name.clone(),
                        rule: row.name.into(),
                    });
                }
                let own = &mut all[i];
                own.lr_mult = group.lr_mult.unwrap_or(own.lr_mult);
                own.weight_decay = group.weight_decay.or(own.weight_decay);
                own.momentum = group.momentum.or(own.momentum);
            }
        }
        Ok(all)
    }
}
