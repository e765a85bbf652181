//! A comparison as tables of text.

use super::provenance::Provenance;
use crate::text::{aligned, place};
use crate::trials;
use sph_train::Measure;
use sph_train::compare::{FinishedRun, Group, Job, Quantity, Results, Statistic};
use std::fmt::Write;

fn shown(q: &Quantity, v: f64) -> String {
    format!("{:.*}", q.digits, v * q.scale)
}

/// Mean ± standard deviation; where not all of `runs` have it, how many do.
fn cell(q: &Quantity, s: Option<Statistic>, runs: usize) -> String {
    let Some(s) = s else { return "-".into() };
    let std = s.std.map_or(String::new(), |std| format!(" ± {}", shown(q, std)));
    let of = if s.count < runs { format!(" ({} of {runs})", s.count) } else { String::new() };
    shown(q, s.mean) + &std + &of
}

/// A difference from the baseline: mean, and in brackets its interval, or why there is none.
fn difference(s: Statistic, measure: Measure) -> String {
    let shown = |v: f64| match measure {
        Measure::Accuracy => format!("{:+.2}", 100.0 * v),
        Measure::Loss => format!("{v:+.4}"),
    };
    let interval = match s.half_width() {
        Some(half) => format!(" [{}, {}]", shown(s.mean - half), shown(s.mean + half)),
        None if s.count == 1 => " (one seed)".into(),
        None if s.count < Statistic::LEAST => format!(" ({} seeds: too few)", s.count),
        None => format!(" (all {} equal)", s.count),
    };
    shown(s.mean) + &interval
}

/// What a configuration is called in its group: where optimizers were tuned there is one of each, and a table of its own says what was
/// chosen.
pub(super) fn called(results: &Results, configuration: usize) -> &str {
    let c = &results.configurations[configuration];
    if results.trials.is_some() { &c.name } else { &c.label }
}

/// A group's model, data set and values.
pub(super) fn name(job: Job, group: &Group) -> String {
    place(job, &group.model, &group.dataset, &group.condition)
}

/// What stands above a group's table.
pub(super) fn about(results: &Results, group: &Group) -> String {
    let seeds = match results.seeds {
        1 => "one seed".into(),
        n => format!("mean ± standard deviation over {n} seeds"),
    };
    let job = results.job();
    let target = group.baseline.map_or("; no run of the baseline is finished here".into(), |(c, target)| {
        let label = called(results, c);
        match job {
            Job::Train => {
                format!(
                    "; target: {} test {}, where {label} ends on average",
                    results.measure().shown(target),
                    results.measure().name()
                )
            }
            Job::Adapt => format!("; target: the test loss where {label} ends, seed by seed"),
        }
    });
    let members = || results.runs.iter().filter(|r| group.configurations.contains(&r.configuration));
    let accuracy = |of: fn(&FinishedRun) -> Option<f64>| Statistic::of(members().filter_map(of));
    let before = accuracy(|r| r.end.before?.accuracy);
    let recalibrated = accuracy(|r| r.end.before.and_then(|_| r.epochs.first()?.test.accuracy));
    let before = before.zip(recalibrated).map_or(String::new(), |(before, recalibrated)| {
        let percent = |s: Statistic| 100.0 * s.mean;
        format!("; before {:.2} %, recalibrated {:.2} %", percent(before), percent(recalibrated))
    });
    format!("{}, {seeds}{before}{target}", name(job, group))
}

/// The column of differences.
fn head_of_difference(measure: Measure) -> &'static str {
    match measure {
        Measure::Accuracy => "final acc − baseline [95 %]",
        Measure::Loss => "final loss − baseline [95 %]",
    }
}

/// Heads and rows of a group's table.
pub(super) fn rows(results: &Results, group: &Group) -> Vec<Vec<String>> {
    // Where nothing asks for curvature, or the system does not tell of memory, there is no such column.
    let has = |q: &&Quantity| group.configurations.iter().any(|&c| results.statistic(c, q.name).is_some());
    let quantities: Vec<&Quantity> = results.quantities().iter().filter(has).collect();
    let differs = group.configurations.iter().any(|&c| results.difference(c).is_some());
    let heads = quantities.iter().map(|q| q.head.to_string());
    let heads = heads.chain(differs.then(|| head_of_difference(results.measure()).to_string()));
    let mut rows = vec![std::iter::once("optimizer".into()).chain(heads).collect::<Vec<String>>()];
    for &c in &group.configurations {
        let finished = results.runs_of(c).count();
        let missing = match finished {
            n if n == results.seeds => String::new(),
            n => format!(" [{n} of {} runs]", results.seeds),
        };
        let cells = quantities.iter().map(|q| cell(q, results.statistic(c, q.name), finished));
        let label = called(results, c).to_string() + &missing;
        let difference =
            differs.then(|| results.difference(c).map_or("-".into(), |s| difference(s, results.measure())));
        rows.push(std::iter::once(label).chain(cells).chain(difference).collect());
    }
    rows
}

/// What is printed: a table per data set and model.
pub fn table(results: &Results, made: &Provenance) -> String {
    let mut out = String::new();
    for group in &results.groups {
        let _ = writeln!(out, "{}\n\n{}", about(results, group), aligned(&rows(results, group)));
    }
    out += &results.trials.as_ref().map_or(String::new(), trials::lines);
    out + &made.shared.as_ref().map_or(String::new(), |s| format!("{s}\n"))
}

#[test]
fn a_difference_has_an_interval_or_says_why_not() {
    let of = |values: &[f64]| difference(Statistic::of(values.iter().copied()).unwrap(), Measure::Accuracy);
    assert_eq!(of(&[-0.0028]), "-0.28 (one seed)");
    assert_eq!(of(&[-0.0028, -0.0028]), "-0.28 (2 seeds: too few)");
    assert_eq!(of(&[-0.0028; 5]), "-0.28 (all 5 equal)");
    // 4.303 · 1/√3 around 2.
    assert_eq!(of(&[0.01, 0.02, 0.03]), "+2.00 [-0.48, +4.48]");
}
