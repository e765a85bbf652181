//! Rules: what makes groups of parameters and their chains. An optimizer is a rule over all parameters, or two, one for second-order blocks and
//! one for the rest.

use crate::SettingsError;
use crate::group::{Group, Optimizer};
use crate::transform::Transform;
use sph_autodiff::{ParamSpec, Selection};
use sph_tensor::{DType, Element};
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// How parameters are moved. One that is written once serves float32 and float64, alone or as a half of another.
///
/// ```
/// use sph_optim::{Group, ParamSpec, Role, Rule, SettingsError, transforms::Momentum};
/// use sph_tensor::Element;
///
/// #[derive(Debug)]
/// struct HeavyBall {
///     momentum: f64,
/// }
///
/// impl Rule for HeavyBall {
///     fn groups<T: Element>(&self, _: &[ParamSpec], members: &[usize]) -> Result<Vec<Group<T>>, SettingsError> {
///         sph_optim::settings::MOMENTUM.check(self.momentum)?;
///         let chain = vec![Box::new(Momentum::new(self.momentum, false)) as _];
///         Ok(vec![Group { name: "all", members: members.to_vec(), chain }])
///     }
/// }
///
/// let specs = [ParamSpec::new("w", &[2, 3], Role::Weight)];
/// assert!(HeavyBall { momentum: 0.9 }.build::<f32>(&specs).is_ok());
/// assert!(HeavyBall { momentum: 1.0 }.build::<f32>(&specs).is_err());
/// ```
pub trait Rule: fmt::Debug + Send + Sync + 'static {
    /// The groups that move `members` among `specs`, in the order in which they take part in a step. Their names are unique.
    ///
    /// # Errors
    /// When a setting is out of its range, or does not fit the others or the parameters.
    fn groups<T: Element>(
        &self,
        specs: &[ParamSpec],
        members: &[usize],
    ) -> Result<Vec<Group<T>>, SettingsError>;

    /// The second-order blocks among `specs`, by number; none for a rule without.
    ///
    /// # Errors
    /// When a choice of blocks chooses none.
    fn blocks(&self, specs: &[ParamSpec]) -> Result<Vec<usize>, SettingsError> {
        let _ = specs;
        Ok(Vec::new())
    }

    /// The optimizer over all parameters that are trained.
    ///
    /// # Errors
    /// As [`Rule::groups`].
    fn build<T: Element>(&self, specs: &[ParamSpec]) -> Result<Optimizer<T>, SettingsError> {
        Ok(Optimizer::new(specs, self.groups(specs, &trained(specs))?))
    }
}

/// A rule of any type, shared.
#[derive(Clone)]
pub struct AnyRule(Arc<dyn Erased>);

impl AnyRule {
    /// This rule.
    pub fn new(rule: impl Rule) -> Self {
        AnyRule(Arc::new(rule))
    }
}

impl fmt::Debug for AnyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// [`Rule`] without type parameters.
trait Erased: fmt::Debug + Send + Sync {
    fn in_f32(&self, specs: &[ParamSpec], members: &[usize]) -> Result<Vec<Group<f32>>, SettingsError>;
    fn in_f64(&self, specs: &[ParamSpec], members: &[usize]) -> Result<Vec<Group<f64>>, SettingsError>;
    fn blocks_of(&self, specs: &[ParamSpec]) -> Result<Vec<usize>, SettingsError>;
}

impl<R: Rule> Erased for R {
    fn in_f32(&self, specs: &[ParamSpec], members: &[usize]) -> Result<Vec<Group<f32>>, SettingsError> {
        self.groups(specs, members)
    }
    fn in_f64(&self, specs: &[ParamSpec], members: &[usize]) -> Result<Vec<Group<f64>>, SettingsError> {
        self.groups(specs, members)
    }
    fn blocks_of(&self, specs: &[ParamSpec]) -> Result<Vec<usize>, SettingsError> {
        self.blocks(specs)
    }
}

impl Rule for AnyRule {
    fn groups<T: Element>(
        &self,
        specs: &[ParamSpec],
        members: &[usize],
    ) -> Result<Vec<Group<T>>, SettingsError> {
        let groups: Box<dyn Any> = match T::DTYPE {
            DType::F32 => Box::new(self.0.in_f32(specs, members)?),
            DType::F64 => Box::new(self.0.in_f64(specs, members)?),
        };
        Ok(*groups.downcast().expect("an element is f32 or f64, as its DTYPE says"))
    }

    fn blocks(&self, specs: &[ParamSpec]) -> Result<Vec<usize>, SettingsError> {
        self.0.blocks_of(specs)
    }
}

/// Numbers of the parameters that are trained.
fn trained(specs: &[ParamSpec]) -> Vec<usize> {
    (0..specs.len()).filter(|&i| !specs[i].frozen).collect()
}

/// Those of `members` whose spec satisfies `f`.
pub(crate) fn among(specs: &[ParamSpec], members: &[usize], f: impl Fn(&ParamSpec) -> bool) -> Vec<usize> {
    members.iter().copied().filter(|&i| f(&specs[i])).collect()
}

/// A chain for weights and one for 1-D parameters, which differ by their decay.
pub(crate) fn by_decay<T: Element>(
    specs: &[ParamSpec],
    members: &[usize],
    (weight_decay, weight_decay_1d): (f64, f64),
    chain: impl Fn(f64) -> Vec<Box<dyn Transform<T>>>,
) -> Vec<Group<T>> {
    let group = |name, members, decay| Group { name, members, chain: chain(decay) };
    vec![
        group("weights", among(specs, members, |s| !s.is_1d()), weight_decay),
        group("1d", among(specs, members, ParamSpec::is_1d), weight_decay_1d),
    ]
}

/// The numbers of the parameters that are second-order blocks by role ([`ParamSpec::is_second_order`]) and are trained.
pub fn second_order_blocks(specs: &[ParamSpec]) -> Vec<usize> {
    among(specs, &trained(specs), ParamSpec::is_second_order)
}

/// The second-order blocks among the parameters that are trained: by role, or those of them that can be one and that are selected.
///
/// # Errors
/// When a term of the selection chooses none, or there are none.
pub(crate) fn chosen_blocks(
    specs: &[ParamSpec],
    selection: Option<&Selection>,
) -> Result<Vec<usize>, SettingsError> {
    let Some(selection) = selection else {
        let blocks = second_order_blocks(specs);
        return if blocks.is_empty() { Err(SettingsError::NoBlocks) } else { Ok(blocks) };
    };
    selection.select(specs, |s| !s.frozen && s.may_be_second_order()).map_err(|source| {
        SettingsError::Selection {
            setting: crate::settings::SECOND_ORDER.name,
            selection: selection.to_string(),
            source,
            note: Some(
                "scales and shifts of norms, magnitudes and biases can be, the classifier's and attention's input bias cannot",
            ),
        }
    })
}

/// `members` that are `blocks`, and the others.
pub(crate) fn halves(members: &[usize], blocks: &[usize]) -> (Vec<usize>, Vec<usize>) {
    members.iter().partition(|i| blocks.contains(i))
}
