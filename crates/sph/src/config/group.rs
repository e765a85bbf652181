//! Settings of parameters by what they do or by their names.

use super::values::{below_one, not_negative, positive, selection};
use crate::error::Result;
use serde::Serialize;
use sph_optim::{GroupSettings, SettingsError};

/// Reads a number.
type Parser = fn(&str) -> std::result::Result<f64, String>;

/// Settings of the parameters that `params` names, in the place of the optimizer's.
///
/// ```
/// use sph::config::GroupArgs;
/// let group: GroupArgs = "head,layer4.*: lr-mult=10, weight-decay=0".parse().unwrap();
/// assert_eq!((group.lr_mult, group.weight_decay, group.momentum), (Some(10.0), Some(0.0), None));
/// assert!("head: rate=1".parse::<GroupArgs>().unwrap_err().contains("'rate'"));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GroupArgs {
    /// Words and patterns of names, as in `--trainable`.
    pub params: String,
    /// What the learning rate is multiplied by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr_mult: Option<f64>,
    /// Weight decay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Momentum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
}

impl std::str::FromStr for GroupArgs {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let form = "must be like 'head: lr-mult=10, weight-decay=0'";
        let (params, settings) = text.rsplit_once(':').ok_or(form)?;
        let params = selection(params.trim())?;
        let mut group = GroupArgs { params, lr_mult: None, weight_decay: None, momentum: None };
        for setting in settings.split(',') {
            let (key, value) = setting.split_once('=').ok_or(form)?;
            let (key, value) = (key.trim().replace('_', "-"), value.trim());
            let (place, parse): (_, Parser) = match &*key {
                "lr-mult" => (&mut group.lr_mult, positive),
                "weight-decay" => (&mut group.weight_decay, not_negative),
                "momentum" => (&mut group.momentum, below_one),
                _ => return Err(format!("'{key}' is not lr-mult, weight-decay or momentum")),
            };
            if place.is_some() {
                return Err(format!("{key} is there twice; leave one out"));
            }
            *place = Some(parse(value).map_err(|e| format!("{key} {value} {e}"))?);
        }
        Ok(group)
    }
}

impl GroupArgs {
    /// The group as an optimizer takes it.
    ///
    /// # Errors
    /// When its parameters cannot be read.
    pub(super) fn settings(&self) -> Result<GroupSettings> {
        let fail = |source| SettingsError::Selection {
            setting: "group",
            selection: self.params.clone(),
            source,
            note: None,
        };
        Ok(GroupSettings {
            params: self.params.parse().map_err(fail)?,
            lr_mult: self.lr_mult,
            weight_decay: self.weight_decay,
            momentum: self.momentum,
        })
    }
}
