//! What a network is to answer, beside a class for every sample.

use crate::image_set::Pixels;
pub use sph_autodiff::ops::IGNORED;
use sph_autodiff::ops::Targets;
use std::sync::Arc;

/// Which kind of answers is read from a data set's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AnswerKind {
    /// Classes: one for every sample, or one for every position of it.
    #[default]
    Classes,
    /// Numbers.
    Values,
    /// None: what the network computes is its loss.
    Nothing,
}

/// An array with an entry for every sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name, without what tells training from test.
    pub name: String,
    /// Shape of a sample's entry; empty for a number.
    pub shape: Vec<usize>,
    /// The values of all samples, one entry behind the other.
    pub values: Pixels,
}

impl Column {
    /// Values of one sample.
    pub fn entry(&self) -> usize {
        self.shape.iter().product()
    }

    /// The entries with the given numbers.
    pub(crate) fn select(&self, numbers: &[usize]) -> Column {
        Column { values: self.values.select(numbers, self.entry()), ..self.clone() }
    }

    /// These entries and those of `other`.
    pub(crate) fn with(&self, other: &Column) -> Column {
        let values = Pixels::concat(vec![self.values.clone(), other.values.clone()]);
        Column { values, ..self.clone() }
    }
}

/// What a network is to answer for the samples of a set.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Wanted {
    /// Their labels.
    #[default]
    Labels,
    /// A class for every position of a sample.
    Classes {
        /// Positions of a sample.
        shape: Vec<usize>,
        /// Class numbers of all samples, one sample behind the other; [`IGNORED`] ones count nowhere.
        classes: Arc<[u32]>,
    },
    /// Numbers.
    Values(Column),
    /// Nothing.
    Nothing,
}

impl Wanted {
    /// Its kind.
    pub fn kind(&self) -> AnswerKind {
        match self {
            Wanted::Labels | Wanted::Classes { .. } => AnswerKind::Classes,
            Wanted::Values(_) => AnswerKind::Values,
            Wanted::Nothing => AnswerKind::Nothing,
        }
    }

    /// Those of the samples with the given numbers.
    pub(crate) fn select(&self, numbers: &[usize]) -> Wanted {
        match self {
            Wanted::Classes { shape, classes } => {
                let len = shape.iter().product::<usize>();
                let of = |&i: &usize| &classes[i * len..(i + 1) * len];
                Wanted::Classes {
                    shape: shape.clone(),
                    classes: numbers.iter().flat_map(of).copied().collect(),
                }
            }
            Wanted::Values(column) => Wanted::Values(column.select(numbers)),
            other => other.clone(),
        }
    }

    /// These and those of `other`, which are of the same kind.
    pub(crate) fn with(&self, other: &Wanted) -> Wanted {
        match (self, other) {
            (Wanted::Classes { shape, classes }, Wanted::Classes { classes: more, .. }) => {
                Wanted::Classes { shape: shape.clone(), classes: [&classes[..], more].concat().into() }
            }
            (Wanted::Values(column), Wanted::Values(more)) => Wanted::Values(column.with(more)),
            _ => self.clone(),
        }
    }
}

/// Numbers that a network is to answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    /// Their shape, samples first.
    pub shape: Vec<usize>,
    /// The numbers.
    pub values: Arc<[f64]>,
}

/// What a network is to answer for the samples of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Answers {
    /// A class for every row of its output: of a sample, or of a position of a sample.
    Classes(Targets),
    /// Numbers.
    Values(Values),
    /// Nothing.
    Nothing,
}

impl Answers {
    /// The classes; none where answers are no classes.
    pub fn classes(&self) -> Option<&Targets> {
        match self {
            Answers::Classes(targets) => Some(targets),
            _ => None,
        }
    }

    /// Those of the first `n` of `samples` samples.
    pub(crate) fn first(&self, n: usize, samples: usize) -> Answers {
        match self {
            Answers::Classes(targets) => Answers::Classes(targets.first(n * (targets.len() / samples))),
            Answers::Values(Values { shape, values }) => Answers::Values(Values {
                shape: std::iter::once(n).chain(shape[1..].iter().copied()).collect(),
                values: values[..n * (values.len() / samples)].into(),
            }),
            Answers::Nothing => Answers::Nothing,
        }
    }

    /// Of how many answers of `samples` samples the loss is a mean: classes that are not ignored; else samples, which have equally many
    /// numbers each.
    pub(crate) fn counted(&self, samples: usize) -> usize {
        match self {
            Answers::Classes(targets) => targets.iter().filter(|class| **class != IGNORED).count(),
            _ => samples,
        }
    }
}

impl<T: Into<Targets>> From<T> for Answers {
    fn from(classes: T) -> Self {
        Answers::Classes(classes.into())
    }
}

impl From<Values> for Answers {
    fn from(values: Values) -> Self {
        Answers::Values(values)
    }
}
