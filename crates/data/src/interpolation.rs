//! How a picture is resized.

use serde::{Deserialize, Serialize};

/// How new pixels are made of old ones: torchvision's modes for pictures that antialias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// A triangle.
    Bilinear,
    /// Catmull and Rom's cubic.
    Bicubic,
    /// Hamming's window.
    Hamming,
    /// A sinc over three pixels each way.
    Lanczos,
}

impl Interpolation {
    /// All modes by name.
    pub const NAMES: [(&str, Interpolation); 4] = [
        ("bilinear", Interpolation::Bilinear),
        ("bicubic", Interpolation::Bicubic),
        ("hamming", Interpolation::Hamming),
        ("lanczos", Interpolation::Lanczos),
    ];
}

impl std::str::FromStr for Interpolation {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, mode)| *mode).ok_or_else(|| format!("'{text}' is no way of interpolating"))
    }
}
