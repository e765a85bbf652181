//! What can go wrong in drawing.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A chart or a picture cannot be drawn.
    #[error("the report cannot be drawn: {0}")]
    Drawing(String),
    /// Images that no picture can be made of.
    #[error("pictures are made of images of 1 or 3 channels, not {0}")]
    Channels(usize),
    /// Images that cannot be corrupted.
    #[error(transparent)]
    Data(#[from] sph_data::Error),
}

impl Error {
    pub(crate) fn drawing(e: impl std::fmt::Display) -> Self {
        Error::Drawing(e.to_string())
    }
}

/// The result of anything in this crate.
pub type Result<T> = std::result::Result<T, Error>;
