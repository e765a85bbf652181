//! Which kernels compute.

use super::values::row;
use crate::error::{Error, Result};
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::Serialize;
use sph_tensor::kernels::choice::{KernelChoice, configure_kernels};

/// Settings of the kernels.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KernelArgs {
    /// Kernels: the fastest for each shape (auto), without Winograd (direct), gathered patches and matrix products (gemm), or plain
    /// loops that give the same bits on every machine (portable).
    #[arg(long, default_value = "auto", value_parser = PossibleValuesParser::new(KernelChoice::ALL.map(KernelChoice::name)), help_heading = "Machine")]
    pub kernel: String,
    /// Allow kernels that round about five times worse: Winograd F(4x4, 3x3).
    #[arg(long, help_heading = "Machine", num_args = 0..=1, default_value = "false", default_missing_value = "true", value_name = "BOOL", require_equals = true, hide_default_value = true, hide_possible_values = true)]
    pub fast_math: bool,
}

impl KernelArgs {
    /// Chooses the kernels of the whole process.
    ///
    /// # Errors
    /// For fast math without Winograd's kernels.
    pub fn configure(&self) -> Result<()> {
        let choice = *row(&KernelChoice::ALL, |c| c.name(), &self.kernel)?;
        if self.fast_math && choice != KernelChoice::Auto {
            return Err(Error::flag(
                "fast-math",
                None,
                format!("needs --kernel auto, not --kernel {}", self.kernel),
            ));
        }
        configure_kernels(choice, self.fast_math);
        Ok(())
    }
}
