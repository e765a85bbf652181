//! An optimizer of a user's own: one row, registered, is a flag, a help text, a key of files and a comparison's setting.

use clap::{CommandFactory, Parser};
use sph::config::TrainArgs;
use sph_nn::models::{self, ModelConfig};
use sph_optim::presets::{self, Build, Row};
use sph_optim::settings::{LR, Range, Setting};
use sph_optim::transforms::{ClipGradient, ClipMode};
use sph_optim::{AnyRule, Group, ParamSpec, Rule, SettingsError};
use sph_tensor::Element;
use std::sync::atomic::AtomicBool;

const CLAMP: Setting = Setting::number("clamp", "Largest entry of a step", Range::Positive);

/// Gradient descent by entries that are clamped.
#[derive(Debug)]
struct Clamped {
    clamp: f64,
}

impl Rule for Clamped {
    fn groups<T: Element>(&self, _: &[ParamSpec], members: &[usize]) -> Result<Vec<Group<T>>, SettingsError> {
        CLAMP.check(self.clamp)?;
        let clip = ClipGradient { mode: ClipMode::Value, limit: self.clamp };
        Ok(vec![Group { name: "clamped", members: members.to_vec(), chain: vec![Box::new(clip)] }])
    }
}

static CLAMPED: Row = Row::new(
    "clamped",
    "gradient descent by clamped entries",
    &[LR.or(|| 0.05.into()), CLAMP.or(|| 0.01.into())],
    Build::Any(|s| Ok(AnyRule::new(Clamped { clamp: CLAMP.number_in(s)? }))),
);

#[test]
fn a_registered_optimizer_trains_from_a_file() {
    presets::register(&CLAMPED);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("toy.toml");
    let text = "opt = 'clamped'\nclamp = 0.02\nmodel = 'mlp'\nepochs = 1\nlabels = 4\nbatch-size = 8\nno-tensorboard = true\n";
    std::fs::write(&file, text).unwrap();
    let flags = |flags: &str| -> Vec<String> {
        let output = dir.path().display();
        format!("-c {} --runs {output} --experiment run --json {flags}", file.display())
            .split(' ')
            .filter(|f| !f.is_empty())
            .map(String::from)
            .collect()
    };
    let args = TrainArgs::from_command_line(&flags("")).unwrap();
    assert_eq!(args.optimizer.lr().unwrap(), 0.05);
    static STOP: AtomicBool = AtomicBool::new(false);
    sph::commands::train::run(&args, &STOP).unwrap();
    // What the run was is kept, and read again.
    let kept = std::fs::read_to_string(dir.path().join("run/args.toml")).unwrap();
    assert!(kept.contains("opt = \"clamped\"") && kept.contains("clamp = 0.02"), "{kept}");
    let again = TrainArgs::from_toml(&kept, "args.toml").unwrap();
    let rule = again.optimizer.choice().unwrap().rule(&Default::default()).unwrap();
    assert_eq!(format!("{rule:?}"), "Clamped { clamp: 0.02 }");

    // Its setting has its range and its help, and is nobody else's.
    let refused = |flags: &[String]| TrainArgs::from_command_line(flags).unwrap_err().to_string();
    assert!(refused(&flags("--clamp 0")).contains("must be greater than 0"));
    assert_eq!(refused(&flags("--opt adam")), "--clamp is a setting of --opt clamped, not of --opt adam");
    let command = TrainArgs::command();
    let help = command.get_arguments().find(|a| a.get_long() == Some("clamp")).unwrap().get_long_help();
    assert_eq!(help.unwrap().to_string(), "Largest entry of a step (clamped) [default: 0.01]");

    // It is a rule for the rest as any other, without a line in SPH-DRS.
    let both =
        TrainArgs::try_parse_from("train --first-order clamped --clamp 0.03 --momentum 0.5".split(' '));
    let both = both.unwrap().optimizer;
    let rule = both.choice().unwrap().rule(&Default::default()).unwrap();
    let text = format!("{rule:?}");
    assert!(
        text.starts_with("SphDrs { momentum: 0.5") && text.contains("rest: Clamped { clamp: 0.03 }"),
        "{text}"
    );
    let network = models::build("resnet8", &ModelConfig::new(1, (8, 8), 10)).unwrap();
    let specs: Vec<ParamSpec> = network.params().cloned().collect();
    assert!(rule.build::<f32>(&specs).is_ok());
    let none = TrainArgs::try_parse_from("train --first-order adam --clamp 0.03".split(' ')).unwrap();
    let e = none.optimizer.choice().unwrap_err().to_string();
    assert_eq!(e, "--clamp needs --first-order clamped");
}
