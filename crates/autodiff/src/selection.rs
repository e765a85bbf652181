//! Sets of parameters as users name them: by what they do, or by patterns of names.

use crate::{ParamSpec, Role};
use std::fmt;
use std::str::FromStr;

/// A word for parameters of one kind.
pub struct SelectionWord {
    /// The word.
    pub name: &'static str,
    /// Which parameters it means.
    pub about: &'static str,
    matches: fn(&ParamSpec) -> bool,
}

/// All words; anything else is a pattern of names.
pub const SELECTION_WORDS: &[SelectionWord] = &[
    SelectionWord { name: "all", about: "every parameter", matches: |_| true },
    SelectionWord {
        name: "unfrozen",
        about: "every parameter but those that the network's file freezes",
        matches: |s| !s.frozen_by_default,
    },
    SelectionWord {
        name: "1d",
        about: "one number per channel: norms, biases, magnitudes",
        matches: ParamSpec::is_1d,
    },
    SelectionWord {
        name: "norm",
        about: "scales and shifts of norms",
        matches: |s| matches!(s.role, Role::NormScale | Role::NormShift),
    },
    SelectionWord { name: "scale", about: "scales of norms", matches: |s| s.role == Role::NormScale },
    SelectionWord { name: "shift", about: "shifts of norms", matches: |s| s.role == Role::NormShift },
    SelectionWord {
        name: "magnitude",
        about: "magnitudes of decoupled layers",
        matches: |s| s.role == Role::Magnitude,
    },
    SelectionWord { name: "bias", about: "biases of layers with weights", matches: |s| s.role == Role::Bias },
    SelectionWord {
        name: "second-order",
        about: "what second-order steps are for: norms, magnitudes, biases of decoupled layers",
        matches: ParamSpec::is_second_order,
    },
    SelectionWord { name: "head", about: "the classifier", matches: |s| s.head },
];

/// A set of parameters: words of [`SELECTION_WORDS`] and patterns with `*` of names or of classes of modules (`LayerNorm`), separated by
/// commas. A parameter belongs to it when any of them matches.
///
/// ```
/// use sph_autodiff::{ParamSpec, Role, Selection};
/// let selection: Selection = "norm,layer1.*.weight".parse().unwrap();
/// assert!(selection.matches(&ParamSpec::new("bn1.bias", &[4], Role::NormShift)));
/// assert!(selection.matches(&ParamSpec::new("layer1.0.conv1.weight", &[4, 4, 3, 3], Role::Weight)));
/// assert!(!selection.matches(&ParamSpec::new("fc.bias", &[4], Role::Bias)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection(Vec<Term>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    text: String,
    /// `None` for a word.
    pattern: Option<glob::Pattern>,
}

/// A selection that cannot be read, or that selects nothing where it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectionError(String);

impl Term {
    fn matches(&self, spec: &ParamSpec) -> bool {
        match &self.pattern {
            Some(pattern) => {
                let names = spec.aliases.iter().map(|a| &**a).chain([&*spec.name, spec.class_name()]);
                names.into_iter().any(|name| pattern.matches(name))
            }
            None => SELECTION_WORDS.iter().any(|w| w.name == self.text && (w.matches)(spec)),
        }
    }
}

impl FromStr for Selection {
    type Err = SelectionError;

    fn from_str(text: &str) -> Result<Self, SelectionError> {
        let term = |text: &str| {
            let text = text.trim();
            if text.is_empty() {
                let words = SELECTION_WORDS.iter().map(|w| w.name).collect::<Vec<_>>().join(", ");
                return Err(SelectionError(format!(
                    "an empty term; name parameters by words ({words}) or patterns such as 'layer1.*'"
                )));
            }
            let word = SELECTION_WORDS.iter().any(|w| w.name == text);
            let pattern = (!word).then(|| glob::Pattern::new(text)).transpose();
            let pattern = pattern.map_err(|e| SelectionError(format!("pattern '{text}': {}", e.msg)))?;
            Ok(Term { text: text.to_string(), pattern })
        };
        text.split(',').map(term).collect::<Result<_, _>>().map(Selection)
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(|t| &*t.text).collect::<Vec<_>>().join(","))
    }
}

impl Selection {
    /// Whether `spec` belongs to it.
    pub fn matches(&self, spec: &ParamSpec) -> bool {
        self.0.iter().any(|t| t.matches(spec))
    }

    /// The numbers of the parameters it selects among those that `eligible` allows.
    ///
    /// # Errors
    /// Naming the first term that selects none.
    pub fn select(
        &self,
        specs: &[ParamSpec],
        eligible: impl Fn(&ParamSpec) -> bool,
    ) -> Result<Vec<usize>, SelectionError> {
        for term in &self.0 {
            let mut matched = specs.iter().filter(|s| term.matches(s)).peekable();
            let text = &term.text;
            match matched.peek() {
                None if term.pattern.is_none() => {
                    return Err(SelectionError(format!("the model has no parameters of the kind '{text}'")));
                }
                None => {
                    let some = specs.first().map_or("", |s| &s.name);
                    return Err(SelectionError(format!(
                        "no parameter of the model is called '{text}'; names are like '{some}', and * stands for anything"
                    )));
                }
                Some(first) => {
                    let first = first.name.clone();
                    if !matched.any(&eligible) {
                        return Err(SelectionError(format!(
                            "'{text}' selects nothing that is possible here: '{first}', for one, is not"
                        )));
                    }
                }
            }
        }
        let chosen = specs.iter().enumerate().filter(|(_, s)| eligible(s) && self.matches(s));
        Ok(chosen.map(|(i, _)| i).collect())
    }
}
