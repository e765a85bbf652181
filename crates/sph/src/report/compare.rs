//! [`Results`] of a comparison as a table, as CSV and as a page.

use super::charts::{Curve, Drawn, colours};
use super::run::{OVERLAID, TIMES, over};
use super::{aligned, escape, page};
use crate::compare::results::{Group, QUANTITIES, Quantity, Results, Statistic};
use crate::csv::field;
use crate::history::Epoch;
use plotters::style::RGBColor;
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

/// What stands above a group's table.
fn about(results: &Results, group: &Group) -> String {
    let seeds = match results.seeds {
        1 => "one seed".into(),
        n => format!("mean ± standard deviation over {n} seeds"),
    };
    let target = group.baseline.map_or(String::new(), |(c, accuracy)| {
        let label = &results.configurations[c].label;
        format!("; target: {:.2} % test accuracy, where {label} ends on average", 100.0 * accuracy)
    });
    format!("{} on {}, {seeds}{target}", group.model, group.dataset)
}

/// Heads and rows of a group's table.
fn rows(results: &Results, group: &Group) -> Vec<Vec<String>> {
    // Where nothing asks for curvature, or the system does not tell of memory, there is no such column.
    let has = |q: &&Quantity| group.configurations.iter().any(|&c| results.statistic(c, q.name).is_some());
    let quantities: Vec<&Quantity> = QUANTITIES.iter().filter(has).collect();
    let heads = quantities.iter().map(|q| q.head.to_string());
    let mut rows = vec![std::iter::once("optimizer".into()).chain(heads).collect::<Vec<String>>()];
    for &c in &group.configurations {
        let finished = results.runs_of(c).count();
        let missing = match finished {
            n if n == results.seeds => String::new(),
            n => format!(" [{n} of {} runs]", results.seeds),
        };
        let cells = quantities.iter().map(|q| cell(q, results.statistic(c, q.name), finished));
        let label = results.configurations[c].label.clone() + &missing;
        rows.push(std::iter::once(label).chain(cells).collect());
    }
    rows
}

/// Said where several runs shared the machine.
fn shared(results: &Results) -> Option<String> {
    let jobs = results.jobs;
    (jobs > 1)
        .then(|| format!("times are of {jobs} runs at a time on this machine; --jobs 1 measures each alone"))
}

/// What is printed: a table per data set and model.
pub fn table(results: &Results) -> String {
    let mut out = String::new();
    for group in &results.groups {
        let _ = writeln!(out, "{}\n\n{}", about(results, group), aligned(&rows(results, group)));
    }
    out + &shared(results).map_or(String::new(), |s| s + "\n")
}

/// A row per finished run.
pub fn runs_csv(results: &Results) -> String {
    let grid = results.grid();
    let columns = ["run", "dataset", "model", "optimizer", "seed"].into_iter().chain(grid.iter().copied());
    let more = ["epochs", "best_epoch", "test_loss", "final_test_loss"];
    let columns = columns.chain(more).chain(QUANTITIES.iter().map(|q| q.name));
    let mut out = columns.map(field).collect::<Vec<_>>().join(",") + "\n";
    let optional = |v: Option<String>| v.unwrap_or_default();
    for run in &results.runs {
        let c = &results.configurations[run.configuration];
        let result = run.history.result.as_ref();
        let mut fields = vec![field(&run.name), field(&c.dataset), field(&c.model), field(&c.label)];
        fields.push(run.history.args.seed.to_string());
        let value = |name: &&str| c.grid.iter().find(|g| g.0 == *name).map(|g| field(&g.1));
        fields.extend(grid.iter().map(|name| optional(value(name))));
        fields.push(optional(result.map(|r| r.epochs.to_string())));
        fields.push(optional(result.and_then(|r| r.best_epoch).map(|e| e.to_string())));
        fields.push(optional(result.and_then(|r| r.test_loss).map(|v| v.to_string())));
        fields.push(optional(result.and_then(|r| r.final_test_loss).map(|v| v.to_string())));
        fields.extend(QUANTITIES.iter().map(|q| optional((q.of)(run).map(|v| v.to_string()))));
        out += &(fields.join(",") + "\n");
    }
    out
}

/// A row per configuration.
pub fn configurations_csv(results: &Results) -> String {
    let grid = results.grid();
    let columns = ["dataset", "model", "optimizer"].into_iter().chain(grid.iter().copied()).chain(["runs"]);
    let mut columns: Vec<String> = columns.map(field).collect();
    for q in QUANTITIES {
        columns.extend([format!("{}_mean", q.name), format!("{}_std", q.name), format!("{}_count", q.name)]);
    }
    let mut out = columns.join(",") + "\n";
    for (i, c) in results.configurations.iter().enumerate() {
        let mut fields = vec![field(&c.dataset), field(&c.model), field(&c.label)];
        let value = |name: &&str| c.grid.iter().find(|g| g.0 == *name).map(|g| field(&g.1));
        fields.extend(grid.iter().map(|name| value(name).unwrap_or_default()));
        fields.push(results.runs_of(i).count().to_string());
        for q in QUANTITIES {
            let s = results.statistic(i, q.name);
            fields.push(s.map_or(String::new(), |s| s.mean.to_string()));
            fields.push(s.and_then(|s| s.std).map_or(String::new(), |v| v.to_string()));
            fields.push(s.map_or(0, |s| s.count).to_string());
        }
        out += &(fields.join(",") + "\n");
    }
    out
}

/// A page: tables, and curves with bands over seeds.
///
/// # Errors
/// When a chart cannot be drawn.
pub fn page(results: &Results) -> Drawn {
    let title = "Comparison of optimizers";
    let mut body = format!("<h1>{title}</h1>\n");
    for group in &results.groups {
        let _ = write!(
            body,
            "<h2>{} on {}</h2>\n<p class=\"note\">{}.",
            escape(&group.model),
            escape(&group.dataset),
            escape(&about(results, group))
        );
        body.push_str(" “s to target”: seconds of training and evaluation until the first epoch whose test accuracy is the target or better; in brackets how many runs got there, where not all did.</p>\n");
        body += &page::table(&rows(results, group));
        body += &charts(results, group)?;
    }
    let said = shared(results).map_or(String::new(), |s| format!("<p class=\"note\">{}.</p>\n", escape(&s)));
    Ok(page::page(title, &(body + &said)))
}

fn charts(results: &Results, group: &Group) -> Drawn {
    let palette = colours(group.configurations.len());
    let label = |c: &usize| &*results.configurations[*c].label;
    let mut out = page::legend(palette.iter().copied().zip(group.configurations.iter().map(label)));
    out.push_str(
        "<p class=\"note\">Lines: means over seeds after each epoch; over seconds each mean stands at the mean time of that epoch. Bands: ± one standard deviation.</p>\n<div class=\"charts\">\n",
    );
    for (shown, log) in OVERLAID {
        for time in TIMES {
            let curve = |(c, colour): (&usize, &RGBColor)| {
                let runs = results.runs_of(*c).map(|r| &*r.history.epochs);
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
            let curves: Vec<Curve> = group.configurations.iter().zip(&palette).map(curve).collect();
            out += &over(&shown, &time, log, &curves)?;
        }
    }
    Ok(out + "</div>\n")
}
