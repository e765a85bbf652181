//! What can be wrong with an exported network.

/// A network that cannot be built; says why and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Operations that this program does not know.
    #[error("unsupported operations: {}", .0.iter().map(Unsupported::to_string).collect::<Vec<_>>().join(", "))]
    Unsupported(Vec<Unsupported>),
    /// An operation that is known, but not like this.
    #[error("{}{target}: {reason}", place(.layer))]
    Operation {
        /// The module that it belongs to; empty for the network itself.
        layer: String,
        /// The operation.
        target: String,
        /// What is wrong.
        reason: String,
    },
    /// Something about the network as a whole.
    #[error("{0}")]
    Network(String),
}

fn place(layer: &str) -> String {
    if layer.is_empty() { String::new() } else { format!("layer '{layer}': ") }
}

/// An operation that is not known: how often, and where first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// The operation.
    pub target: String,
    /// How often the network has it.
    pub times: usize,
    /// The first module that has it; empty for the network itself.
    pub layer: String,
}

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} times", self.target, self.times)?;
        match &*self.layer {
            "" => write!(f, ")"),
            layer => write!(f, ", first in layer '{layer}')"),
        }
    }
}

/// Why an operation cannot be had as it stands; the caller adds which operation, and where.
pub(crate) type Result<T> = std::result::Result<T, String>;
