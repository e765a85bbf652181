//! The `sph` command: glue around the library.

use clap::FromArgMatches;
use sph::cli::{Cli, Command, command};
use sph::commands::train::TrainExit;
use sph::commands::{
    self, adapt, bench, compare, data, eval, export, inspect, models, predict, report, train,
};
use sph::config::TrainArgs;
use sph::help;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a shell reports for a program stopped by Ctrl-C.
const INTERRUPTED: u8 = sph::Error::INTERRUPTED as u8;

static STOP: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(sph::Error::CommandLine(e)) if !e.use_stderr() => {
            let _ = e.print();
            ExitCode::from(e.exit_code() as u8)
        }
        Err(e) => fail(&e.to_string(), e.exit_code()),
    }
}

fn fail(message: &str, code: i32) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {}", sph::in_one_line(message));
    ExitCode::from(code as u8)
}

fn run() -> sph::Result<ExitCode> {
    let unicode = |a: std::ffi::OsString| a.into_string().map_err(sph::Error::NotUnicode);
    let flags = std::env::args_os().skip(1).map(unicode).collect::<Result<Vec<String>, _>>()?;
    let matches = command().try_get_matches_from(std::iter::once("sph".to_string()).chain(flags))?;
    let Some(asked) = Cli::from_arg_matches(&matches)?.command else {
        return done(commands::say(help::WELCOME));
    };
    match asked {
        // A file may stand between the flags and their defaults.
        Command::Train(args) => match matches.subcommand() {
            Some((_, matches)) => train(&TrainArgs::completed(matches)?),
            None => train(&args),
        },
        Command::Compare(args) => {
            catch_interrupts("the runs under way are told to save");
            Ok(match compare::run(&args, &STOP)? {
                compare::CompareExit::Finished => ExitCode::SUCCESS,
                compare::CompareExit::SomeFailed => ExitCode::FAILURE,
                compare::CompareExit::Interrupted => ExitCode::from(INTERRUPTED),
            })
        }
        Command::Adapt(args) => done(adapt::run(&args)),
        Command::Report(args) => done(report::run(&args)),
        Command::Bench(args) => done(bench::run(&args)),
        Command::Inspect(args) => done(inspect::run(&args)),
        Command::Eval(args) => done(eval::run(&args)),
        Command::Predict(args) => done(predict::run(&args)),
        Command::Export(args) => done(export::run(&args)),
        Command::Models(args) => done(models::run(&args)),
        Command::Data(args) => done(data::run(&args)),
        Command::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut command(), "sph", &mut script);
            // A reader that has gone away is no error.
            let _ = std::io::stdout().write_all(&script);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn done(result: sph::Result<()>) -> sph::Result<ExitCode> {
    result.map(|()| ExitCode::SUCCESS)
}

/// Ctrl-C sets [`STOP`]; `then` says what happens.
fn catch_interrupts(then: &'static str) {
    let handler = ctrlc::set_handler(move || {
        if STOP.swap(true, Ordering::Relaxed) {
            // Asked a second time: leave at once; files are whole at any moment.
            std::process::exit(INTERRUPTED.into());
        }
        let _ = writeln!(std::io::stderr(), "{then} (again to leave at once)");
    });
    if let Err(e) = handler {
        let _ = writeln!(std::io::stderr(), "warning: Ctrl-C will stop without saving: {e}");
    }
}

fn train(args: &TrainArgs) -> sph::Result<ExitCode> {
    catch_interrupts("finishing the step and saving");
    Ok(match train::run(args, &STOP)? {
        TrainExit::Finished => ExitCode::SUCCESS,
        TrainExit::Interrupted => ExitCode::from(INTERRUPTED),
    })
}
