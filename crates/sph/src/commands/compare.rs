//! `sph compare`: several optimizers on the same models, data and seeds.

use crate::checkpoint::write_atomically;
use crate::compare::plan::{Configuration, Entry, Plan, PlannedRun, Setting};
use crate::compare::processes::{self, End, Event, Found, Launch};
use crate::compare::results::Results;
use crate::config::{
    NOT_SETTINGS, SettingsFile, TrainArgs, canonical, dataset_names, keys, model_names, repeats, threads,
};
use crate::error::{Error, Result};
use crate::history::History;
use crate::report::compare as report;
use crate::{data, run};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser};
use indicatif::{ProgressBar, ProgressStyle};
use sph_nn::models;
use sph_optim::presets::PRESETS;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Compare optimizers: the same models, data and seeds, averaged over seeds.
///
/// Every run is one of `sph train` in a folder of its own below --output. What is finished is kept: the same command again goes on
/// where it was, and one with more seeds or optimizers adds to it. The result is a table, runs.csv, configurations.csv and
/// report.html. All settings of `sph train` are taken and hold for all runs.
#[derive(Parser, Debug, Clone)]
#[command(
    name = "compare",
    args_override_self = true,
    allow_negative_numbers = true,
    after_help = "The file that -c names has the same keys as flags, lists for grids, and a table for each optimizer, whose settings go before \
                  the common ones:\n\n  dataset = \"digits\"\n  seeds = 5\n  epochs = 30\n  batch-size = [32, 64]\n\n  [[optimizer]]\n  \
                  opt = \"sph\"\n  lr = [0.05, 0.1]\n\n  [[optimizer]]\n  name = \"sgd, Nesterov\"\n  opt = \"sgd\"\n  nesterov = \
                  true\n\nExamples:\n  sph compare --dataset digits --opt sph,sgd,adamw --seeds 3 --output comparison\n  sph compare --opt \
                  sgd,sph --grid lr=0.05,0.1 --grid sph.tau=0.001,0.01\n  sph compare -c comparison.toml --jobs 2"
)]
struct Own {
    /// TOML file of settings; flags override it.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data sets, with commas between them.
    #[arg(long, value_delimiter = ',', default_value = data::DEFAULT, value_parser = dataset_names())]
    dataset: Vec<String>,
    /// Models, with commas between them.
    #[arg(long, value_delimiter = ',', default_value = models::DEFAULT, value_parser = model_names())]
    model: Vec<String>,
    /// Optimizers, with commas between them.
    #[arg(long, value_delimiter = ',', default_value = "sgd,adamw,sph",
          value_parser = crate::config::names(PRESETS.iter().map(|p| (p.name, p.about))))]
    opt: Vec<String>,
    /// Values of a setting, each of which is run; of one optimizer alone when its name and a point stand before it.
    #[arg(long, value_name = "[OPT.]SETTING=V1,V2,…", action = clap::ArgAction::Append, value_parser = grid)]
    grid: Vec<(Option<String>, Setting)>,
    /// How many seeds (from 42 on), or the seeds with commas between them.
    #[arg(long, default_value = "3", value_parser = seeds)]
    seeds: Seeds,
    /// The optimizer whose accuracy the others are timed to [default: the first].
    #[arg(long, value_name = "NAME")]
    baseline: Option<String>,
    /// Runs at a time; their times are those of runs that share the machine.
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Worker threads of each run [default: all cores, shared between --jobs]; accuracies do not depend on it.
    #[arg(long, value_parser = threads)]
    threads: Option<usize>,
    /// Folder of the comparison.
    #[arg(long, default_value = "comparison", value_name = "DIR")]
    output: PathBuf,
}

#[derive(Debug, Clone)]
struct Seeds(Vec<u64>);

fn seeds(text: &str) -> std::result::Result<Seeds, String> {
    const FIRST: u64 = 42;
    match text.split_once(',') {
        None => crate::config::count(text).map(|n| Seeds((FIRST..).take(n).collect())),
        // A comma at the end makes a list of one seed.
        Some(_) => text
            .trim_end_matches(',')
            .split(',')
            .map(|s| crate::config::seed(s.trim()))
            .collect::<std::result::Result<_, _>>()
            .map(Seeds),
    }
}

fn grid(text: &str) -> std::result::Result<(Option<String>, Setting), String> {
    let (name, values) =
        text.split_once('=').ok_or("must be a setting, '=' and its values, such as lr=0.05,0.1")?;
    let (optimizer, name) = match name.split_once('.') {
        Some((optimizer, name)) => (Some(optimizer.to_string()), name),
        None => (None, name),
    };
    let name = canonical(name.trim_start_matches('-'), &TrainArgs::command());
    check_setting(&name)?;
    let values = values.split(',').map(|v| v.trim().to_string()).collect();
    Ok((optimizer, Setting { name, values }))
}

/// Settings of `sph train` that a comparison takes as they are.
fn is_setting(name: &str) -> bool {
    !NOT_SETTINGS.contains(&name) && !["dataset", "model", "opt", "help"].contains(&name)
}

fn check_setting(name: &str) -> std::result::Result<(), String> {
    let command = TrainArgs::command();
    let mut known = keys(&command).filter(|k| is_setting(k) && !repeats(k, &command));
    match known.any(|k| k == name) {
        true => Ok(()),
        false => Err(format!("'{name}' is not a setting of sph train that can have several values")),
    }
}

/// The flags of a comparison: its own, and the settings of `sph train`.
#[derive(Debug, Clone)]
pub struct CompareArgs {
    /// Its own flags as they were given, for being read again behind those of a file.
    own: Vec<String>,
    settings: Vec<Setting>,
}

impl Args for CompareArgs {
    fn augment_args(command: Command) -> Command {
        let train = TrainArgs::command();
        let settings = train.get_arguments().filter(|a| a.get_long().is_some_and(is_setting)).cloned();
        Own::augment_args(command).args(settings)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for CompareArgs {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        let (own_command, train) = (Own::command(), TrainArgs::command());
        let given = |command: &Command, taken: fn(&str) -> bool| -> Vec<Setting> {
            let taken = |a: &&clap::Arg| a.get_long().is_some_and(taken);
            let source = |a: &clap::Arg| matches.value_source(a.get_id().as_str());
            let arguments = command.get_arguments().filter(taken);
            let arguments = arguments.filter(|a| source(a) == Some(ValueSource::CommandLine));
            let setting = |a: &clap::Arg| {
                let text = |v: &std::ffi::OsStr| v.to_string_lossy().into_owned();
                let occurrences = matches.get_raw_occurrences(a.get_id().as_str())?;
                let values = occurrences.map(|o| o.map(text).collect::<Vec<_>>().join(",")).collect();
                Some(Setting { name: a.get_long()?.into(), values })
            };
            arguments.filter_map(setting).collect()
        };
        let own = given(&own_command, |_| true);
        let flags = own.iter().flat_map(|s| s.values.iter().map(|v| format!("--{}={v}", s.name)));
        let settings = given(&train, is_setting);
        Ok(CompareArgs { own: flags.collect(), settings })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> std::result::Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// A file's part of the settings.
#[derive(Default)]
struct FromFile {
    own: Vec<String>,
    settings: Vec<Setting>,
    optimizers: Vec<Entry>,
}

fn read_file(path: &Path) -> Result<FromFile> {
    let origin = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|e| Error::Config(format!("{origin}: {e}")))?;
    let file = SettingsFile::parse(&text, &origin)?;
    let (own, train) = (Own::command(), TrainArgs::command());
    let is_own = |name: &str| keys(&own).any(|k| k == name) && name != "grid";
    let is_setting = |name: &str| is_setting(name) && keys(&train).any(|k| k == name);
    // Every value alone, so that one that is wrong is named now.
    let setting = |key: &str, value: &toml::Value| -> Result<Setting> {
        let values = match value {
            value if repeats(&canonical(key, &train), &train) => file.values(key, value, &train)?,
            toml::Value::Array(items) if items.is_empty() => {
                return Err(file.fail(format!("key '{key}' has no value")));
            }
            toml::Value::Array(items) => {
                items.iter().map(|v| file.text(key, v)).collect::<Result<Vec<_>>>()?
            }
            value => vec![file.text(key, value)?],
        };
        values.iter().try_for_each(|v| file.flag(key, v, &train).map(|_| ()))?;
        Ok(Setting { name: canonical(key, &train), values })
    };
    let mut found = FromFile::default();
    for (key, value) in &file.table {
        match (canonical(key, &train), value) {
            (name, toml::Value::Array(tables)) if name == "optimizer" => {
                for table in tables {
                    let table =
                        table.as_table().ok_or_else(|| file.fail("'optimizer' is not a list of tables"))?;
                    found.optimizers.push(entry(&file, table, &setting, &is_setting)?);
                }
            }
            (name, value) if is_own(&name) => {
                // A list of one seed is a list.
                let comma = if name == "seeds" && value.is_array() { "," } else { "" };
                found.own.extend(file.flag(key, &(file.text(key, value)? + comma), &own)?);
            }
            (name, value) if is_setting(&name) => found.settings.push(setting(key, value)?),
            _ => {
                let known = keys(&own).filter(|k| is_own(k)).chain(keys(&train).filter(|k| is_setting(k)));
                return Err(file.unknown(key, known.chain(["optimizer"])));
            }
        }
    }
    Ok(found)
}

/// An optimizer's table in a file.
fn entry(
    file: &SettingsFile<'_>,
    table: &toml::Table,
    setting: &dyn Fn(&str, &toml::Value) -> Result<Setting>,
    is_setting: &dyn Fn(&str) -> bool,
) -> Result<Entry> {
    let train = TrainArgs::command();
    let mut settings = Vec::new();
    let text = |key: &str| match table.get(key) {
        None => Ok(None),
        Some(value) => value
            .as_str()
            .map(Some)
            .ok_or_else(|| file.fail(format!("'{key}' of an optimizer is not a name"))),
    };
    let opt = text("opt")?.ok_or_else(|| file.fail("an [[optimizer]] has no 'opt'"))?;
    for (key, value) in table {
        match canonical(key, &train) {
            name if name == "name" => (),
            name if name == "opt" || is_setting(&name) => settings.push(setting(key, value)?),
            _ => return Err(file.unknown(key, keys(&train).filter(|k| is_setting(k)).chain(["name", "opt"]))),
        }
    }
    Ok(Entry { name: text("name")?.unwrap_or(opt).into(), settings })
}

/// What is to be done.
struct Resolved {
    plan: Plan,
    baseline: usize,
    jobs: usize,
    threads: usize,
    output: PathBuf,
}

impl CompareArgs {
    fn resolve(&self) -> Result<Resolved> {
        let parse = |flags: &[String]| {
            let flags = std::iter::once("sph compare").chain(flags.iter().map(String::as_str));
            let own = Own::command().try_get_matches_from(flags);
            let own = own.and_then(|m| Ok((Own::from_arg_matches(&m)?, m)));
            own.map_err(|e| Error::Config(crate::config::one_line(&e)))
        };
        let config = parse(&self.own)?.0.config;
        let mut file = config.map_or(Ok(FromFile::default()), |path| read_file(&path))?;
        let (own, matches) = parse(&[file.own, self.own.clone()].concat())?;
        let mut common = file.settings;
        for s in &self.settings {
            common.retain(|c| c.name != s.name);
            common.push(s.clone());
        }
        let named = matches.value_source("opt") == Some(ValueSource::CommandLine);
        if named && !file.optimizers.is_empty() && !self.own.iter().any(|f| f.starts_with("--opt=")) {
            return Err(Error::Config("a file has either 'opt' or [[optimizer]]".into()));
        }
        if file.optimizers.is_empty() || named {
            let setting = |opt: &String| Setting { name: "opt".into(), values: vec![opt.clone()] };
            let entry = |opt: &String| Entry { name: opt.clone(), settings: vec![setting(opt)] };
            file.optimizers = own.opt.iter().map(entry).collect();
        }
        let names: Vec<String> = file.optimizers.iter().map(|o| o.name.clone()).collect();
        let find = |flag: &str, name: &str| {
            names.iter().position(|n| n == name).ok_or_else(|| {
                let names = names.join(", ");
                Error::Config(format!("{flag}: '{name}' is none of the optimizers, which are {names}"))
            })
        };
        let baseline = own.baseline.as_ref().map_or(Ok(0), |name| find("--baseline", name))?;
        for (optimizer, setting) in own.grid {
            let settings = match optimizer {
                None => &mut common,
                Some(name) => &mut file.optimizers[find("--grid", &name)?].settings,
            };
            settings.retain(|s| s.name != setting.name);
            settings.push(setting);
        }
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let jobs = usize::from(own.jobs);
        let plan = Plan {
            datasets: own.dataset,
            models: own.model,
            optimizers: file.optimizers,
            common,
            seeds: own.seeds.0,
        };
        Ok(Resolved {
            plan,
            baseline,
            jobs,
            threads: own.threads.unwrap_or((cores / jobs).max(1)),
            output: own.output,
        })
    }
}

/// How a comparison ended, for the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All runs are finished.
    Finished,
    /// Some run failed; the others are finished.
    SomeFailed,
    /// Stopped early by the user; resumable.
    Interrupted,
}

/// Carries out what is not finished, prints the table and writes the files.
///
/// # Errors
/// For the user's mistakes, before anything is run; when files cannot be written.
pub fn run(args: &CompareArgs, stop: &AtomicBool) -> Result<Ended> {
    let Resolved { plan, baseline, jobs, threads, output } = args.resolve()?;
    let (configurations, runs) = plan.runs()?;
    let program =
        std::env::current_exe().map_err(|e| Error::Config(format!("cannot find this program: {e}")))?;
    let launch = Launch { program, output, jobs, threads };
    let found = runs.iter().map(|r| launch.find(r)).collect::<Result<Vec<Found>>>()?;
    check(&runs, &found, &launch)?;
    std::fs::create_dir_all(&launch.output).map_err(|e| Error::write(&launch.output, e))?;
    let results = || results(&launch, &configurations, &runs, baseline, plan.seeds.len());
    let mut console = Console::new(&launch, &runs, &found);
    let mut failed: Vec<(usize, String)> = Vec::new();
    processes::carry_out(&launch, &runs, &found, stop, &mut |event| {
        match event {
            Event::Ended(i, end) => {
                if let End::Failed(reason) = end {
                    failed.push((i, reason.clone()));
                }
                console.ended(i, end)?;
                write_files(&launch.output, &results()?)?;
            }
            Event::Running(numbers) => console.running(numbers),
        }
        Ok(())
    })?;
    console.bar.finish_and_clear();
    let results = results()?;
    write_files(&launch.output, &results)?;
    super::say(report::table(&results).trim_end())?;
    let stderr = |line: String| drop(writeln!(std::io::stderr(), "{line}"));
    for (i, reason) in &failed {
        stderr(format!("failed: {}: {reason}", runs[*i].name));
    }
    let unfinished = runs.len() - results.runs.len() - failed.len();
    if unfinished > 0 && stop.load(Ordering::Relaxed) {
        stderr(format!(
            "interrupted, {unfinished} runs are not finished; the same command goes on with them"
        ));
        return Ok(Ended::Interrupted);
    }
    if unfinished > 0 {
        stderr(format!("{unfinished} runs were interrupted; the same command goes on with them"));
    }
    Ok(if failed.is_empty() && unfinished == 0 { Ended::Finished } else { Ended::SomeFailed })
}

/// Data, models and settings that do not fit are found out before the first run.
fn check(runs: &[PlannedRun], found: &[Found], launch: &Launch) -> Result<()> {
    let mut checked = Vec::new();
    for (run, found) in runs.iter().zip(found) {
        if *found == Found::Nothing && !checked.contains(&run.configuration) {
            checked.push(run.configuration);
            crate::train_loop::Trainer::<f32>::new(&run.args, launch.folder(run))
                .map_err(|e| Error::Config(format!("{}: {e}", run.name)))?;
        }
    }
    Ok(())
}

fn results(
    launch: &Launch,
    configurations: &[Configuration],
    runs: &[PlannedRun],
    baseline: usize,
    seeds: usize,
) -> Result<Results> {
    let mut finished = Vec::new();
    for run in runs {
        let folder: run::RunDir = launch.folder(run);
        if folder.result().exists() {
            finished.push((run.name.clone(), run.configuration, History::read(folder)?));
        }
    }
    Ok(Results::new(configurations.to_vec(), finished, baseline, seeds, launch.jobs))
}

fn write_files(output: &Path, results: &Results) -> Result<()> {
    let write = |name: &str, text: String| write_atomically(&output.join(name), text.as_bytes());
    write("table.txt", report::table(results))?;
    write("runs.csv", report::runs_csv(results))?;
    write("configurations.csv", report::configurations_csv(results))?;
    let page =
        report::page(results).map_err(|e| Error::Config(format!("the report cannot be drawn: {e}")))?;
    write("report.html", page)
}

/// A line per run on stderr, and below it a bar over the epochs of all of them.
struct Console<'a> {
    launch: &'a Launch,
    runs: &'a [PlannedRun],
    bar: ProgressBar,
    /// Epochs of runs that have ended or never began.
    behind: Vec<u64>,
}

impl<'a> Console<'a> {
    fn new(launch: &'a Launch, runs: &'a [PlannedRun], found: &[Found]) -> Self {
        let bar = ProgressBar::new(runs.iter().map(|r| r.args.epochs as u64).sum());
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} epochs, {eta} left  {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        let mut console = Console { launch, runs, bar, behind: Vec::new() };
        console.behind = (0..runs.len()).map(|i| console.epochs(i)).collect();
        let finished = found.iter().filter(|f| **f == Found::Finished).count();
        let jobs = if launch.jobs > 1 { format!(", {} at a time", launch.jobs) } else { String::new() };
        let kept =
            if finished > 0 { format!(", {finished} of them finished already") } else { String::new() };
        let (n, s) = (runs.len(), if runs.len() == 1 { "" } else { "s" });
        console.line(format!("{n} run{s}{kept}{jobs}, in {}", launch.output.display()));
        console.bar.set_position(console.behind.iter().sum());
        // Time left is counted from what is done now.
        console.bar.reset_eta();
        console
    }

    fn line(&self, text: String) {
        self.bar.suspend(|| drop(writeln!(std::io::stderr(), "{text}")));
    }

    /// Epochs that a run has behind it.
    fn epochs(&self, i: usize) -> u64 {
        let text = std::fs::read_to_string(self.launch.folder(&self.runs[i]).summary()).unwrap_or_default();
        text.lines().count().saturating_sub(1) as u64
    }

    fn running(&mut self, numbers: &[usize]) {
        numbers.iter().for_each(|&i| self.behind[i] = self.epochs(i));
        self.bar.set_position(self.behind.iter().sum());
        self.bar.set_message(numbers.iter().map(|&i| &*self.runs[i].name).collect::<Vec<_>>().join(", "));
    }

    fn ended(&mut self, i: usize, end: &End) -> Result<()> {
        self.behind[i] = self.runs[i].args.epochs as u64;
        let run = &self.runs[i];
        let text = match end {
            End::Finished => {
                let result = self.launch.folder(run).read_result()?;
                let accuracy = result.as_ref().and_then(|r| r.test_accuracy);
                let accuracy =
                    accuracy.map_or(String::new(), |a| format!("best test accuracy {:.2} %, ", 100.0 * a));
                format!("{accuracy}{:.1} s", result.map_or(0.0, |r| r.seconds))
            }
            End::Interrupted => "interrupted".into(),
            End::Failed(reason) => format!("failed: {reason}"),
        };
        let name = &run.name;
        self.line(format!("{name}: {text}"));
        Ok(())
    }
}
