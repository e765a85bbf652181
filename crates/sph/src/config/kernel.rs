//! Which kernels compute.

use super::values::row;
use crate::error::{Error, Result};
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::Serialize;
use sph_tensor::kernels::choice::{KernelChoice, configure_kernels};
use sph_tensor::kernels::isa::{Isa, configure_isa};

/// Settings of the kernels.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KernelArgs {
    /// Kernels: the fastest for each shape (auto), without Winograd (direct), gathered patches and matrix products (gemm), or plain
    /// loops that give the same bits on every machine (portable).
    #[arg(long, default_value = "auto", value_parser = PossibleValuesParser::new(KernelChoice::ALL.map(KernelChoice::name)))]
    pub kernel: String,
    /// Allow kernels that round about five times worse: Winograd F(4x4, 3x3).
    #[arg(long, num_args = 0..=1, default_value = "false", default_missing_value = "true", value_name = "BOOL", require_equals = true, hide_default_value = true, hide_possible_values = true)]
    pub fast_math: bool,
    /// Instruction set: the widest of this CPU (auto), AVX-512, AVX2 with FMA, or what every CPU of its kind has (baseline).
    #[arg(long, default_value = "auto", value_parser = PossibleValuesParser::new(isa_names()))]
    pub isa: String,
}

/// What `--isa` takes.
fn isa_names() -> impl Iterator<Item = &'static str> {
    std::iter::once("auto").chain(Isa::ALL.map(Isa::name))
}

impl KernelArgs {
    /// Chooses the kernels of the whole process.
    ///
    /// # Errors
    /// For fast math without Winograd's kernels, and for instructions that this CPU does not have.
    pub fn configure(&self) -> Result<()> {
        let choice = *row(&KernelChoice::ALL, |c| c.name(), &self.kernel)?;
        if self.fast_math && choice != KernelChoice::Auto {
            return Err(Error::flag(
                "fast-math",
                None,
                format!("needs --kernel auto, not --kernel {}", self.kernel),
            ));
        }
        if self.isa != "auto" {
            let isa = *row(&Isa::ALL, |isa| isa.name(), &self.isa)?;
            if !isa.is_available() {
                let here: Vec<&str> =
                    Isa::ALL.into_iter().filter(|i| i.is_available()).map(Isa::name).collect();
                let message = format!("is not on this CPU; it has {}", here.join(", "));
                return Err(Error::flag("isa", Some(self.isa.clone()), message));
            }
            configure_isa(isa);
        }
        configure_kernels(choice, self.fast_math);
        Ok(())
    }
}
