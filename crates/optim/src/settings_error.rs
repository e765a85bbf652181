//! What is wrong with an optimizer's settings. Settings stand in backquotes in messages.

/// Settings that do not make sense, alone, together, or for these parameters; says what to do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// A value out of its setting's range.
    #[error("`{setting}` {value} {reason}")]
    Value {
        /// The setting.
        setting: String,
        /// Its value.
        value: String,
        /// What is wrong with it: a range that it is not in.
        reason: String,
    },
    /// A row of the table that builds without a value for a setting.
    #[error("`{0}` has no value")]
    Missing(&'static str),
    /// A name that is in no row of a table.
    #[error("there is no {kind} '{name}'; there are {}", known.join(", "))]
    Unknown {
        /// What was looked for, as `optimizer`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// A setting that the optimizer does not have.
    #[error("`{setting}` is a setting of `opt` {}, not of `opt` {optimizer}", of.join(" and "))]
    Foreign {
        /// The setting.
        setting: String,
        /// The optimizers that have it.
        of: Vec<String>,
        /// The optimizer.
        optimizer: String,
    },
    /// A setting of a rule for the rest that was not chosen.
    #[error("`{setting}` needs `first-order` {}", of.join(" or "))]
    NeedsRest {
        /// The setting.
        setting: String,
        /// The rules for the rest that have it.
        of: Vec<String>,
    },
    /// Settings that do not go together.
    #[error("{with} {reason}; leave `{setting}`{} out", value.as_ref().map_or(String::new(), |v| format!(" {v}")))]
    Conflict {
        /// The setting to leave out.
        setting: String,
        /// Its value, where others would do.
        value: Option<String>,
        /// What it does not go together with.
        with: String,
        /// Why.
        reason: &'static str,
    },
    /// A choice of parameters that chooses none.
    #[error("`{setting}` '{selection}': {source}{}", note.map_or(String::new(), |note| format!(" ({note})")))]
    Selection {
        /// The setting.
        setting: &'static str,
        /// Words and patterns.
        selection: String,
        /// What is wrong.
        source: sph_autodiff::SelectionError,
        /// What can be chosen.
        note: Option<&'static str>,
    },
    /// A parameter with a momentum of its own, whose rule has none.
    #[error(
        "`group` '{selection}': '{parameter}' takes the steps of {rule}, which have no momentum; name other parameters, or take \
         another rule"
    )]
    NoMomentum {
        /// Words and patterns of the group.
        selection: String,
        /// The parameter.
        parameter: String,
        /// Its rule.
        rule: String,
    },
    /// An optimizer of second-order blocks, where there are none.
    #[error(
        "the model has no second-order blocks that are trained (scales or shifts of norms, magnitudes); decouple its layers, or take \
         an optimizer without second-order blocks"
    )]
    NoBlocks,
    /// A block that is too large for a probe.
    #[error(
        "block '{block}' has {entries} entries; the probe '{probe}' takes up to {limit}; use another probe"
    )]
    TooLarge {
        /// The block.
        block: String,
        /// Its entries.
        entries: usize,
        /// The probe.
        probe: String,
        /// Entries that it takes.
        limit: usize,
    },
    /// A rule that has no parameters to move.
    #[error(
        "{0} has nothing to do: all that is trained are second-order blocks; leave `first-order` {0} out, or train more with \
         `trainable`"
    )]
    NothingToDo(&'static str),
}
