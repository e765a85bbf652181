//! The error of this crate: shapes that do not fit.

use crate::Shape;

/// Shapes that an operation cannot combine. Carries the operation and every shape involved.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{op}: {reason} (shapes {})", shapes.iter().map(|s| s.to_string()).collect::<Vec<_>>().join(", "))]
pub struct ShapeError {
    /// The operation, by its table name.
    pub op: &'static str,
    /// What does not fit.
    pub reason: String,
    /// The shapes involved, in the operation's argument order.
    pub shapes: Vec<Shape>,
}

impl ShapeError {
    /// An error of `op` about `shapes`.
    pub fn new(op: &'static str, reason: impl Into<String>, shapes: &[Shape]) -> Self {
        ShapeError { op, reason: reason.into(), shapes: shapes.to_vec() }
    }
}
