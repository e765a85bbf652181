//! `sph compare`: several optimizers on the same models, data and seeds.

use crate::adaptation_setup::Setup;
use crate::checkpoint::write_atomically;
use crate::compare::job::{Job, NOTHING, RunArgs};
use crate::compare::plan::{self, Configuration, Entry, Plan, PlannedRun, Setting, Values};
use crate::compare::processes::{self, End, Event, Found, Launch};
use crate::compare::results::{FinishedRun, Results, Trials};
use crate::compare::tuning::{self, Cost, Outcome, Range, Search, Tuned, Tuning};
use crate::config::{SettingsFile, canonical, dataset_names, keys, model_names, repeats, threads};
use crate::data;
use crate::error::{Error, Result};
use crate::history::{Adaptation, History};
use crate::report::{compare as report, trials as trials_report};
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
/// Every run is one of `sph train` in a folder of its own below --output, or with --checkpoint one of `sph adapt`. What is finished is
/// kept: the same command again goes on where it was, and one with more seeds or optimizers adds to it. The result is a table, runs.csv,
/// configurations.csv and report.html. All settings of `sph train`, or of `sph adapt`, are taken and hold for all runs.
#[derive(Parser, Debug, Clone)]
#[command(
    name = "compare",
    args_override_self = true,
    allow_negative_numbers = true,
    after_help = "The file that -c names has the same keys as flags, lists for grids, and a table for each optimizer, whose settings go before \
                  the common ones:\n\n  dataset = \"digits\"\n  seeds = 5\n  epochs = 30\n  batch-size = [32, 64]\n\n  [[optimizer]]\n  \
                  opt = \"sph\"\n  lr = [0.05, 0.1]\n\n  [[optimizer]]\n  name = \"sgd, Nesterov\"\n  opt = \"sgd\"\n  nesterov = \
                  true\n\nWith [tuning], \
                  settings are chosen by trials on held-out training images: lists of an optimizer's own, and ranges, are what is \
                  tried.\n\n  [tuning]\n  trials = 8\n  budget-cpu-hours = 2\n\n  [[optimizer]]\n  opt = \"sgd\"\n  lr = { log = [0.001, 1] \
                  }\n\nExamples:\n  sph compare --dataset digits --opt sph,sgd,adamw --seeds 3 --output comparison\n  sph compare --opt \
                  sgd,sph --grid lr=0.05,0.1 --grid sph.tau=0.001,0.01\n  sph compare --opt sgd,sph --grid lr=log:0.001,1 --tuning-trials 8\n  sph compare -c comparison.toml --jobs 2\n  sph compare --checkpoint runs/first \
                  --corrupt fog:5,contrast:5 --opt adam,sph,krylov --labels 10 --steps 20"
)]
struct Own {
    /// TOML file of settings; flags override it.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Trained networks that are adapted, runs' folders or model files, with commas between them: runs are those of `sph adapt`.
    #[arg(long, value_delimiter = ',', value_name = "RUN|FILE")]
    checkpoint: Vec<String>,
    /// With --checkpoint: corruptions that networks are adapted to, with commas between them; `none` is one [default: none].
    #[arg(long, value_delimiter = ',', value_name = "NAME:SEVERITY")]
    corrupt: Vec<String>,
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
    /// Values of a setting, each of which is run; of one optimizer alone when its name and a point stand before it. `log:A,B` and
    /// `linear:A,B` are ranges, for --tuning-trials.
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
    /// Choice of settings.
    #[command(flatten)]
    tuning: TuningArgs,
}

/// The tuning rule; in a file the table `[tuning]`, its keys without `tuning-`.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Tuning")]
struct TuningArgs {
    /// Trials of each optimizer, judged on held-out training images, before the runs [default: no tuning].
    #[arg(long, value_parser = crate::config::count, value_name = "N")]
    tuning_trials: Option<usize>,
    /// Seed of the values that are tried, and of the trials' training [default: 0].
    #[arg(long, value_parser = crate::config::seed, value_name = "SEED")]
    tuning_seed: Option<u64>,
    /// Epochs of a trial [default: those of the runs].
    #[arg(long, value_parser = crate::config::count, value_name = "N")]
    tuning_epochs: Option<usize>,
    /// Fraction of the training images that trials are judged on [default: 0.2].
    #[arg(long, value_parser = crate::config::between, value_name = "FRACTION")]
    tuning_val_split: Option<f64>,
    /// CPU hours of trials and runs together: trials are cut, equally, to what fits by the times of the first ones [default: no limit].
    #[arg(long, value_parser = crate::config::positive, value_name = "HOURS")]
    tuning_budget_cpu_hours: Option<f64>,
}

impl TuningArgs {
    /// The rule, if there is one.
    fn build(&self) -> Result<Option<Tuning>> {
        let others = [
            ("seed", self.tuning_seed.is_some()),
            ("epochs", self.tuning_epochs.is_some()),
            ("val-split", self.tuning_val_split.is_some()),
            ("budget-cpu-hours", self.tuning_budget_cpu_hours.is_some()),
        ];
        match (self.tuning_trials, others.iter().find(|o| o.1)) {
            (None, Some((name, _))) => Err(Error::Config(format!(
                "--tuning-{name} needs --tuning-trials ('{name}' of [tuning] in a file: 'trials')"
            ))),
            (None, None) => Ok(None),
            (Some(trials), _) => Ok(Some(Tuning {
                trials,
                seed: self.tuning_seed.unwrap_or(0),
                epochs: self.tuning_epochs,
                val_split: self.tuning_val_split.unwrap_or(0.2),
                budget_cpu_hours: self.tuning_budget_cpu_hours,
            })),
        }
    }
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
    let name = name.trim_start_matches('-').to_string();
    let listed = values.split(',').map(|v| v.trim().to_string()).collect::<Vec<_>>();
    let values = match values.split_once(':').filter(|(scale, _)| ["log", "linear"].contains(scale)) {
        None => Values::List(listed),
        Some((scale, ends)) => {
            let ends: Vec<f64> = ends.split(',').filter_map(|v| v.trim().parse().ok()).collect();
            let [from, to] = ends[..] else {
                return Err(format!("'{values}' is not {scale}: and two numbers with a comma between them"));
            };
            Values::Range(Range::new(scale == "log", from, to).map_err(|e| format!("'{name}': {e}"))?)
        }
    };
    Ok((optimizer, Setting { name, values }))
}

/// The setting of a job's runs that is meant, which can have several values and takes the ends of a range.
fn several(setting: Setting, job: Job) -> std::result::Result<Setting, String> {
    let command = job.command();
    let name = canonical(&setting.name, &command);
    if !job.settings(&command).any(|k| k == name && !repeats(k, &command)) {
        let command = command.get_name();
        return Err(format!("'{name}' is not a setting of sph {command} that can have several values"));
    }
    if let Values::Range(range) = &setting.values {
        for end in [range.from, range.to] {
            let checked = command.clone().try_get_matches_from(["sph", &format!("--{name}={end}")]);
            checked.map_err(|e| crate::config::one_line(&e))?;
        }
    }
    Ok(Setting { name, ..setting })
}

/// The flags of a comparison: its own, and the settings of `sph train` and `sph adapt`.
#[derive(Debug, Clone)]
pub struct CompareArgs {
    /// Its own flags as they were given, for being read again behind those of a file.
    own: Vec<String>,
    settings: Vec<Setting>,
}

/// Flags as they were given: name and values.
type Given = Vec<(String, Vec<String>)>;

impl Args for CompareArgs {
    fn augment_args(command: Command) -> Command {
        Own::augment_args(command).args(settings_of_both())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for CompareArgs {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        let given = |arguments: &mut dyn Iterator<Item = &clap::Arg>| -> Given {
            let source = |a: &clap::Arg| matches.value_source(a.get_id().as_str());
            let arguments = arguments.filter(|a| source(a) == Some(ValueSource::CommandLine));
            let setting = |a: &clap::Arg| {
                let text = |v: &std::ffi::OsStr| v.to_string_lossy().into_owned();
                let occurrences = matches.get_raw_occurrences(a.get_id().as_str())?;
                let values = occurrences.map(|o| o.map(text).collect::<Vec<_>>().join(",")).collect();
                Some((a.get_long()?.into(), values))
            };
            arguments.filter_map(setting).collect()
        };
        let own = given(&mut Own::command().get_arguments());
        let flags = own.iter().flat_map(|(name, values)| values.iter().map(move |v| format!("--{name}={v}")));
        let settings = given(&mut settings_of_both().iter()).into_iter();
        let settings = settings.map(|(name, values)| Setting { name, values: Values::List(values) });
        Ok(CompareArgs { own: flags.collect(), settings: settings.collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> std::result::Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Settings of `sph train`, then those that `sph adapt` alone has.
fn settings_of_both() -> Vec<clap::Arg> {
    let of = |job: Job| {
        let arguments = job.command();
        let is_setting = move |a: &&clap::Arg| a.get_long().is_some_and(|name| job.is_setting(name));
        arguments.get_arguments().filter(is_setting).cloned().collect::<Vec<_>>()
    };
    let own = |name: &str| Own::command().get_arguments().any(|a| a.get_long() == Some(name));
    let mut all = of(Job::Train);
    for argument in of(Job::Adapt) {
        let name = argument.get_long().unwrap_or_default();
        if !own(name) && all.iter().all(|a| a.get_long() != Some(name)) {
            all.push(argument.help_heading("Adaptation, with --checkpoint"));
        }
    }
    all
}

/// A file's part of the settings.
#[derive(Default)]
struct FromFile {
    own: Vec<String>,
    settings: Vec<Setting>,
    optimizers: Vec<Entry>,
}

/// The settings in a file, of a comparison of adaptations where flags or the file say so.
fn read_file(path: &Path, adapts: bool) -> Result<(FromFile, Job)> {
    let origin = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|e| Error::Config(format!("{origin}: {e}")))?;
    let file = SettingsFile::parse(&text, &origin)?;
    let job = if adapts || file.table.contains_key("checkpoint") { Job::Adapt } else { Job::Train };
    let (own, command) = (Own::command(), job.command());
    let is_own = |name: &str| keys(&own).any(|k| k == name) && name != "grid" && !name.starts_with(TUNING);
    let is_setting = |name: &str| job.settings(&command).any(|k| k == name);
    // Every value alone, so that one that is wrong is named now.
    let setting = |key: &str, value: &toml::Value| -> Result<Setting> {
        let name = canonical(key, &command);
        let values = match value {
            toml::Value::Table(table) if !repeats(&name, &command) => {
                let values = Values::Range(range_of_table(&file, key, table, job)?);
                return Ok(Setting { name, values });
            }
            value if repeats(&canonical(key, &command), &command) => file.values(key, value, &command)?,
            toml::Value::Array(items) if items.is_empty() => {
                return Err(file.fail(format!("key '{key}' has no value")));
            }
            toml::Value::Array(items) => {
                items.iter().map(|v| file.text(key, v)).collect::<Result<Vec<_>>>()?
            }
            value => vec![file.text(key, value)?],
        };
        values.iter().try_for_each(|v| file.flag(key, v, &command).map(|_| ()))?;
        Ok(Setting { name, values: Values::List(values) })
    };
    let mut found = FromFile::default();
    for (key, value) in &file.table {
        match (canonical(key, &command), value) {
            (name, toml::Value::Array(tables)) if name == "optimizer" => {
                for table in tables {
                    let table =
                        table.as_table().ok_or_else(|| file.fail("'optimizer' is not a list of tables"))?;
                    found.optimizers.push(entry(&file, table, &setting, job, &command)?);
                }
            }
            (name, toml::Value::Table(table)) if name == "tuning" => {
                for (key, value) in table {
                    let name = format!("{TUNING}{}", key.replace('_', "-"));
                    if !keys(&own).any(|k| k == name) {
                        return Err(file.unknown(key, keys(&own).filter_map(|k| k.strip_prefix(TUNING))));
                    }
                    found.own.extend(file.flag(&name, &file.text(key, value)?, &own)?);
                }
            }
            (name, value) if is_own(&name) => {
                // A list of one seed is a list.
                let comma = if name == "seeds" && value.is_array() { "," } else { "" };
                found.own.extend(file.flag(key, &(file.text(key, value)? + comma), &own)?);
            }
            (name, value) if is_setting(&name) => found.settings.push(setting(key, value)?),
            _ => {
                let known = keys(&own).filter(|k| is_own(k)).chain(job.settings(&command));
                return Err(file.unknown(key, known.chain(["optimizer", "tuning"])));
            }
        }
    }
    Ok((found, job))
}

/// How flags of the tuning rule begin.
const TUNING: &str = "tuning-";

/// A range in a file.
fn range_of_table(file: &SettingsFile<'_>, key: &str, table: &toml::Table, job: Job) -> Result<Range> {
    let number = |v: &toml::Value| v.as_float().or(v.as_integer().map(|i| i as f64));
    let ends = |v: &toml::Value| v.as_array()?.iter().map(number).collect::<Option<Vec<f64>>>();
    let (scale, ends) = match table.iter().next() {
        Some((scale, v)) if table.len() == 1 && ["log", "linear"].contains(&&**scale) => (scale, ends(v)),
        _ => {
            return Err(file.fail(format!("key '{key}': a range is {{log = [A, B]}} or {{linear = [A, B]}}")));
        }
    };
    let Some([from, to]) = ends.as_deref() else {
        return Err(file.fail(format!("key '{key}': {scale} is not two numbers, [A, B]")));
    };
    let range = Range::new(scale == "log", *from, *to).map_err(|e| file.fail(format!("key '{key}': {e}")))?;
    let setting = Setting { name: key.into(), values: Values::Range(range.clone()) };
    several(setting, job).map_err(|e| file.fail(e))?;
    Ok(range)
}

/// An optimizer's table in a file.
fn entry(
    file: &SettingsFile<'_>,
    table: &toml::Table,
    setting: &dyn Fn(&str, &toml::Value) -> Result<Setting>,
    job: Job,
    command: &Command,
) -> Result<Entry> {
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
        match canonical(key, command) {
            name if name == "name" => (),
            name if name == "opt" || job.settings(command).any(|k| k == name) => {
                settings.push(setting(key, value)?);
            }
            _ => return Err(file.unknown(key, job.settings(command).chain(["name", "opt"]))),
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
    /// What is compared.
    ///
    /// # Errors
    /// When a flag, or a key or value of the file, is wrong.
    pub fn plan(&self) -> Result<Plan> {
        Ok(self.resolve()?.plan)
    }

    fn resolve(&self) -> Result<Resolved> {
        let parse = |flags: &[String]| {
            let flags = std::iter::once("sph compare").chain(flags.iter().map(String::as_str));
            let own = Own::command().try_get_matches_from(flags);
            let own = own.and_then(|m| Ok((Own::from_arg_matches(&m)?, m)));
            own.map_err(|e| Error::Config(crate::config::one_line(&e)))
        };
        let flags = parse(&self.own)?.0;
        let adapts = !flags.checkpoint.is_empty();
        let (mut file, job) = match flags.config {
            Some(path) => read_file(&path, adapts)?,
            None => (FromFile::default(), if adapts { Job::Adapt } else { Job::Train }),
        };
        // Lists would be appended to.
        let name = |flag: &String| flag.split('=').next().unwrap_or_default().to_string();
        file.own.retain(|f| self.own.iter().all(|own| name(own) != name(f)));
        let (own, matches) = parse(&[file.own, self.own.clone()].concat())?;
        let command = job.command();
        let given = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
        let mut common = file.settings;
        for s in &self.settings {
            if !job.settings(&command).any(|k| k == s.name) {
                let (name, command) = (&s.name, command.get_name());
                return Err(Error::Config(format!(
                    "--{name} is not a setting of sph {command}, which these runs are"
                )));
            }
            common.retain(|c| c.name != s.name);
            common.push(s.clone());
        }
        let (datasets, models) = match job {
            Job::Train if !own.corrupt.is_empty() => {
                return Err(Error::Config(
                    "--corrupt is for adaptations: name trained networks with --checkpoint".into(),
                ));
            }
            Job::Train => (own.dataset, own.model),
            Job::Adapt => {
                // Its data and model are the network's, unless others are named.
                for (name, values) in [("dataset", own.dataset), ("model", own.model)] {
                    let setting = Setting { name: name.into(), values: Values::List(values) };
                    common.extend(given(name).then_some(setting));
                }
                let corruptions = if own.corrupt.is_empty() { vec![NOTHING.into()] } else { own.corrupt };
                (corruptions, own.checkpoint)
            }
        };
        if job == Job::Adapt && own.tuning.tuning_epochs.is_some() {
            return Err(Error::Config(
                "--tuning-epochs ('epochs' of [tuning]): adaptations have steps, and trials as many as runs"
                    .into(),
            ));
        }
        let named = given("opt");
        if named && !file.optimizers.is_empty() && !self.own.iter().any(|f| f.starts_with("--opt=")) {
            return Err(Error::Config("a file has either 'opt' or [[optimizer]]".into()));
        }
        if file.optimizers.is_empty() || named {
            let setting =
                |opt: &String| Setting { name: "opt".into(), values: Values::List(vec![opt.clone()]) };
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
            let setting = several(setting, job).map_err(|e| Error::Config(format!("--grid: {e}")))?;
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
            job,
            datasets,
            models,
            optimizers: file.optimizers,
            common,
            seeds: own.seeds.0,
            tuning: own.tuning.build()?,
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
    let program =
        std::env::current_exe().map_err(|e| Error::Config(format!("cannot find this program: {e}")))?;
    let launch = Launch { program, output, jobs, threads };
    let mut undecided = Vec::new();
    let (configurations, trials) = match &plan.tuning {
        None => (plan.configurations()?, None),
        Some(tuning) => {
            let trials = match carry_out_trials(&plan, tuning, &launch, stop)? {
                Ok(trials) => trials,
                Err(ended) => return Ok(ended),
            };
            let mut chosen = Vec::new();
            for tuned in &trials.tuned {
                match tuned.chosen() {
                    Some(i) => chosen.push(tuned.search.trials[i].clone()),
                    None => undecided.push(tuned.search.base.clone()),
                }
            }
            (chosen, Some(trials))
        }
    };
    let runs = plan::runs(&configurations, &plan.seeds)?;
    let results = || results(&launch, &configurations, &runs, baseline, plan.seeds.len(), trials.clone());
    let end = carry_out(&launch, "run", &runs, stop, &mut || write_files(&launch.output, &results()?))?;
    let results = results()?;
    write_files(&launch.output, &results)?;
    super::say(report::table(&results).trim_end())?;
    for c in &undecided {
        let _ = writeln!(
            std::io::stderr(),
            "no trial of {}, {}, got to its end, so that nothing is chosen: lower its range",
            c.full_label(),
            c.job.place(&c.dataset, &c.model)
        );
    }
    let all = end.tell(&runs, stop);
    Ok(if all == Ended::Finished && !undecided.is_empty() { Ended::SomeFailed } else { all })
}

/// Carries the trials out that are not finished: all of them, or those that the budget leaves. `Err`: some are not over, so that
/// nothing is chosen yet.
fn carry_out_trials(
    plan: &Plan,
    tuning: &Tuning,
    launch: &Launch,
    stop: &AtomicBool,
) -> Result<std::result::Result<Trials, Ended>> {
    let searches = plan.searches(tuning)?;
    // What is wrong with the runs is found out before the trials.
    let firsts: Vec<Configuration> = searches.iter().map(|s| s.trials[0].clone()).collect();
    plan::runs(&firsts, &plan.seeds)?;
    let below = Launch { output: launch.output.join("trials"), ..launch.clone() };
    // The first trials of all, then the second ones: whenever it is cut, all have as many.
    let mut numbers: Vec<(usize, usize)> = Vec::new();
    for trial in 0..tuning.trials {
        numbers.extend((0..searches.len()).filter(|&s| trial < searches[s].trials.len()).map(|s| (s, trial)));
    }
    let trials: Vec<Configuration> =
        numbers.iter().map(|&(s, trial)| Search::settings(&searches[s].trials[trial], tuning)).collect();
    let runs = plan::runs(&trials, &[tuning.seed])?;
    let mut fit = None;
    let mut diverged = vec![false; runs.len()];
    if let Some(budget) = tuning.budget_cpu_hours {
        let first = &runs[..searches.len()];
        let tuned = |diverged: &[bool]| outcomes(&searches, &numbers, &runs, diverged, &below, 1);
        let now = |tuned: Vec<Tuned>| Trials { tuning: tuning.clone(), fit: None, tuned };
        let end = carry_out(&below, "first trial", first, stop, &mut || {
            write_trials(&launch.output, &now(tuned(&diverged)?))
        })?;
        if let Some(ended) = end.settle(first, &mut diverged, stop) {
            return Ok(Err(ended));
        }
        let costs = tuned(&diverged)?.into_iter().map(|t| match t.outcomes[0] {
            Outcome::Finished { cpu_seconds: None, .. } => Err(Error::Config(
                "this system does not tell the CPU time of a run: leave the budget out, or lower the trials"
                    .into(),
            )),
            Outcome::Finished { cpu_seconds, .. } => Ok(cpu_seconds),
            _ => Ok(None),
        });
        let longer = |(run, trial): (&PlannedRun, &PlannedRun)| run.args.longer_than(&trial.args);
        let longer = plan::runs(&firsts, &plan.seeds[..1])?.iter().zip(first).map(longer).collect::<Vec<_>>();
        let costs = costs.zip(longer).map(|(trial, longer)| Ok(Cost { trial: trial?, longer }));
        fit = Some(tuning::fit(budget, &searches, &costs.collect::<Result<Vec<_>>>()?, plan.seeds.len())?);
    }
    let kept = fit.map_or(tuning.trials, |f| f.trials);
    let number = numbers.iter().take_while(|n| n.1 < kept).count();
    let tuned = |diverged: &[bool]| outcomes(&searches, &numbers, &runs, diverged, &below, kept);
    let now = |tuned: Vec<Tuned>| Trials { tuning: tuning.clone(), fit, tuned };
    let rest = &runs[..number];
    let end = carry_out(&below, "trial", rest, stop, &mut || {
        write_trials(&launch.output, &now(tuned(&diverged)?))
    })?;
    if let Some(ended) = end.settle(rest, &mut diverged, stop) {
        return Ok(Err(ended));
    }
    let trials = now(tuned(&diverged)?);
    write_trials(&launch.output, &trials)?;
    Ok(Ok(trials))
}

/// How the first `kept` trials of each search ended.
fn outcomes(
    searches: &[Search],
    numbers: &[(usize, usize)],
    runs: &[PlannedRun],
    diverged: &[bool],
    launch: &Launch,
    kept: usize,
) -> Result<Vec<Tuned>> {
    let mut all: Vec<Tuned> =
        searches.iter().map(|s| Tuned { search: s.clone(), outcomes: Vec::new() }).collect();
    for ((run, (s, _)), diverged) in runs.iter().zip(numbers).zip(diverged).filter(|r| r.0.1.1 < kept) {
        let outcome = match (diverged, launch.is_finished(run), &run.args) {
            (true, ..) => Outcome::Diverged,
            (_, false, _) => Outcome::Waiting,
            (_, true, RunArgs::Train(_)) => {
                let history = History::read(launch.folder(run))?;
                let path = history.run.summary();
                let last = history.epochs.last().and_then(|e| e.validation).ok_or_else(|| {
                    Error::data(
                        &path,
                        "no loss on held-out images in its last row; remove the trial's folder",
                    )
                })?;
                let cpu_seconds = history.result.and_then(|r| r.cpu_seconds);
                Outcome::Finished { accuracy: last.1, loss: last.0, cpu_seconds }
            }
            (_, true, RunArgs::Adapt(_)) => {
                let adapted = Adaptation::read(&launch.record(run))?;
                let cpu_seconds = adapted.cpu_seconds;
                let (loss, accuracy) =
                    adapted.evaluations.last().map_or((f64::NAN, 0.0), |m| (m.loss, m.accuracy));
                Outcome::Finished { accuracy, loss, cpu_seconds }
            }
        };
        all[*s].outcomes.push(outcome);
    }
    Ok(all)
}

fn write_trials(output: &Path, trials: &Trials) -> Result<()> {
    write_atomically(&output.join("trials.csv"), trials_report::csv(trials).as_bytes())
}

/// What came of runs that were carried out.
struct Carried {
    /// The numbers of those that failed, and why.
    failed: Vec<(usize, String)>,
    /// How many are not finished and did not fail.
    unfinished: usize,
}

impl Carried {
    /// Says what failed and what is left.
    fn tell(&self, runs: &[PlannedRun], stop: &AtomicBool) -> Ended {
        let stderr = |line: String| drop(writeln!(std::io::stderr(), "{line}"));
        for (i, reason) in &self.failed {
            stderr(format!("failed: {}: {reason}", runs[*i].name));
        }
        let n = self.unfinished;
        if n > 0 && stop.load(Ordering::Relaxed) {
            stderr(format!("interrupted, {n} runs are not finished; the same command goes on with them"));
            return Ended::Interrupted;
        }
        if n > 0 {
            stderr(format!("{n} runs were interrupted; the same command goes on with them"));
        }
        if self.failed.is_empty() && n == 0 { Ended::Finished } else { Ended::SomeFailed }
    }

    /// Notes the trials that diverged, which is an end like another. What kept others from theirs is told.
    fn settle(mut self, runs: &[PlannedRun], diverged: &mut [bool], stop: &AtomicBool) -> Option<Ended> {
        self.failed.retain(|(i, reason)| {
            diverged[*i] = Error::tells_of_divergence(reason);
            !diverged[*i]
        });
        match self.tell(runs, stop) {
            Ended::Finished => None,
            ended => Some(ended),
        }
    }
}

/// Carries those of `runs` out that are not finished; `kind` is what they are called, `written` follows each end.
fn carry_out(
    launch: &Launch,
    kind: &str,
    runs: &[PlannedRun],
    stop: &AtomicBool,
    written: &mut dyn FnMut() -> Result<()>,
) -> Result<Carried> {
    let found = runs.iter().map(|r| launch.find(r)).collect::<Result<Vec<Found>>>()?;
    check(runs, &found, launch)?;
    std::fs::create_dir_all(&launch.output).map_err(|e| Error::write(&launch.output, e))?;
    let mut console = Console::new(launch, kind, runs, &found);
    let mut failed: Vec<(usize, String)> = Vec::new();
    processes::carry_out(launch, runs, &found, stop, &mut |event| {
        match event {
            Event::Ended(i, end) => {
                if let End::Failed(reason) = end {
                    failed.push((i, reason.clone()));
                }
                console.ended(i, end)?;
                written()?;
            }
            Event::Running(numbers) => console.running(numbers),
        }
        Ok(())
    })?;
    console.bar.finish_and_clear();
    let finished = runs.iter().filter(|r| launch.is_finished(r)).count();
    Ok(Carried { unfinished: runs.len() - finished - failed.len(), failed })
}

/// Data, models and settings that do not fit are found out before the first run.
fn check(runs: &[PlannedRun], found: &[Found], launch: &Launch) -> Result<()> {
    let mut checked = Vec::new();
    for (run, found) in runs.iter().zip(found) {
        if *found == Found::Nothing && !checked.contains(&run.configuration) {
            checked.push(run.configuration);
            let fits = match &run.args {
                RunArgs::Train(args) => {
                    crate::train_loop::Trainer::<f32>::new(args, launch.folder(run)).map(drop)
                }
                RunArgs::Adapt(args) => Setup::new(args).map(drop),
            };
            fits.map_err(|e| Error::Config(format!("{}: {e}", run.name)))?;
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
    trials: Option<Trials>,
) -> Result<Results> {
    let finished = |run: &PlannedRun| {
        let (name, configuration) = (run.name.clone(), run.configuration);
        Ok::<_, Error>(match &run.args {
            RunArgs::Train(_) => {
                let history = History::read(launch.folder(run))?;
                FinishedRun::of_training(name, configuration, history, trials.is_some())
            }
            RunArgs::Adapt(args) => {
                let adapted = Adaptation::read(&launch.record(run))?;
                FinishedRun::of_adaptation(name, configuration, args.seed, &adapted)
            }
        })
    };
    let finished = runs.iter().filter(|r| launch.is_finished(r)).map(finished).collect::<Result<Vec<_>>>()?;
    Ok(Results::new(configurations.to_vec(), finished, baseline, seeds, launch.jobs, trials))
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

/// A line per run on stderr, and below it a bar over the epochs, or steps, of all of them.
struct Console<'a> {
    launch: &'a Launch,
    runs: &'a [PlannedRun],
    bar: ProgressBar,
    /// Epochs or steps that runs have behind them.
    behind: Vec<u64>,
}

impl<'a> Console<'a> {
    fn new(launch: &'a Launch, kind: &str, runs: &'a [PlannedRun], found: &[Found]) -> Self {
        let bar = ProgressBar::new(runs.iter().map(|r| r.args.length() as u64).sum());
        let unit = match runs.first().map(|r| &r.args) {
            Some(RunArgs::Adapt(_)) => Job::Adapt.unit(),
            _ => Job::Train.unit(),
        };
        let template = format!("{{bar:24}} {{pos}}/{{len}} {unit}s, {{eta}} left  {{msg}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("=> "));
        }
        let mut console = Console { launch, runs, bar, behind: Vec::new() };
        console.behind = (0..runs.len()).map(|i| console.epochs(i)).collect();
        let finished = found.iter().filter(|f| **f == Found::Finished).count();
        let jobs = if launch.jobs > 1 { format!(", {} at a time", launch.jobs) } else { String::new() };
        let kept =
            if finished > 0 { format!(", {finished} of them finished already") } else { String::new() };
        let (n, s) = (runs.len(), if runs.len() == 1 { "" } else { "s" });
        console.line(format!("{n} {kind}{s}{kept}{jobs}, in {}", launch.output.display()));
        console.bar.set_position(console.behind.iter().sum());
        // Time left is counted from what is done now.
        console.bar.reset_eta();
        console
    }

    fn line(&self, text: String) {
        self.bar.suspend(|| drop(writeln!(std::io::stderr(), "{text}")));
    }

    /// Epochs or steps that a run has behind it; an adaptation does not tell before its end.
    fn epochs(&self, i: usize) -> u64 {
        if let RunArgs::Adapt(args) = &self.runs[i].args {
            return if self.launch.is_finished(&self.runs[i]) { args.steps as u64 } else { 0 };
        }
        let text = std::fs::read_to_string(self.launch.folder(&self.runs[i]).summary()).unwrap_or_default();
        text.lines().count().saturating_sub(1) as u64
    }

    fn running(&mut self, numbers: &[usize]) {
        numbers.iter().for_each(|&i| self.behind[i] = self.epochs(i));
        self.bar.set_position(self.behind.iter().sum());
        self.bar.set_message(numbers.iter().map(|&i| &*self.runs[i].name).collect::<Vec<_>>().join(", "));
    }

    fn ended(&mut self, i: usize, end: &End) -> Result<()> {
        self.behind[i] = self.runs[i].args.length() as u64;
        let run = &self.runs[i];
        let text = match end {
            End::Finished => {
                let (name, accuracy, seconds) = match &run.args {
                    RunArgs::Train(_) => {
                        let history = History::read(self.launch.folder(run))?;
                        let held_out = history.epochs.last().and_then(|e| e.validation).map(|v| v.1);
                        let seconds = history.result.as_ref().map_or(0.0, |r| r.seconds);
                        match (held_out, history.result.and_then(|r| r.final_test_accuracy)) {
                            (Some(a), _) => ("held-out accuracy", Some(a), seconds),
                            (None, a) => ("final test accuracy", a, seconds),
                        }
                    }
                    RunArgs::Adapt(_) => {
                        let adapted = Adaptation::read(&self.launch.record(run))?;
                        let last = adapted.evaluations.last();
                        let seconds = adapted.step_seconds.iter().sum();
                        ("final accuracy", last.map(|m| m.accuracy), seconds)
                    }
                };
                let accuracy = accuracy.map_or(String::new(), |a| format!("{name} {:.2} %, ", 100.0 * a));
                format!("{accuracy}{seconds:.1} s")
            }
            End::Interrupted => "interrupted".into(),
            End::Failed(reason) => format!("failed: {reason}"),
        };
        let name = &run.name;
        self.line(format!("{name}: {text}"));
        Ok(())
    }
}
