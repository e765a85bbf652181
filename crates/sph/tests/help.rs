//! The help: short, in groups, with examples that are commands; and what people get who know an older name of a flag.

mod common;

use clap::Command;
use common::sph;

/// The commands and those below them, with the words that call them.
fn all() -> Vec<(String, Command)> {
    fn below(name: &str, command: &Command, found: &mut Vec<(String, Command)>) {
        for c in command.get_subcommands() {
            let name = format!("{name} {}", c.get_name());
            found.push((name.clone(), c.clone()));
            below(&name, c, found);
        }
    }
    let mut found = Vec::new();
    below("sph", &sph::cli::command(), &mut found);
    found
}

/// That a line is a command. A comment and where the output goes are the shell's.
fn parses(line: &str) {
    let line = line.split(['>', '#']).next().unwrap();
    let words = shlex::split(line).unwrap();
    sph::cli::command().try_get_matches_from(words).unwrap_or_else(|e| panic!("{line}\n{e}"));
}

#[test]
fn short_help_fits_on_a_page() {
    for (name, command) in all() {
        let help = command.term_width(100).render_help().to_string();
        let lines = help.lines().count();
        assert!(lines <= 60, "{name} -h has {lines} lines:\n{help}");
    }
}

#[test]
fn every_command_has_three_examples() {
    for (name, command) in all().into_iter().filter(|(_, c)| !c.has_subcommands()) {
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<&str> =
            text.lines().filter_map(|l| l.strip_prefix("  ")).filter(|l| l.starts_with("sph ")).collect();
        assert!(examples.len() >= 3, "{name}: {examples:?}");
        examples.into_iter().for_each(parses);
    }
}

#[test]
fn the_program_alone_says_what_it_can_do() {
    let done = sph("").assert().success();
    let text = String::from_utf8(done.get_output().stdout.clone()).unwrap();
    assert!(text.lines().count() <= 10, "{text}");
    let commands: Vec<&str> = text.lines().filter(|l| l.starts_with("  sph ")).collect();
    assert!(commands.len() > 4);
    commands.into_iter().for_each(|l| parses(l.trim().split("  ").next().unwrap()));
}

#[test]
fn an_older_name_of_a_flag_says_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    std::fs::write(&file, "output = 'there'\n").unwrap();
    for (flags, message) in [
        ("train --output there".to_string(), "error: --output of sph train is --runs now"),
        ("compare --output=there".to_string(), "error: --output of sph compare is --runs now"),
        (format!("compare -c {}", file.display()), "key 'output' is 'runs' now"),
    ] {
        let done = sph(&flags).assert().code(2);
        let text = String::from_utf8(done.get_output().stderr.clone()).unwrap();
        assert!(text.contains(message) && text.lines().count() == 1, "{flags}: {text}");
    }
}
