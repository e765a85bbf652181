//! The flags of a comparison, and what they and the file that one of them names say together.

use super::file::{self, FromFile};
use super::job;
use super::plan::{Entry, Plan};
use super::setting::checked;
use crate::config::{
    between, count, dataset_names, for_shell, model_names, optimizer_names, positive, seed, threads,
};
use crate::error::{Error, PlanError, Result};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser};
use sph_nn::models;
use sph_train::compare::{Job, NOTHING, Range, Setting, Tuning, Values};
use std::path::PathBuf;

const ABOUT_FILE: &str = "The file that -c names has the same keys as flags, lists for grids, and a table for each optimizer, whose settings go before \
                  the common ones:\n\n  dataset = \"digits\"\n  seeds = 5\n  epochs = 30\n  batch-size = [32, 64]\n\n  [[optimizer]]\n  \
                  opt = \"sph\"\n  lr = [0.05, 0.1]\n\n  [[optimizer]]\n  name = \"sgd, Nesterov\"\n  opt = \"sgd\"\n  nesterov = \
                  true\n\nWith [tuning], \
                  settings are chosen by trials on held-out training images: lists of an optimizer's own, and ranges, are what is \
                  tried.\n\n  [tuning]\n  trials = 8\n  budget-cpu-hours = 2\n\n  [[optimizer]]\n  opt = \"sgd\"\n  lr = { log = [0.001, 1] \
                  }\n\nWith --checkpoint, defaults of settings are those of `sph adapt`.\n\n";

const EXAMPLES: &str = "Examples:\n  sph compare --dataset digits --opt sph,sgd,adamw --seeds 3 --runs comparison\n  sph compare --opt \
                  sgd,sph --grid lr=0.05,0.1 --grid sph.tau=0.001,0.01\n  sph compare --opt sgd,sph --grid lr=log:0.001,1 --tuning-trials 8\n  sph compare -c comparison.toml --jobs 2\n  sph compare --checkpoint runs/first \
                  --corrupt fog:5,contrast:5 --opt adam,sph,krylov --labels 10 --steps 20";

/// Compare optimizers: the same models, data and seeds, averaged over seeds.
///
/// Every run is one of `sph train` in a folder of its own below --runs, or with --checkpoint one of `sph adapt`. What is finished is
/// kept: the same command again goes on where it was, and one with more seeds or optimizers adds to it. The result is a table, runs.csv,
/// configurations.csv and report.html. All settings of `sph train`, or of `sph adapt`, are taken and hold for all runs.
#[derive(Parser, Debug, Clone)]
#[command(
    name = "compare",
    args_override_self = true,
    allow_negative_numbers = true,
    after_help = EXAMPLES,
    after_long_help = format!("{ABOUT_FILE}{EXAMPLES}")
)]
struct Own {
    /// Data sets, with commas between them.
    #[arg(long, value_delimiter = ',', default_value = sph_data::DEFAULT, value_parser = dataset_names())]
    dataset: Vec<String>,
    /// With --checkpoint: corruptions that networks are adapted to, with commas between them; `none` is one [default: none].
    #[arg(long, value_delimiter = ',', value_name = "NAME:SEVERITY")]
    corrupt: Vec<String>,
    /// Models, with commas between them.
    #[arg(long, value_delimiter = ',', default_value = models::DEFAULT, value_parser = model_names())]
    model: Vec<String>,
    /// Trained networks that are adapted, runs' folders or model files, with commas between them: runs are those of `sph adapt`.
    #[arg(long, value_delimiter = ',', value_name = "RUN|FILE")]
    checkpoint: Vec<String>,
    /// Optimizers, with commas between them.
    #[arg(long, value_delimiter = ',', default_value = "sgd,adamw,sph", value_parser = optimizer_names())]
    opt: Vec<String>,
    /// How many seeds (from 42 on), or the seeds with commas between them.
    #[arg(long, default_value = "3", value_parser = seeds)]
    seeds: Seeds,
    /// Values of a setting, each of which is run; of one optimizer alone when its name and a point stand before it. `log:A,B` and
    /// `linear:A,B` are ranges, for --tuning-trials.
    #[arg(long, value_name = "[OPT.]SETTING=V1,V2,…", action = clap::ArgAction::Append, value_parser = grid)]
    grid: Vec<(Option<String>, Setting)>,
    /// The optimizer whose accuracy the others are timed to [default: the first].
    #[arg(long, value_name = "NAME")]
    baseline: Option<String>,
    /// Runs at a time; their times are those of runs that share the machine.
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Choice of settings.
    #[command(flatten)]
    tuning: TuningArgs,
    /// TOML file of settings; flags override it.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the runs, and of the tables and the page about them.
    #[arg(long, default_value = "comparison", value_name = "DIR")]
    runs: PathBuf,
    /// Worker threads of each run [default: all cores, shared between --jobs]; accuracies do not depend on it.
    #[arg(long, value_parser = threads)]
    threads: Option<usize>,
}

/// The tuning rule; in a file the table `[tuning]`, its keys without `tuning-`.
#[derive(Args, Debug, Clone)]
struct TuningArgs {
    /// Trials of each optimizer, judged on held-out training images, before the runs [default: no tuning].
    #[arg(long, value_parser = count, value_name = "N")]
    tuning_trials: Option<usize>,
    /// Seed of the values that are tried, and of the trials' training [default: 0].
    #[arg(long, value_parser = seed, value_name = "SEED")]
    tuning_seed: Option<u64>,
    /// Epochs of a trial [default: those of the runs].
    #[arg(long, value_parser = count, value_name = "N")]
    tuning_epochs: Option<usize>,
    /// Fraction of the training images that trials are judged on [default: 0.2].
    #[arg(long, value_parser = between, value_name = "FRACTION")]
    tuning_val_split: Option<f64>,
    /// CPU hours of trials and runs together: trials are cut, equally, to what fits by the times of the first ones [default: no limit].
    #[arg(long, value_parser = positive, value_name = "HOURS")]
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
            (None, Some((name, _))) => Err(PlanError::NoTrials(name).into()),
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
        None => count(text).map(|n| Seeds((FIRST..).take(n).collect())),
        // A comma at the end makes a list of one seed.
        Some(_) => text
            .trim_end_matches(',')
            .split(',')
            .map(|s| seed(s.trim()))
            .collect::<std::result::Result<_, _>>()
            .map(Seeds),
    }
}

fn grid(text: &str) -> std::result::Result<(Option<String>, Setting), String> {
    let (name, values) =
        text.split_once('=').ok_or("must be a setting, '=' and its values, such as lr=0.05,0.1")?;
    // An optimizer's name may have a point, a setting's has none.
    let (optimizer, name) = match name.rsplit_once('.') {
        Some((optimizer, name)) => (Some(optimizer.to_string()), name),
        None => (None, name),
    };
    let name = name.trim_start_matches('-').to_string();
    let listed = values.split(',').map(|v| v.trim().to_string()).collect::<Vec<_>>();
    let values = match values.split_once(':').filter(|(scale, _)| ["log", "linear"].contains(scale)) {
        None => Values::List(listed),
        Some((scale, ends)) => {
            let ends: Option<Vec<f64>> = ends.split(',').map(|v| v.trim().parse().ok()).collect();
            let Some([from, to]) = ends.as_deref() else {
                return Err(format!("'{values}' is not {scale}: and two numbers with a comma between them"));
            };
            Values::Range(Range::new(scale == "log", *from, *to).map_err(|e| format!("'{name}': {e}"))?)
        }
    };
    Ok((optimizer, Setting { name, values }))
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
        let settings = settings.map(|(name, values)| Setting::list(name, values));
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
        let arguments = job::command(job);
        let is_setting = move |a: &&clap::Arg| a.get_long().is_some_and(|name| job::is_setting(job, name));
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

/// What is to be done.
pub(crate) struct Resolved {
    pub(crate) plan: Plan,
    /// The optimizer of the plan that others are timed to.
    pub(crate) baseline: usize,
    /// Runs at a time.
    pub(crate) jobs: usize,
    /// Worker threads of each.
    pub(crate) threads: usize,
    /// Folder of the comparison.
    pub(crate) output: PathBuf,
    /// The text of its file.
    pub(crate) file: Option<String>,
}

impl CompareArgs {
    /// What is compared.
    ///
    /// # Errors
    /// When a flag, or a key or value of the file, is wrong.
    pub fn plan(&self) -> Result<Plan> {
        Ok(self.resolve()?.plan)
    }

    /// The command that these flags are of, as a shell takes it.
    pub fn command(&self) -> String {
        let settings = self.settings.iter().flat_map(|s| {
            let flag = |v: &String| format!("--{}={v}", s.name);
            s.values.listed().iter().map(flag).collect::<Vec<_>>()
        });
        let word = |flag: String| format!(" {}", for_shell(&flag));
        "sph compare".to_string() + &self.own.iter().cloned().chain(settings).map(word).collect::<String>()
    }

    /// What is to be done: the flags, over the file that one of them names.
    ///
    /// # Errors
    /// As [`CompareArgs::plan`].
    pub(crate) fn resolve(&self) -> Result<Resolved> {
        let parse = |flags: &[String]| {
            let flags = std::iter::once("sph compare").chain(flags.iter().map(String::as_str));
            let own = Own::command().try_get_matches_from(flags);
            let own = own.and_then(|m| Ok((Own::from_arg_matches(&m)?, m)));
            own.map_err(Error::CommandLine)
        };
        let flags = parse(&self.own)?.0;
        let adapts = !flags.checkpoint.is_empty();
        let (mut file, job) = match flags.config {
            Some(path) => file::read(&path, adapts, &Own::command())?,
            None => (FromFile::default(), if adapts { Job::Adapt } else { Job::Train }),
        };
        // Lists would be appended to.
        let name = |flag: &String| flag.split('=').next().unwrap_or_default().to_string();
        file.own.retain(|f| self.own.iter().all(|own| name(own) != name(f)));
        let (own, matches) = parse(&[file.own, self.own.clone()].concat())?;
        let command = job::command(job);
        let given = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
        let mut common = file.settings;
        for s in &self.settings {
            if !job::settings(job, &command).any(|k| k == s.name) {
                let (name, command) = (&s.name, command.get_name());
                let reason = format!("is not a setting of sph {command}, which these runs are");
                return Err(Error::flag(name, None, reason));
            }
            common.retain(|c| c.name != s.name);
            common.push(s.clone());
        }
        let (datasets, models) = match job {
            Job::Train if !own.corrupt.is_empty() => {
                return Err(Error::flag(
                    "corrupt",
                    None,
                    "is for adaptations: name trained networks with --checkpoint",
                ));
            }
            Job::Train => (own.dataset, own.model),
            Job::Adapt => {
                // Its data and model are the network's, unless others are named.
                for (name, values) in [("dataset", own.dataset), ("model", own.model)] {
                    common.extend(given(name).then(|| Setting::list(name, values)));
                }
                let corruptions = if own.corrupt.is_empty() { vec![NOTHING.into()] } else { own.corrupt };
                (corruptions, own.checkpoint)
            }
        };
        if job == Job::Adapt && own.tuning.tuning_epochs.is_some() {
            return Err(Error::flag(
                "tuning-epochs",
                None,
                "('epochs' of [tuning]) is for trainings: adaptations have steps, and trials as many as runs",
            ));
        }
        let named = given("opt");
        if named && !file.optimizers.is_empty() && !self.own.iter().any(|f| f.starts_with("--opt=")) {
            return Err(PlanError::TwoLists.into());
        }
        if file.optimizers.is_empty() || named {
            let setting = |opt: &String| Setting::list("opt", vec![opt.clone()]);
            let entry = |opt: &String| Entry { name: opt.clone(), settings: vec![setting(opt)] };
            file.optimizers = own.opt.iter().map(entry).collect();
        }
        let names: Vec<String> = file.optimizers.iter().map(|o| o.name.clone()).collect();
        let find = |flag: &str, name: &str| {
            names.iter().position(|n| n == name).ok_or_else(|| {
                let reason = format!("is none of the optimizers, which are {}", names.join(", "));
                Error::flag(flag, format!("'{name}'"), reason)
            })
        };
        let baseline = own.baseline.as_ref().map_or(Ok(0), |name| find("baseline", name))?;
        let mut grids: Vec<(Option<String>, String)> = Vec::new();
        for (optimizer, setting) in own.grid {
            let setting = checked(setting, job).map_err(|e| Error::flag("grid", None, e))?;
            let name = (optimizer.clone(), setting.name.clone());
            if grids.contains(&name) {
                let reason = "is given twice; put its values in one list";
                return Err(Error::flag("grid", format!("'{}'", name.1), reason));
            }
            grids.push(name);
            let settings = match optimizer {
                None => &mut common,
                Some(name) => &mut file.optimizers[find("grid", &name)?].settings,
            };
            settings.retain(|s| s.name != setting.name);
            settings.push(setting);
        }
        let corrupts = job == Job::Train || datasets.iter().any(|c| c != NOTHING);
        let settings = common.iter().chain(file.optimizers.iter().flat_map(|o| &o.settings));
        if !corrupts && settings.into_iter().any(|s| s.name == "corrupt-seed") {
            return Err(Error::needs("corrupt-seed", "--corrupt"));
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
            output: own.runs,
            file: file.text,
        })
    }
}
