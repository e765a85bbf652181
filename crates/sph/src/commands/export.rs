//! `sph export`: trained networks for other programs.

use crate::config::{ModelSource, shown};
use crate::error::{Error, Result};
use crate::model_source::Images;
use clap::{Args, ValueEnum};
use sph_tensor::Pool;
use sph_train::export::{onnx, pytorch};
use sph_train::files::{check_writable, write_atomically};
use std::path::PathBuf;

/// Write a trained network for PyTorch or ONNX runtimes.
#[derive(Args, Debug, Clone)]
#[command(
    after_help = "safetensors: PyTorch's names and layouts; beside it, for a model of this program, a Python module with the network's definition that loads it \
                  strictly. Decoupled layers become plain ones.\nonnx: from `images`, N×C×H×W as float32, normalized as (value − \
                  mean)/std, to `logits`, N×classes, for any N. Mean, std and classes are in the file's metadata.\n\nExamples:\n  sph \
                  export runs/first --format onnx --opset 17 -o first.onnx\n  sph export runs/first --format safetensors -o first.safetensors\n  sph export resnet18.safetensors --model resnet18 --format onnx -o resnet18.onnx"
)]
pub struct ExportArgs {
    /// The folder of a run, whose best epoch is taken, or a model file.
    #[arg(value_name = "RUN|FILE")]
    pub path: PathBuf,
    /// Format.
    #[arg(long, value_enum)]
    pub format: Format,
    /// Version of ONNX's operators, from 13 to 21, for a runtime that takes no newer ones [default: 18].
    #[arg(long, value_parser = clap::value_parser!(u8).range(i64::from(*onnx::OPSET_RANGE.start())..=i64::from(*onnx::OPSET_RANGE.end())), value_name = "VERSION")]
    pub opset: Option<u8>,
    /// The file to write.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Model and data.
    #[command(flatten)]
    pub source: ModelSource,
}

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// PyTorch's state, and a Python module that loads it.
    Safetensors,
    /// A graph for ONNX runtimes.
    Onnx,
}

/// Writes the file or files.
///
/// # Errors
/// For files that do not fit each other, or cannot be written.
pub fn run(args: &ExportArgs) -> Result<()> {
    super::configure_threads(None)?;
    if args.opset.is_some() && args.format != Format::Onnx {
        return Err(Error::needs("opset", "--format onnx"));
    }
    let found = args.source.find(Some(&args.path), Images::None)?;
    let (objective, notes) = found.objective(&Pool::<f32>::new(), 0)?;
    super::note(&notes);
    let output = &args.output;
    match args.format {
        Format::Onnx => {
            let opset = args.opset.unwrap_or(onnx::OPSET);
            write_atomically(output, &onnx::export(&objective, &found.info, opset)?)?;
            super::say(&format!("wrote {}", shown(output)))
        }
        Format::Safetensors => {
            let module = output.with_extension("py");
            let name = output.file_name().and_then(|n| n.to_str());
            let name = name.filter(|n| n.ends_with(".safetensors"));
            let name =
                name.ok_or_else(|| Error::flag("output", shown(output), "does not end in .safetensors"))?;
            if found.info.graph.is_some() {
                // The network's own definition is where it was exported.
                write_atomically(output, &pytorch::state(&objective, &found.info, output)?)?;
                let file = shown(output);
                return super::say(&format!(
                    "wrote {file}, for load_state_dict of the module that was exported"
                ));
            }
            let text = pytorch::module(&found.info, name)?;
            check_writable(&module)?;
            write_atomically(output, &pytorch::state(&objective, &found.info, output)?)?;
            write_atomically(&module, text.as_bytes())?;
            super::say(&format!("wrote {} and {}", shown(output), shown(&module)))
        }
    }
}
