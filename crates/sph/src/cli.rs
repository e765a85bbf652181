//! The command line as a whole: the commands, and how their help is laid out.

use crate::commands::{bench, data, eval, export, inspect, models, predict, report};
use crate::compare::flags::CompareArgs;
use crate::config::{AdaptArgs, TrainArgs};
use crate::help;
use clap::{Args, CommandFactory, Parser, Subcommand};

/// Train networks with exact second-order steps on their 1-D parameters.
#[derive(Parser)]
#[command(name = "sph", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do; nothing: say what can be done.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXIT_CODES: &str = "Exit codes: 0 ok; 1 a run of a comparison failed; 2 a mistake, or a run that cannot go on; 3 training, adapt or \
                          bench diverged: a loss, an update or the state became infinite or NaN; 130 interrupted.\n\nsph COMMAND -h shows the \
                          settings that matter, sph COMMAND --help all of them.";

/// The commands. Their help is that of their flags.
#[derive(Subcommand)]
#[allow(missing_docs)]
pub enum Command {
    Train(Box<TrainArgs>),
    Inspect(Box<inspect::InspectArgs>),
    Compare(Box<CompareArgs>),
    Adapt(Box<AdaptArgs>),
    Eval(Box<eval::EvalArgs>),
    Predict(Box<predict::PredictArgs>),
    Export(Box<export::ExportArgs>),
    Report(report::ReportArgs),
    Models(models::ModelsArgs),
    Data(Box<data::DataArgs>),
    Bench(Box<bench::BenchArgs>),
    Completions(CompletionsArgs),
}

/// Print a shell's completion script.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  sph completions bash > ~/.local/share/bash-completion/completions/sph\n  sph completions zsh > \
                  ~/.zfunc/_sph\n  sph completions fish > ~/.config/fish/completions/sph.fish"
)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// The command line, its help in groups.
///
/// ```
/// let sph = sph::cli::command();
/// assert!(sph.find_subcommand("train").is_some());
/// ```
pub fn command() -> clap::Command {
    help::arranged(Cli::command())
}

#[test]
fn the_command_line_is_consistent() {
    command().debug_assert();
}
