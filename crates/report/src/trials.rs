//! The [`Trials`] of a comparison: what was tried, what was chosen, and whether that lies at an edge.

use crate::page;
use crate::text::{aligned, escape, place};
use sph_train::Score;
use sph_train::compare::{Job, Search, Setting, TrialResult, Trials, Tuned, Values};
use sph_train::files::Table;
use std::fmt::Write;

/// The rule in one sentence.
fn rule(trials: &Trials) -> String {
    let t = &trials.tuning;
    let run = trials.tuned.iter().map(|t| t.results.len()).max().unwrap_or(0);
    let cut = match (t.budget_cpu_hours, trials.fit) {
        (Some(budget), Some(fit)) if run < t.trials => {
            format!(
                " of {}, cut to the budget of {budget} CPU hours ({:.2} as estimated from the first trials)",
                t.trials, fit.hours
            )
        }
        (Some(budget), Some(fit)) => {
            format!(", within the budget of {budget} CPU hours ({:.2} as estimated)", fit.hours)
        }
        (Some(budget), None) => format!(", of which a budget of {budget} CPU hours may leave fewer"),
        _ => String::new(),
    };
    let epochs = match t.epochs {
        None => String::new(),
        Some(1) => "one epoch each, ".into(),
        Some(n) => format!("{n} epochs each, "),
    };
    let s = if run == 1 { "" } else { "s" };
    let judged = match trials.job() {
        Job::Train => "judged after the last epoch",
        Job::Adapt => "judged by the loss after the last step",
    };
    format!(
        "Settings were chosen by {run} trial{s} of each optimizer{cut}: {epochs}seed {}, {judged} on {} % of the training images, which \
         were held out",
        t.seed,
        (1000.0 * t.val_split).round() / 10.0
    )
}

/// The place of a search, and its optimizer.
fn name(search: &Search) -> String {
    let c = &search.base;
    format!("{}: {}", place(c.job, &c.model, &c.dataset, &c.condition), c.name)
}

/// What is tried.
fn space(search: &Search) -> String {
    let of = |s: &Setting| match &s.values {
        Values::Range(range) => format!("{} {range}", s.name),
        Values::List(values) => format!("{} {}", s.name, values.join(", ")),
    };
    match search.space.is_empty() {
        true => "as given".into(),
        false => search.space.iter().map(of).collect::<Vec<_>>().join("; "),
    }
}

/// What trials are compared by: in percent where it is an accuracy.
fn head(trials: &Trials) -> &'static str {
    let by_loss = |result: &TrialResult| matches!(result, TrialResult::Finished { held_out, .. } if held_out.accuracy.is_none());
    match trials.tuned.iter().flat_map(|t| &t.results).any(by_loss) {
        true => "held-out loss",
        false => "held-out acc %",
    }
}

/// The figure under that head.
fn figure(held_out: Score) -> String {
    held_out.accuracy.map_or(format!("{:.4}", held_out.loss), |a| format!("{:.2}", 100.0 * a))
}

/// Heads and rows: a row per search.
fn rows(trials: &Trials) -> Vec<Vec<String>> {
    let heads = ["tuned", "trials", head(trials), "at the edge of what was tried", "chosen"];
    let mut rows = vec![heads.map(String::from).to_vec()];
    for tuned in &trials.tuned {
        let chosen = tuned.chosen();
        let base = &tuned.search.base;
        let over = tuned.results.iter().filter(|o| **o != TrialResult::Waiting).count();
        let diverged = tuned.results.iter().filter(|o| **o == TrialResult::Diverged).count();
        let number = match (over, tuned.results.len()) {
            (over, n) if over < n => format!("{over} of {n}"),
            (_, n) if diverged > 0 => format!("{n}, {diverged} diverged"),
            (_, n) => n.to_string(),
        };
        let label = |i: usize| {
            let label = &tuned.search.trials[i].label[base.name.len()..];
            if label.is_empty() { "as given".to_string() } else { label.trim().to_string() }
        };
        let figure = chosen.and_then(|i| match tuned.results[i] {
            TrialResult::Finished { held_out, .. } => Some(figure(held_out)),
            _ => None,
        });
        let edges = tuned.at_edge().into_iter().map(|(name, which)| format!("{name} ({which})"));
        let edges = edges.collect::<Vec<_>>().join(", ");
        rows.push(vec![
            name(&tuned.search),
            number,
            figure.unwrap_or("-".into()),
            if edges.is_empty() { "-".into() } else { edges },
            chosen.map_or("-".into(), label),
        ]);
    }
    rows
}

/// CPU time of the trials.
fn cpu(trials: &Trials) -> Option<f64> {
    let results = trials.tuned.iter().flat_map(|t| &t.results);
    let seconds = results.filter_map(|o| match o {
        TrialResult::Finished { cpu_seconds, .. } => *cpu_seconds,
        _ => None,
    });
    seconds.fold(None, |all, s| Some(all.unwrap_or(0.0) + s))
}

/// What is printed: the rule, and a row per search.
pub(crate) fn lines(trials: &Trials) -> String {
    format!("{}\n\n{}\n", rule(trials), aligned(&rows(trials)))
}

/// A line for each search that has nothing to run because all its trials diverged.
pub fn nothing_chosen(trials: &Trials) -> Vec<String> {
    let line = |tuned: &Tuned| {
        let (base, n) = (&tuned.search.base, tuned.results.len());
        let lost =
            if n == 1 { "its one trial diverged".into() } else { format!("all its {n} trials diverged") };
        let advice = match tuned.search.space.is_empty() {
            true => "lower its lr".into(),
            false => format!("narrow or lower what is tried, {}", space(&tuned.search)),
        };
        let place = base.job.place(&base.dataset, &base.model);
        format!("nothing to run of {}, {place}: {lost}; {advice}", base.full_label())
    };
    trials.tuned.iter().filter(|t| t.chosen().is_none()).map(line).collect()
}

/// A part of the page: the rule, a row per search, and all trials.
pub(crate) fn section(trials: &Trials) -> String {
    let mut out = String::from("<h2>Tuning</h2>\n");
    let cpu = cpu(trials).map_or(String::new(), |s| {
        format!(" The trials that were trained to their end took {:.3} CPU hours.", s / 3600.0)
    });
    let _ = writeln!(
        out,
        "<p class=\"note\">{}. The test images play no part in the choice. A chosen value at the edge of what was tried has no value \
         beyond it that was tried, so that a better one may lie there.{cpu}</p>",
        escape(&rule(trials))
    );
    out += &page::table(&rows(trials));
    for tuned in &trials.tuned {
        let (name, space) = (escape(&name(&tuned.search)), escape(&space(&tuned.search)));
        let _ = writeln!(out, "<details>\n<summary>{name} — {space}</summary>");
        let names = tuned.search.space.iter().map(|s| s.name.clone());
        let heads = ["held-out acc %", "held-out loss", "CPU s", "chosen"].map(String::from);
        let mut rows = vec![std::iter::once("trial".into()).chain(names).chain(heads).collect::<Vec<_>>()];
        for (i, result) in tuned.results.iter().enumerate() {
            let values = values(tuned, i).map(String::from);
            let figures = match result {
                TrialResult::Finished { held_out, cpu_seconds } => [
                    held_out.accuracy.map_or("-".into(), |a| format!("{:.2}", 100.0 * a)),
                    format!("{:.4}", held_out.loss),
                    cpu_seconds.map_or("-".into(), |s| format!("{s:.1}")),
                ],
                TrialResult::Diverged => ["diverged".into(), "-".into(), "-".into()],
                TrialResult::Waiting => ["waits".into(), "-".into(), "-".into()],
            };
            let chosen = if tuned.chosen() == Some(i) { "chosen" } else { "" };
            let number = std::iter::once((i + 1).to_string());
            rows.push(number.chain(values).chain(figures).chain([chosen.to_string()]).collect());
        }
        out += &page::table(&rows);
        out += "</details>\n";
    }
    out
}

/// The values of a trial, in the order of the space.
fn values(tuned: &Tuned, trial: usize) -> impl Iterator<Item = &str> {
    let grid = &tuned.search.trials[trial].grid;
    tuned.search.space.iter().map(|s| grid.iter().find(|g| g.0 == s.name).map_or("", |g| &*g.1))
}

/// A row per trial.
pub fn csv(trials: &Trials) -> String {
    let mut settings: Vec<&str> = Vec::new();
    for name in trials.tuned.iter().flat_map(|t| &t.search.trials[0].grid).map(|g| &*g.0) {
        if !settings.contains(&name) {
            settings.push(name);
        }
    }
    let [data, network] = trials.job().places();
    let columns = [data, network, "optimizer", "trial"].into_iter().chain(settings.iter().copied());
    let more = ["state", "validation_accuracy", "validation_loss", "cpu_seconds", "chosen"];
    let mut table = Table::new(columns.chain(more));
    for tuned in &trials.tuned {
        for (i, result) in tuned.results.iter().enumerate() {
            let c = &tuned.search.trials[i];
            let mut fields = [&c.dataset, &c.model, &c.name].map(String::from).to_vec();
            fields.push((i + 1).to_string());
            let value = |name: &&str| c.grid.iter().find(|g| g.0 == *name).map(|g| g.1.clone());
            fields.extend(settings.iter().map(|name| value(name).unwrap_or_default()));
            let none = String::new;
            fields.extend(match result {
                TrialResult::Finished { held_out, cpu_seconds } => [
                    "finished".into(),
                    held_out.accuracy.map_or(none(), |a| a.to_string()),
                    held_out.loss.to_string(),
                    cpu_seconds.map_or(none(), |s| s.to_string()),
                ],
                TrialResult::Diverged => ["diverged".into(), none(), none(), none()],
                TrialResult::Waiting => ["waiting".into(), none(), none(), none()],
            });
            fields.push((tuned.chosen() == Some(i)).to_string());
            table.push(fields);
        }
    }
    table.text()
}
