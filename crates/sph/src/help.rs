//! How the help of the commands is laid out: flags by groups, the same in every command, and few of them in `-h`.

use crate::config::optimizer_flags;
use clap::{Arg, Command};
use std::collections::BTreeSet;

/// The groups of flags. Flags of optimizers come from their table and belong to [`OPTIMIZER`]; what is in no
/// group stands under "Options".
const GROUPS: [(&str, &str); 7] = [
    (
        "Data",
        "dataset data-dir val-split labels eval-images image-size resize crop interpolation test-fraction \
         layout class-names labels-file emnist-split skip-broken no-exif mean std random-crop hflip \
         color-jitter reprob mixup cutmix mixup-prob mixup-switch-prob corrupt corrupt-seed adapt-on eval-on \
         split",
    ),
    ("Model", "model checkpoint norm decouple stem dropout init-checkpoint"),
    (OPTIMIZER, "loss smoothing model-ema model-ema-decay model-ema-warmup average-steps"),
    (
        "Schedule",
        "epochs steps batch-size sched warmup-epochs warmup-lr min-lr decay-epochs decay-rate poly-power \
         grad-accum-steps patience eval-at keep keep-split recalibrate-batches",
    ),
    ("Comparison", "seeds grid baseline jobs"),
    ("Tuning", "tuning-trials tuning-seed tuning-epochs tuning-val-split tuning-budget-cpu-hours"),
    (
        "Run",
        "config experiment runs resume output csv seed threads log-interval no-tensorboard json stop-on-eof \
         explain kernel fast-math isa",
    ),
];

const OPTIMIZER: &str = "Optimizer";

/// What `-h` of a command shows; `--help` shows all. Commands that are not here have few flags and show them all.
const SHORT: [(&str, &str); 11] = [
    (
        "train",
        "dataset data-dir val-split random-crop hflip model init-checkpoint opt lr weight-decay trainable \
         epochs batch-size sched config experiment runs resume seed json",
    ),
    (
        "adapt",
        "dataset data-dir corrupt labels eval-on checkpoint opt lr trainable loss steps batch-size eval-at \
         keep seed output csv json",
    ),
    (
        "compare",
        "dataset data-dir model checkpoint corrupt opt lr epochs batch-size seeds grid jobs baseline \
         tuning-trials config runs",
    ),
    ("bench", "model image-size opt first-order steps batch-size threads explain isa json"),
    (
        "inspect",
        "dataset data-dir model checkpoint loss batch-size batches dtype mode no-network top report csv dump \
         seed json",
    ),
    ("eval", "split dataset data-dir model mean std json"),
    ("predict", "top model image-size mean std csv json"),
    ("export", "format opset output model"),
    ("stats", "data-dir image-size test-fraction labels-file json"),
    ("convert", "data-dir image-size test-fraction labels-file output"),
    ("corrupt", "data-dir image-size corrupt output sheet images seed"),
];

/// Whether a flag is in a list of names.
fn has(list: &str, flag: &str) -> bool {
    list.split_whitespace().any(|name| name == flag)
}

/// The group of a flag; `optimizer` are those of the table of optimizers.
fn group(name: &str, optimizer: &BTreeSet<String>) -> Option<&'static str> {
    let listed = GROUPS.iter().find(|g| has(g.1, name)).map(|g| g.0);
    listed.or_else(|| optimizer.contains(name).then_some(OPTIMIZER))
}

/// The command, and those below it, with their flags in groups, and few of them in `-h`.
pub fn arranged(command: Command) -> Command {
    arranged_by(command, &optimizer_flags())
}

fn arranged_by(command: Command, optimizer: &BTreeSet<String>) -> Command {
    let short = SHORT.iter().find(|s| s.0 == command.get_name()).map(|s| s.1);
    let arrange = |arg: Arg| {
        let Some(name) = arg.get_long().map(String::from) else { return arg };
        let hidden = short.is_some_and(|shown| !has(shown, &name));
        let arg = arg.hide_short_help(hidden);
        match group(&name, optimizer) {
            Some(group) if arg.get_help_heading().is_none() => arg.help_heading(group),
            _ => arg,
        }
    };
    command.mut_args(arrange).mut_subcommands(|c| arranged_by(c, optimizer))
}

/// What `sph` alone says.
pub const WELCOME: &str = "\
sph trains networks with exact second-order steps on their 1-D parameters, and shows their curvature.

  sph train                                                         a first network, on the digits inside
  sph train --dataset folder --data-dir photos --test-fraction 0.2  on your own pictures, a folder a class
  sph train --model net.pt2 --dataset fashion-mnist                 your own network, by torch.export.save
  sph inspect --checkpoint runs/first                               the curvature of a trained network
  sph compare --opt sph,sgd,adamw                                   optimizers, over seeds
  sph adapt --checkpoint runs/first --corrupt fog:3                 a trained network, to other images

sph --help lists all commands, sph train -h the settings that matter, sph train --help all settings.";

/// Flags that have another name now: of which command, the old name and the new one.
const RENAMED: [(&str, &str, &str); 2] = [("train", "output", "runs"), ("compare", "output", "runs")];

/// The new name of a flag that is called otherwise now, in a command and with a new name that suit. Names are without dashes in front.
pub(crate) fn renamed(flag: &str, suits: impl Fn(&str, &str) -> bool) -> Option<&'static str> {
    RENAMED.iter().find(|(command, old, new)| *old == flag && suits(command, new)).map(|r| r.2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    #[test]
    fn flags_that_are_named_are_there() {
        let sph = cli::command();
        let find = |name: &str| sph.find_subcommand(name).unwrap().clone();
        for (name, flags) in SHORT {
            let command =
                sph.find_subcommand(name).or_else(|| sph.find_subcommand("data")?.find_subcommand(name));
            let command = command.unwrap();
            for flag in flags.split_whitespace() {
                let there = command.get_arguments().any(|a| a.get_long() == Some(flag));
                assert!(there, "sph {name} has no --{flag}");
            }
        }
        for (name, old, new) in RENAMED {
            let has = |flag: &str| find(name).get_arguments().any(|a| a.get_long() == Some(flag));
            assert!(has(new) && !has(old), "sph {name}: {old}, {new}");
        }
        let grouped = GROUPS.iter().flat_map(|g| g.1.split_whitespace());
        for flag in grouped {
            let has = |c: &Command| c.get_arguments().any(|a| a.get_long() == Some(flag));
            assert!(sph.get_subcommands().any(has), "no command has --{flag}");
        }
    }

    #[test]
    fn settings_have_a_group() {
        let sph = cli::command();
        for name in ["train", "adapt", "compare", "bench"] {
            let command = sph.find_subcommand(name).unwrap();
            for a in command.get_arguments().filter(|a| a.get_long().is_some()) {
                assert!(a.get_help_heading().is_some(), "sph {name} --{} has no group", a.get_id());
            }
        }
    }
}
