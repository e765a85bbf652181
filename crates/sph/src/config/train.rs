//! Settings of a training.

use super::values::{below_one, count, dataset_names, from_root, row, seed, threads, training_losses};
use super::{
    AugmentArgs, AverageArgs, DatasetArgs, KernelArgs, ModelArgs, NormalisationArgs, OptArgs, ScheduleArgs,
    by_name, difference, flags_of_settings, flags_of_toml, shown,
};
use crate::error::{Error, Result, one_line};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser};
use serde::Serialize;
use sph_data::{DEFAULT as DEFAULT_DATASET, Division};
use sph_nn::losses::{LOSSES, Loss};
use sph_optim::lr::{ScheduleConfig, ScheduleRow};
use std::path::{Path, PathBuf};

/// Train a network.
#[derive(Parser, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(
    name = "train",
    args_override_self = true,
    allow_negative_numbers = true,
    after_help = "Examples:\n  sph train\n  sph train --dataset fashion-mnist --epochs 3 --batch-size 128\n  sph train --opt sgd --lr 0.05 \
                  --val-split 0.1 --json\n  sph train -c runs/first/args.toml --seed 7 --experiment second\n  sph train --resume \
                  runs/first\n  sph train --experiment night --epochs 200 --resume auto"
)]
pub struct TrainArgs {
    // In the order of the help.
    /// Data set.
    #[arg(long, default_value = DEFAULT_DATASET, value_parser = dataset_names())]
    pub dataset: String,
    /// Its files.
    #[command(flatten)]
    #[serde(flatten)]
    pub data: DatasetArgs,
    /// What images are normalized by.
    #[command(flatten)]
    #[serde(flatten)]
    pub normalisation: NormalisationArgs,
    /// Fraction of the training images held out to choose the best epoch on.
    #[arg(long, default_value_t = 0.0, value_parser = below_one, value_name = "FRACTION")]
    pub val_split: f64,
    /// Train on so many labelled images per class, drawn by --seed from those that are not held out [default: all].
    #[arg(long, value_parser = count, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<usize>,
    /// Evaluate on so many of the test images, and of those held out, drawn class by class, the same for every run, or on all where there
    /// are fewer [default: all].
    #[arg(long, value_parser = count, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_images: Option<usize>,
    /// Random changes of training images.
    #[command(flatten)]
    #[serde(flatten)]
    pub augment: AugmentArgs,
    /// Model.
    #[command(flatten)]
    #[serde(flatten)]
    pub model: ModelArgs,
    /// Model state to begin with, ours or PyTorch's.
    ///
    /// PyTorch's has torchvision's or timm's names. A classifier for another number of classes is left out.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_checkpoint: Option<PathBuf>,
    /// Optimizer and its settings.
    #[command(flatten)]
    #[serde(flatten)]
    pub optimizer: OptArgs,
    /// What is minimised, and what the network is evaluated by.
    #[arg(long, default_value = LOSSES[0].0, value_parser = training_losses())]
    #[serde(skip_serializing_if = "is_default_loss")]
    pub loss: String,
    /// Label smoothing of --loss cross-entropy.
    #[arg(long, default_value_t = 0.0, value_parser = below_one)]
    pub smoothing: f64,
    /// Average of weights.
    #[command(flatten)]
    #[serde(flatten)]
    pub average: AverageArgs,
    /// Passes over the training images.
    ///
    /// Beside --resume how many there are in all from then on, and the schedule's length.
    #[arg(long, default_value = "20", value_parser = count)]
    pub epochs: usize,
    /// Images per batch.
    ///
    /// A last batch of an epoch that is not whole is left out.
    #[arg(short, long, default_value = "64", value_parser = count)]
    pub batch_size: usize,
    /// Batches of --batch-size whose gradients and curvature are averaged for a step.
    #[arg(long, alias = "grad-accum", default_value = "1", value_parser = count, value_name = "N")]
    pub grad_accum_steps: usize,
    /// Stop after this many epochs in a row without a new best one [default: never].
    #[arg(long, value_parser = count, value_name = "EPOCHS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Learning-rate schedule.
    #[command(flatten)]
    #[serde(flatten)]
    pub schedule: ScheduleArgs,
    /// TOML file of settings, keys named like flags; flags override it.
    #[arg(short, long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Name of this run's folder [default: time, model and data set].
    #[arg(long, value_name = "NAME")]
    #[serde(skip)]
    pub experiment: Option<String>,
    /// Folder of runs.
    #[arg(long, default_value = "runs", value_name = "DIR")]
    #[serde(skip)]
    pub runs: PathBuf,
    /// Go on with the run in this folder, bit for bit; `auto`: with that of --experiment, if it is there.
    ///
    /// The run's settings are used, but for --data-dir and --epochs where they are given. Beside `auto` the settings given must be the run's
    /// own (--data-dir may be another place, and --epochs more); a run that is not there is begun.
    #[arg(long, value_name = "RUN")]
    #[serde(skip)]
    pub resume: Option<PathBuf>,
    /// `--epochs`, where it stands beside `--resume`.
    #[arg(skip)]
    #[serde(skip)]
    pub resume_to: Option<usize>,
    /// Seed of initial values, labelled images, order and augmentation.
    #[arg(long, default_value_t = 42, value_parser = seed)]
    pub seed: u64,
    /// Worker threads [default: the cores that this process may use; container limits count]; the results do not depend on it.
    #[arg(long, value_parser = threads)]
    #[serde(skip)]
    pub threads: Option<usize>,
    /// Write a line to stderr every so many steps (0: none).
    #[arg(long, default_value_t = 0, value_name = "STEPS")]
    #[serde(skip)]
    pub log_interval: u64,
    /// Write no event files for TensorBoard.
    #[arg(long, num_args = 0..=1, default_value = "false", default_missing_value = "true", value_name = "BOOL", require_equals = true, hide_default_value = true, hide_possible_values = true)]
    #[serde(skip)]
    pub no_tensorboard: bool,
    /// Print one JSON object on stdout at the end.
    ///
    /// Everything else goes to stderr.
    #[arg(long, num_args = 0..=1, default_value = "false", default_missing_value = "true", value_name = "BOOL", require_equals = true, hide_default_value = true, hide_possible_values = true)]
    #[serde(skip)]
    pub json: bool,
    /// Finish the step, save and leave when stdin ends: for programs that start runs.
    #[arg(long, num_args = 0..=1, default_value = "false", default_missing_value = "true", value_name = "BOOL", require_equals = true, hide_default_value = true, hide_possible_values = true)]
    #[serde(skip)]
    pub stop_on_eof: bool,
    /// Kernels.
    #[command(flatten)]
    #[serde(flatten)]
    pub kernels: KernelArgs,
}

/// Records of before losses were named stay as they are.
fn is_default_loss(loss: &str) -> bool {
    loss == LOSSES[0].0
}

/// Flags that may stand beside `--resume`.
const WITH_RESUME: &[&str] =
    &["resume", "data_dir", "epochs", "json", "threads", "log_interval", "no_tensorboard", "stop_on_eof"];

/// Flags that are about how a run is carried out; all others are settings that make it what it is.
pub(crate) const NOT_SETTINGS: &[&str] = &[
    "config",
    "seed",
    "threads",
    "runs",
    "experiment",
    "resume",
    "log-interval",
    "no-tensorboard",
    "json",
    "stop-on-eof",
];

impl TrainArgs {
    /// Settings from the command line (without the program's and the command's names) and the file that `-c` names.
    ///
    /// # Errors
    /// A clap error for the command line; ours for the file.
    pub fn from_command_line(flags: &[String]) -> Result<Self> {
        Self::completed(&Self::command().try_get_matches_from(with_name(flags))?)
    }

    /// Settings from a parsed command line, completed by the file that `-c` names and by what suits the model.
    ///
    /// # Errors
    /// When a flag stands beside `--resume` that the run decides; for the file; when settings do not fit each other.
    pub fn completed(matches: &ArgMatches) -> Result<Self> {
        let cli = Self::from_arg_matches(matches)?;
        let command = Self::command();
        let given =
            |a: &&clap::Arg| matches.value_source(a.get_id().as_str()) == Some(ValueSource::CommandLine);
        if cli.resume.is_some() && !cli.resumes_by_itself() {
            let decided = |a: &&clap::Arg| !WITH_RESUME.contains(&a.get_id().as_str());
            if let Some(arg) = command.get_arguments().filter(given).find(decided) {
                let flag = arg.get_long().unwrap_or_default();
                let reason = "cannot stand beside --resume: the run goes on with its own settings, but for --data-dir and --epochs; to train \
                              on with others, begin a run with --init-checkpoint";
                return Err(Error::flag(flag, None, reason));
            }
        }
        let mut epochs = command.get_arguments().filter(given).any(|a| a.get_id() == "epochs");
        let args = match &cli.config {
            None => cli,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| Error::settings(&shown(path), e))?;
                // Flags stand behind the file's and override them.
                let mut flags = flags_of_toml(&text, &command, &shown(path))?;
                epochs |= flags.iter().any(|flag| flag.starts_with("--epochs="));
                for arg in command.get_arguments().filter(given) {
                    let values = matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
                    let name = arg.get_long().unwrap_or_default();
                    flags.extend(values.map(|value| format!("--{name}={}", value.to_string_lossy())));
                }
                Self::from_arg_matches(&command.try_get_matches_from(with_name(&flags))?)?
            }
        };
        let mut args = args.resolved()?;
        args.resume_to = args.resume.as_ref().filter(|_| epochs).map(|_| args.epochs);
        args.validate()?;
        Ok(args)
    }

    /// `--resume auto`.
    pub fn resumes_by_itself(&self) -> bool {
        self.resume.as_deref() == Some(Path::new("auto"))
    }

    /// These settings of a run that has begun `begun` epochs, with the place of the data and the epochs that `asked` names instead. By itself a
    /// run only becomes longer.
    ///
    /// # Errors
    /// For fewer epochs than were begun, or a schedule that they do not fit.
    pub fn going_on(&self, asked: &TrainArgs, begun: usize) -> Result<TrainArgs> {
        let mut args = self.clone();
        if asked.data.data_dir.is_some() {
            args.data.data_dir = asked.data.clone().from_root().data_dir;
        }
        let longer = |epochs: &usize| !asked.resumes_by_itself() || *epochs > self.epochs;
        if let Some(epochs) = asked.resume_to.filter(longer) {
            if epochs < begun {
                let reason =
                    format!("is less than the {begun} that the run has begun; name more to train on");
                return Err(Error::flag("epochs", epochs.to_string(), reason));
            }
            args.epochs = epochs;
        }
        args.validate()?;
        Ok(args)
    }

    /// The first setting that is another one in `other`, with both values, when they make different runs.
    ///
    /// # Errors
    /// As [`TrainArgs::to_toml`].
    pub fn difference(&self, other: &TrainArgs) -> Result<Option<String>> {
        // A path is the same however it is spelled.
        let of = |args: &TrainArgs| {
            let init_checkpoint = args.init_checkpoint.clone().map(from_root);
            by_name(&TrainArgs { data: args.data.clone().from_root(), init_checkpoint, ..args.clone() })
        };
        Ok(difference(&of(self)?, &of(other)?))
    }

    /// Settings from TOML alone, as [`TrainArgs::to_toml`] wrote them.
    ///
    /// # Errors
    /// When a key or value is wrong; `origin` names the file in the message.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self> {
        let flags = flags_of_toml(text, &Self::command(), origin)?;
        let args =
            Self::try_parse_from(with_name(&flags)).map_err(|e| Error::settings(origin, one_line(&e)))?;
        args.validate()?;
        Ok(args)
    }

    /// Settings given by flags' names (without dashes) and values.
    ///
    /// # Errors
    /// When a value is wrong, or settings do not fit each other.
    pub fn from_settings<'s>(
        settings: impl Iterator<Item = &'s (String, String)>,
        seed: u64,
    ) -> Result<Self> {
        let flags = flags_of_settings(settings, seed, &Self::command())?;
        let args = Self::try_parse_from(with_name(&flags))?;
        let args = args.resolved()?;
        args.validate()?;
        Ok(args)
    }

    /// The settings that make a run what it is, as TOML.
    ///
    /// # Errors
    /// When a value has no TOML form (a path that is not Unicode).
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::Unwritable(e.to_string()))
    }

    fn validate(&self) -> Result<()> {
        self.optimizer.choice()?;
        self.schedule()?;
        self.average.config()?;
        self.augment.build()?;
        if self.smoothing > 0.0 && self.loss()? != Loss::CrossEntropy {
            let reason =
                format!("is of the labels of --loss cross-entropy, not of {}; leave it out", self.loss);
            return Err(Error::flag("smoothing", self.smoothing.to_string(), reason));
        }
        if self.resumes_by_itself() && self.experiment.is_none() {
            let reason = "needs --experiment, the name to find the run by";
            return Err(Error::flag("resume", "auto".to_string(), reason));
        }
        if let Some(name) = &self.experiment
            && (name.is_empty() || name.contains(['/', '\\']) || name == "." || name == "..")
        {
            let reason = "is not a folder name; use --runs for its place";
            return Err(Error::flag("experiment", format!("'{name}'"), reason));
        }
        Ok(())
    }

    /// What is minimised.
    ///
    /// # Errors
    /// When the name is unknown.
    pub fn loss(&self) -> Result<Loss> {
        Ok(row(LOSSES, |l| l.0, &self.loss)?.1)
    }

    /// How the training images are divided.
    pub fn division(&self) -> Division {
        Division { val_split: self.val_split, labels: self.labels, seed: self.seed }
    }

    /// The schedule and its settings.
    ///
    /// # Errors
    /// As [`ScheduleArgs::build`].
    pub fn schedule(&self) -> Result<(&'static ScheduleRow, ScheduleConfig)> {
        self.schedule.build(self.epochs, self.optimizer.lr()?)
    }

    /// With the settings of the optimizer that suit the model, where none are given, and paths from the root on. They stand in `args.toml`, so
    /// that a run keeps them and is itself from every folder.
    fn resolved(self) -> Result<Self> {
        let optimizer = self.model.suited(self.optimizer)?;
        let init_checkpoint = self.init_checkpoint.map(from_root);
        Ok(TrainArgs { optimizer, data: self.data.from_root(), init_checkpoint, ..self })
    }
}

fn with_name(flags: &[String]) -> impl Iterator<Item = String> + Clone {
    std::iter::once("sph train".to_string()).chain(flags.iter().cloned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AdaptArgs;

    fn parse(flags: &str) -> std::result::Result<TrainArgs, String> {
        let flags: Vec<String> = flags.split_whitespace().map(String::from).collect();
        TrainArgs::from_command_line(&flags).map_err(|e| e.to_string())
    }

    #[test]
    fn settings_survive_the_way_through_toml() {
        let args = parse(
            "--opt adamw --opt-betas 0.8,0.99 --model mlp --lr 3e-4 --hflip 0.5 --val-split 0.1 --seed 7",
        )
        .unwrap();
        let text = args.to_toml().unwrap();
        let back = TrainArgs::from_toml(&text, "args.toml").unwrap();
        assert_eq!(back.to_toml().unwrap(), text);
        assert_eq!(back.optimizer.get("lr"), Some(&3e-4.into()));
        assert_eq!(back.optimizer.get("opt-betas"), Some(&(0.8, 0.99).into()));
        assert_eq!(args.difference(&back).unwrap(), None);
        assert_eq!(format!("{back:?}"), format!("{args:?}"));
    }

    #[test]
    fn defaults_suit_the_model() {
        let lr = |flags: &str| parse(flags).unwrap().optimizer.lr().unwrap();
        let of = |flags: &str| [lr(flags), lr(&format!("--model vgg11 --norm none {flags}"))];
        assert_eq!(of("--decouple auto"), [0.1, 0.01]);
        assert_eq!(of("--opt sgd"), [0.1, 0.01]);
        let text =
            |flags: &str, name: &str| parse(flags).unwrap().optimizer.get(name).map(ToString::to_string);
        let vgg = "--model vgg11 --norm none --decouple auto";
        let multiplier = |flags: &str| text(flags, "max-multiplier");
        assert_eq!(multiplier(vgg).as_deref(), Some("1"));
        assert_eq!(multiplier(&format!("{vgg} --max-multiplier 3")).as_deref(), Some("3"));
        assert_eq!([multiplier(""), multiplier(&format!("{vgg} --first-order adamw"))], [None, None]);
        let first_order = |flags: &str| text(flags, "first-order");
        assert_eq!(first_order("--model vit_tiny").as_deref(), Some("adamw"));
        assert_eq!(first_order("--model vit_tiny --first-order sgd").as_deref(), Some("sgd"));
        assert_eq!(lr("--model mlp_mixer"), 1e-3);
        assert!([first_order(""), first_order("--model vit_tiny --opt adamw")].iter().all(Option::is_none));
        assert_eq!(first_order("--model vit_tiny --preset seed"), None);
        assert_eq!(lr("--model vgg11 --norm none --decouple auto --preset seed"), 0.1);
        // It is the run's own from then on, and the rate of a run from before stays what it was.
        let text = parse("--opt sgd --model vgg11 --norm none").unwrap().to_toml().unwrap();
        assert!(text.contains("lr = 0.01"), "{text}");
        let before = TrainArgs::from_toml(&text.replace("lr = 0.01\n", ""), "args.toml").unwrap();
        assert_eq!(before.optimizer.lr().unwrap(), 0.1);
        assert_eq!(of("--opt sgd --lr 0.2"), [0.2, 0.2]);
        assert_eq!(of("--opt adamw"), [1e-3, 1e-3]);
        assert_eq!(of("--first-order adamw --decouple auto"), [1e-3, 1e-3]);
    }

    /// Usual values are worked out from the table; these are of the kinds that there are.
    #[test]
    fn help_names_the_defaults() {
        let help = |command: &clap::Command, name: &str| {
            let argument = command.get_arguments().find(|a| a.get_long() == Some(name)).unwrap();
            argument.get_long_help().unwrap().to_string()
        };
        let train = |name: &str| help(&TrainArgs::command(), name);
        let adapt = |name: &str| help(&AdaptArgs::command(), name);
        for (text, parts) in [
            (
                train("tau"),
                [
                    "(sph) [default: 0.01; ",
                    "with --first-order adam, adamw: 0.1",
                    "with --preset seed: 0.001]",
                ],
            ),
            (
                train("lr"),
                ["[default: 0.1; adam, adamw: 0.001", "adahessian: 0.15", "with --norm none: 0.01"],
            ),
            (train("clip-mode"), ["What --clip-grad bounds", "[default: norm]", ""]),
            (adapt("lr"), ["[default: 0.65; adam, adamw: 0.026", "sgd: 0.45", "with --loss entropy: 0.045;"]),
            (
                adapt("eps"),
                ["[default: 0.042; ", "sph with --loss entropy: 0.42", "sph with --preset seed: 0.0001"],
            ),
        ] {
            for part in parts {
                assert!(text.contains(part), "{part} is not in: {text}");
            }
        }
        let command = AdaptArgs::command();
        let hidden =
            |name: &str| command.get_arguments().any(|a| a.get_long() == Some(name) && a.is_hide_set());
        assert!(hidden("factor-every") && !hidden("hessian-power"));
    }

    #[test]
    fn both_halves_or_the_rest_alone_are_meant() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, "momentum = 0.5\n[rest]\nmomentum = 0.25\n").unwrap();
        let args = parse(&format!("-c {}", path.display())).unwrap();
        let text = args.to_toml().unwrap();
        assert!(text.contains("momentum = 0.5") && text.contains("\"rest.momentum\" = 0.25"), "{text}");
        let back = TrainArgs::from_toml(&text, "args.toml").unwrap();
        let rule = |args: &TrainArgs| {
            format!("{:?}", args.optimizer.choice().unwrap().rule(&Default::default()).unwrap())
        };
        assert_eq!(rule(&back), rule(&args));
        assert!(
            rule(&args).starts_with("SphDrs { momentum: 0.5") && rule(&args).contains("Sgd { momentum: 0.25")
        );
        assert!(rule(&parse("--momentum 0.5").unwrap()).contains("Sgd { momentum: 0.5"));
        assert!(parse("--opt sgd --rest.momentum 0.5").unwrap_err().contains("--rest.momentum"));
    }

    #[test]
    fn groups_are_flags_and_tables() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        let file = "grad-accum = 4\n[[group]]\nparams = 'norm,bias'\nlr_mult = 2\n[[group]]\nparams = 'head'\nmomentum = 0.5\n";
        std::fs::write(&path, file).unwrap();
        let flags = format!("-c {} --group layer1.*:weight-decay=0", path.display());
        let args = parse(&flags).unwrap();
        assert_eq!(args.grad_accum_steps, 4);
        let groups: Vec<(&str, _, _, _)> = args
            .optimizer
            .group
            .iter()
            .map(|g| (&*g.params, g.lr_mult, g.weight_decay, g.momentum))
            .collect();
        let expected = [
            ("norm,bias", Some(2.0), None, None),
            ("head", None, None, Some(0.5)),
            ("layer1.*", None, Some(0.0), None),
        ];
        assert_eq!(groups, expected);
        let back = TrainArgs::from_toml(&args.to_toml().unwrap(), "args.toml").unwrap();
        assert_eq!(back.optimizer.group, args.optimizer.group);
        let difference = args.difference(&parse("--grad-accum-steps 4").unwrap()).unwrap();
        assert!(difference.unwrap().contains("'group' is not set there"));
    }

    #[test]
    fn flags_override_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, "epochs = 7\nbatch_size = 32\nnesterov = true\nopt = 'sgd'\n").unwrap();
        let args = parse(&format!("-c {} --epochs 3", path.display())).unwrap();
        assert_eq!(
            (args.epochs, args.batch_size, args.optimizer.get("nesterov")),
            (3, 32, Some(&true.into()))
        );
    }

    #[test]
    fn mistakes_are_named_in_one_line() {
        let cases = [
            ("--lr -1", "must be greater than 0"),
            ("--lr x", "is not a number"),
            ("--batch-size 0", "must be a whole number from 1"),
            ("--epochs 1.5", "must be a whole number from 1"),
            ("--modle mlp", "'--model'"),
            ("--model resnet9", "'resnet8'"),
            ("--opt sgd --tau 1", "--tau is a setting of --opt sph"),
            ("--warmup-epochs 30", "must be less than --epochs"),
            ("--resume x --lr 1", "--lr cannot stand beside --resume"),
            ("-c nowhere.toml", "nowhere.toml"),
        ];
        for (flags, message) in cases {
            let e = parse(flags).unwrap_err();
            assert!(e.contains(message) && !e.contains('\n'), "{flags}: {e}");
        }
        let file = |text: &str| TrainArgs::from_toml(text, "f.toml").unwrap_err().to_string();
        assert!(file("learning = 1").contains("f.toml: unknown key 'learning'"));
        assert!(file("batchsize = 1").contains("the nearest known one is 'batch-size'"));
        assert!(file("lr = -1").contains("key 'lr'"));
        assert!(file("lr = ").contains("f.toml"));
        assert!(file("lr = { a = 1 }").contains("key 'lr'"));
    }
}
