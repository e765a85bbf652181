//! Dimension-reduced second-order steps, our reading of the letters "DRS" (docs/algorithm.md §6).

use crate::group::Group;
use crate::row::{Build, Row};
use crate::settings::{LR, Setting, Settings, WEIGHT_DECAY, WEIGHT_DECAY_1D};
use crate::transforms::DrsConfig as Drs;
use crate::{AnyRule, Rule, SettingsError, transforms};
use sph_autodiff::ParamSpec;
use sph_tensor::Element;

const REFRESH: Setting = Setting::count("drs-refresh", "Steps between measurements of the model of drs");

pub(super) const ROW: Row = Row {
    defaults: |cx, _| Settings::default().with(LR.name, cx.lr(cx.sgd_lr(0.1), 0.1)),
    judges_steps: true,
    ..Row::new(
        "drs",
        "dimension-reduced second-order steps; want large batches",
        &[
            LR.or(|| 0.1.into()),
            REFRESH.or(|| Drs::default().refresh.into()),
            WEIGHT_DECAY.or(|| Drs::default().weight_decay.into()),
            WEIGHT_DECAY_1D.or(|| Drs::default().weight_decay_1d.into()),
        ],
        Build::Any(|s| {
            Ok(AnyRule::new(Drs {
                refresh: REFRESH.count_in(s)?,
                weight_decay: WEIGHT_DECAY.number_in(s)?,
                weight_decay_1d: WEIGHT_DECAY_1D.number_in(s)?,
                ..Drs::default()
            }))
        }),
    )
};

impl Rule for Drs {
    fn groups<T: Element>(
        &self,
        _specs: &[ParamSpec],
        members: &[usize],
    ) -> Result<Vec<Group<T>>, SettingsError> {
        REFRESH.check(self.refresh)?;
        WEIGHT_DECAY.check(self.weight_decay)?;
        WEIGHT_DECAY_1D.check(self.weight_decay_1d)?;
        let at_least = |setting: &str, v: f64, least: f64| match v >= least && v.is_finite() {
            true => Ok(()),
            false => Err(SettingsError::Value {
                setting: setting.into(),
                value: v.to_string(),
                reason: format!("must be at least {least}"),
            }),
        };
        at_least("lambda", self.lambda, 0.0)?;
        at_least("lambda-min", self.lambda_min, 0.0)?;
        at_least("delta", self.delta, 0.0)?;
        at_least("max-rise", self.max_rise, 1.0)?;
        if members.is_empty() {
            return Err(SettingsError::NothingToDo(ROW.name));
        }
        let chain = vec![Box::new(transforms::Drs::new(self.clone())) as _];
        Ok(vec![Group { name: "drs", members: members.to_vec(), chain }])
    }
}
