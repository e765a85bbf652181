//! [`Results`] of a comparison as a table, as CSV and as a page.

use crate::charts::{self, Axes, Curve, colours};
use crate::corruption::Sheet;
use crate::error::Result;
use crate::overlay::{OF_ADAPTATIONS, OVERLAID, STEPS, TIMES, over};
use crate::text::{aligned, escape, place};
use crate::{machine, page, sheet, trials};
use plotters::style::RGBColor;
use sph_train::compare::{FinishedRun, Group, Job, Quantity, Results, Statistic};
use sph_train::files::Table;
use sph_train::history::Epoch;
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
fn difference(s: Statistic) -> String {
    let percent = |v: f64| format!("{:+.2}", 100.0 * v);
    let interval = match s.half_width() {
        Some(half) => format!(" [{}, {}]", percent(s.mean - half), percent(s.mean + half)),
        None if s.count == 1 => " (one seed)".into(),
        None if s.count < Statistic::LEAST => format!(" ({} seeds: too few)", s.count),
        None => format!(" (all {} equal)", s.count),
    };
    percent(s.mean) + &interval
}

/// What a configuration is called in its group: where optimizers were tuned there is one of each, and a table of its own says what was
/// chosen.
fn called(results: &Results, configuration: usize) -> &str {
    let c = &results.configurations[configuration];
    if results.trials.is_some() { &c.name } else { &c.label }
}

/// A group's model, data set and values.
fn name(job: Job, group: &Group) -> String {
    place(job, &group.model, &group.dataset, &group.condition)
}

/// What stands above a group's table.
fn about(results: &Results, group: &Group) -> String {
    let seeds = match results.seeds {
        1 => "one seed".into(),
        n => format!("mean ± standard deviation over {n} seeds"),
    };
    let job = results.job();
    let target =
        group.baseline.map_or("; no run of the baseline is finished here".into(), |(c, accuracy)| {
            let label = called(results, c);
            match job {
                Job::Train => {
                    format!(
                        "; target: {:.2} % test accuracy, where {label} ends on average",
                        100.0 * accuracy
                    )
                }
                Job::Adapt => format!("; target: the test loss where {label} ends, seed by seed"),
            }
        });
    let members = || results.runs.iter().filter(|r| group.configurations.contains(&r.configuration));
    let accuracy = |of: fn(&FinishedRun) -> Option<f64>| Statistic::of(members().filter_map(of));
    let before = accuracy(|r| Some(r.end.before?.1));
    let recalibrated = accuracy(|r| r.end.before.and_then(|_| Some(r.epochs.first()?.test.1)));
    let before = before.zip(recalibrated).map_or(String::new(), |(before, recalibrated)| {
        let percent = |s: Statistic| 100.0 * s.mean;
        format!("; before {:.2} %, recalibrated {:.2} %", percent(before), percent(recalibrated))
    });
    format!("{}, {seeds}{before}{target}", name(job, group))
}

/// The column of differences.
const DIFFERENCE: &str = "final acc − baseline [95 %]";

/// Heads and rows of a group's table.
fn rows(results: &Results, group: &Group) -> Vec<Vec<String>> {
    // Where nothing asks for curvature, or the system does not tell of memory, there is no such column.
    let has = |q: &&Quantity| group.configurations.iter().any(|&c| results.statistic(c, q.name).is_some());
    let quantities: Vec<&Quantity> = results.quantities().iter().filter(has).collect();
    let differs = group.configurations.iter().any(|&c| results.difference(c).is_some());
    let heads = quantities.iter().map(|q| q.head.to_string());
    let heads = heads.chain(differs.then(|| DIFFERENCE.to_string()));
    let mut rows = vec![std::iter::once("optimizer".into()).chain(heads).collect::<Vec<String>>()];
    for &c in &group.configurations {
        let finished = results.runs_of(c).count();
        let missing = match finished {
            n if n == results.seeds => String::new(),
            n => format!(" [{n} of {} runs]", results.seeds),
        };
        let cells = quantities.iter().map(|q| cell(q, results.statistic(c, q.name), finished));
        let label = called(results, c).to_string() + &missing;
        let difference = differs.then(|| results.difference(c).map_or("-".into(), difference));
        rows.push(std::iter::once(label).chain(cells).chain(difference).collect());
    }
    rows
}

/// How a comparison was made.
#[derive(Debug, Clone)]
pub struct Provenance {
    /// The command.
    pub command: String,
    /// The text of the file that it names.
    pub file: Option<String>,
    /// Runs at a time.
    pub jobs: usize,
    /// Worker threads of each.
    pub threads: usize,
    /// What is said where several runs shared the machine.
    pub shared: Option<String>,
}

impl Provenance {
    /// It says how to make the same again, and on what machine times were measured.
    fn section(&self) -> String {
        let file = self.file.as_ref().map_or(String::new(), |text| {
            format!("<details>\n<summary>its file</summary>\n<pre>{}</pre>\n</details>\n", escape(text))
        });
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        let (jobs, threads) = (self.jobs, self.threads);
        let machine = machine::described();
        format!(
            "<h2>How this was made</h2>\n<pre>{}</pre>\n{file}<p class=\"note\">Carried out last by sph {}, {jobs} run{} at a time with {threads} thread{} \
             each, on {}. What else ran on this machine is not known here.</p>\n",
            escape(&self.command),
            env!("CARGO_PKG_VERSION"),
            plural(jobs),
            plural(threads),
            escape(&machine)
        )
    }
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

/// A row per finished run.
pub fn runs_csv(results: &Results) -> String {
    let grid = results.grid();
    let (job, quantities) = (results.job(), results.quantities());
    let [data, network] = job.places();
    let columns = ["run", data, network, "optimizer", "seed"].into_iter().chain(grid.iter().copied());
    let more: &[&str] = match job {
        Job::Train => &["epochs", "best_epoch", "test_loss", "final_test_loss"],
        Job::Adapt => {
            &["steps", "loss_before", "accuracy_before", "loss_recalibrated", "accuracy_recalibrated"]
        }
    };
    let columns = columns.chain(more.iter().copied()).chain(quantities.iter().map(|q| q.name));
    let mut table = Table::new(columns);
    let optional = |v: Option<String>| v.unwrap_or_default();
    for run in &results.runs {
        let c = &results.configurations[run.configuration];
        let mut fields = [&run.name, &c.dataset, &c.model, &c.label].map(String::from).to_vec();
        fields.push(run.seed.to_string());
        fields.extend(grid.iter().map(|name| optional(c.value(name).map(String::from))));
        fields.push(optional(run.epochs.last().map(|e| e.epoch.to_string())));
        let number = |v: Option<f64>| optional(v.map(|v| v.to_string()));
        let end = &run.end;
        match job {
            Job::Train => {
                fields.push(optional(end.best.map(|b| b.0.to_string())));
                fields.extend([end.best.map(|b| b.1), end.last.map(|l| l.0)].map(number));
            }
            Job::Adapt => {
                let recalibrated = run.epochs.first().map(|e| e.test);
                for m in [end.before, recalibrated] {
                    fields.extend([m.map(|m| m.0), m.map(|m| m.1)].map(number));
                }
            }
        }
        fields.extend(quantities.iter().map(|q| optional((q.of)(run).map(|v| v.to_string()))));
        table.push(fields);
    }
    table.text()
}

/// A row per configuration.
pub fn configurations_csv(results: &Results) -> String {
    let grid = results.grid();
    let [data, network] = results.job().places();
    let columns = [data, network, "optimizer"].into_iter().chain(grid.iter().copied()).chain(["runs"]);
    let mut columns: Vec<String> = columns.map(String::from).collect();
    for q in results.quantities() {
        columns.extend(["mean", "std", "count"].map(|of| format!("{}_{of}", q.name)));
    }
    columns.extend(["mean", "low", "high", "count"].map(|of| format!("difference_{of}")));
    let mut table = Table::new(columns);
    for (i, c) in results.configurations.iter().enumerate() {
        let mut fields = [&c.dataset, &c.model, &c.label].map(String::from).to_vec();
        fields.extend(grid.iter().map(|name| c.value(name).unwrap_or_default().into()));
        fields.push(results.runs_of(i).count().to_string());
        for q in results.quantities() {
            let s = results.statistic(i, q.name);
            fields.push(s.map_or(String::new(), |s| s.mean.to_string()));
            fields.push(s.and_then(|s| s.std).map_or(String::new(), |v| v.to_string()));
            fields.push(s.map_or(0, |s| s.count).to_string());
        }
        let s = results.difference(i);
        let number = |v: Option<f64>| v.map_or(String::new(), |v| v.to_string());
        let half = s.and_then(|s| s.half_width());
        let (mean, both) = (s.map(|s| s.mean), s.map(|s| s.mean).zip(half));
        let (low, high) = (both.map(|(m, h)| m - h), both.map(|(m, h)| m + h));
        fields.extend([number(mean), number(low), number(high), s.map_or(0, |s| s.count).to_string()]);
        table.push(fields);
    }
    table.text()
}

/// A page: what the corruptions look like (a sheet, or why there is none), tables, and curves with bands over seeds.
///
/// # Errors
/// When a chart cannot be drawn.
pub fn page(
    results: &Results,
    sheets: &[std::result::Result<Sheet, String>],
    made: &Provenance,
) -> Result<String> {
    let title = "Comparison of optimizers";
    let mut body = format!("<h1>{title}</h1>\n");
    for shown in sheets {
        body += &match shown {
            Ok(shown) => sheet::section(shown),
            Err(why) => {
                format!("<p class=\"note\">No pictures of the corruptions: {}.</p>\n", escape(why))
            }
        };
    }
    for (i, group) in results.groups.iter().enumerate() {
        let _ = write!(
            body,
            "<h2>{}</h2>\n<p class=\"note\">{}.",
            escape(&name(results.job(), group)),
            escape(&about(results, group))
        );
        body.push_str(match results.job() {
            Job::Train => " “s to target”: seconds of training and evaluation until the first epoch whose test accuracy is the target or better;",
            Job::Adapt => " “steps to target”, “s to target”: steps, and their seconds without evaluations, until the first evaluation whose test loss is the target or better;",
        });
        body.push_str(" in brackets how many runs got there, where not all did. “final acc − baseline”: difference of final test accuracies in percentage points, each seed against the same seed of the baseline, with the 95 % interval of its mean by Student's t; none for fewer than three seeds, or differences that are all equal.</p>\n");
        body += &page::table(&rows(results, group));
        body += &charts(results, group)?;
        if results.groups.get(i + 1).is_none_or(|next| place_of(next) != place_of(group)) {
            body += &responses(results, place_of(group))?;
        }
    }
    body += &results.trials.as_ref().map_or(String::new(), trials::section);
    let said =
        made.shared.as_ref().map_or(String::new(), |s| format!("<p class=\"note\">{}.</p>\n", escape(s)));
    Ok(page::page(title, &(body + &said + &made.section())))
}

/// Configurations drawn, at most; of more only the best of each optimizer are.
const DRAWN: usize = 10;

/// The configurations of a group whose curves are drawn.
fn drawn(results: &Results, group: &Group) -> Vec<usize> {
    if group.configurations.len() <= DRAWN {
        return group.configurations.clone();
    }
    let accuracy = |c: usize| results.statistic(c, "final_test_accuracy").map_or(0.0, |s| s.mean);
    let mut best: Vec<usize> = Vec::new();
    for &c in &group.configurations {
        let optimizer = results.configurations[c].optimizer;
        match best.iter_mut().find(|b| results.configurations[**b].optimizer == optimizer) {
            Some(b) if accuracy(c) > accuracy(*b) => *b = c,
            Some(_) => (),
            None => best.push(c),
        }
    }
    best
}

fn charts(results: &Results, group: &Group) -> Result<String> {
    let configurations = drawn(results, group);
    let palette = colours(configurations.len());
    let label = |c: &usize| called(results, *c);
    let mut out = page::legend(palette.iter().copied().zip(configurations.iter().map(label)));
    if configurations.len() < group.configurations.len() {
        out.push_str("<p class=\"note\">Of each optimizer the configuration whose mean final test accuracy is highest.</p>\n");
    }
    out.push_str(
        "<p class=\"note\">Lines: means over seeds after each epoch or evaluation; over seconds each mean stands at the mean time of it. Bands: ± one standard deviation.</p>\n<div class=\"charts\">\n",
    );
    let (overlaid, times) = match results.job() {
        Job::Train => (&OVERLAID[..], TIMES),
        Job::Adapt => (&OF_ADAPTATIONS[..], [STEPS, TIMES[1]]),
    };
    for (shown, log) in overlaid {
        for time in times {
            let curve = |(c, colour): (&usize, &RGBColor)| {
                let runs = results.runs_of(*c).map(|r| &*r.epochs);
                let longest = runs.clone().map(<[Epoch]>::len).max().unwrap_or(0);
                let mut curve = Curve { colour: *colour, points: Vec::new(), band: Vec::new() };
                for i in 0..longest {
                    // Those that are not over yet, where runs differ in length.
                    let epochs = runs.clone().filter_map(|r| r.get(i));
                    let both =
                        Statistic::of(epochs.clone().map(time.of)).zip(Statistic::of(epochs.map(shown.of)));
                    let Some((at, s)) = both else { continue };
                    curve.points.push((at.mean, s.mean));
                    curve.band.extend(s.std.map(|std| (at.mean, s.mean - std, s.mean + std)));
                }
                curve
            };
            let curves: Vec<Curve> = configurations.iter().zip(&palette).map(curve).collect();
            out += &over(shown, &time, *log, &curves)?;
        }
    }
    Ok(out + "</div>\n")
}

/// A group's data set and model.
fn place_of(group: &Group) -> (&str, &str) {
    (&group.dataset, &group.model)
}

/// A line's figures by where they stand.
type Points = Vec<(f64, Statistic)>;

/// Charts of the final test accuracy over each setting that has at least three positive numbers on a data set and model: a line for each
/// optimizer and for each combination of its other values, of which those that trials chose are none.
fn responses(results: &Results, place: (&str, &str)) -> Result<String> {
    let mut out = String::new();
    for name in results.grid() {
        // Lines by what they are called; their points by the logarithm of the value.
        let mut lines: Vec<(String, Points)> = Vec::new();
        for (c, configuration) in results.configurations.iter().enumerate() {
            if (&*configuration.dataset, &*configuration.model) != place {
                continue;
            }
            let at = configuration.value(name).and_then(|v| v.parse::<f64>().ok());
            let at = at.filter(|v| *v > 0.0).map(f64::log10);
            let Some((at, s)) = at.zip(results.statistic(c, "final_test_accuracy")) else { continue };
            let given = if results.trials.is_some() { &configuration.condition } else { &configuration.grid };
            let others = given.iter().filter(|g| g.0 != name);
            let others = others.map(|(name, value)| format!(" {name}={value}")).collect::<String>();
            let label = configuration.name.clone() + &others;
            match lines.iter_mut().find(|l| l.0 == label) {
                Some(line) => line.1.push((at, s)),
                None => lines.push((label, vec![(at, s)])),
            }
        }
        lines.retain(|l| l.1.len() >= 3);
        if lines.is_empty() {
            continue;
        }
        let palette = colours(lines.len());
        let curve = |((_, points), colour): (&mut (String, Points), &RGBColor)| {
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            let band = points.iter().filter_map(|(x, s)| {
                let std = s.std?;
                Some((*x, 100.0 * (s.mean - std), 100.0 * (s.mean + std)))
            });
            let points = points.iter().map(|(x, s)| (*x, 100.0 * s.mean));
            Curve { colour: *colour, points: points.collect(), band: band.collect() }
        };
        let curves: Vec<Curve> = lines.iter_mut().zip(&palette).map(curve).collect();
        let x = format!("log10 of {name}");
        let chart = charts::curves(Axes { x: &x, y: "final test accuracy %", log: false }, &curves)?;
        out += &page::legend(palette.iter().copied().zip(lines.iter().map(|l| &*l.0)));
        let place = results.job().place(place.0, place.1);
        let caption = format!("{place}: final test accuracy over {name}; runs that diverged are left out.");
        out += &format!("<div class=\"charts\">\n{}</div>\n", page::figure(&chart, &caption));
    }
    Ok(out)
}

#[test]
fn a_difference_has_an_interval_or_says_why_not() {
    let of = |values: &[f64]| difference(Statistic::of(values.iter().copied()).unwrap());
    assert_eq!(of(&[-0.0028]), "-0.28 (one seed)");
    assert_eq!(of(&[-0.0028, -0.0028]), "-0.28 (2 seeds: too few)");
    assert_eq!(of(&[-0.0028; 5]), "-0.28 (all 5 equal)");
    // 4.303 · 1/√3 around 2.
    assert_eq!(of(&[0.01, 0.02, 0.03]), "+2.00 [-0.48, +4.48]");
}
